"""Routers that never were: any number of anything, any value or none, and names that a renderer may trip over."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from dcedge.kernel.counters import LinkCounters, ShaperCounters
from dcedge.kernel.port.optics import Lane, Optics
from dcedge.monitor.health.verdict import STATES, Verdict
from dcedge.monitor.saturation import Saturated
from dcedge.monitor.snapshot import ConnectionSnapshot, SessionSnapshot, Snapshot, VirtualInterfaceSnapshot
from dcedge.order.field_types import Family
from dcedge.probe.histogram import BOUNDS, HistogramCounts
from dcedge.probe.prober import ProberStats
from dcedge.probe.stamp import StampStats
from dcedge.probe.stream import ProbeStats
from tests.unit.expose.scene import COUNTERS, OPTICS, SHAPER, ordered, probe, session, snapshot, up

T = TypeVar("T")

PIECES = ("prod", "fra", *'-1"\\\n%{},= é\N{SNOWMAN}\x00\x01', "%s", "\\n")
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")


class Chance:
    """Random values, always the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def scene(self) -> Snapshot:
        """A router."""
        shown = snapshot()
        vis = tuple(self.interface(number) for number in range(self.below(5)))
        names = [vi.name for vi in vis] + ["nobody"]
        return replace(
            shown,
            virtual_interfaces=vis,
            connections=tuple(self.connection(number) for number in range(self.below(4))),
            prober=self.maybe(lambda: ProberStats(self.count(), self.count())),
            stamps=tuple(self.stamp(name, number) for number, name in enumerate(names) if self.below(2)),
        )

    def interface(self, number: int) -> VirtualInterfaceSnapshot:
        name = self.name(number)
        return up(name)._replace(
            connection=self.name(),
            virtual_gateway=self.name(),
            verdict=Verdict(self._random.choice(STATES), self.name()),
            since=self.maybe(self.number),
            interface=self.maybe(self.name),
            ordered_bps=self.maybe(self.count),
            static=bool(self.below(2)),
            counters=self.maybe(self.link),
            shaper=self.maybe(self.shaper),
            saturated=self.maybe(lambda: Saturated(self.number(), self.number())),
            sessions=tuple(self.session(family, n) for n, family in enumerate(FAMILIES[: self.below(3)])),
            probes=tuple(self.probe(name, family) for family in FAMILIES[: self.below(3)]),
            failing=tuple(self.name() for _ in range(self.below(3))),
        )

    def session(self, family: Family, number: int) -> SessionSnapshot:
        limits = replace(ordered(family), receive_limit=self.count(), advertise_limit=self.maybe(self.count))
        return session(family)._replace(
            peer=self.name(number),
            up=bool(self.below(2)),
            uptime=self.maybe(self.number),
            received=self.maybe(self.count),
            accepted=self.count(),
            transitions=self.count(),
            bfd=self._random.choice((None, "up", "down", "init", "unknown")),
            ordered=self.maybe(lambda: limits),
        )

    def probe(self, name: str, family: Family) -> ProbeStats:
        return probe(name, family)._replace(
            sent=self.count(),
            lost=self.count(),
            jitter=self.maybe(self.number),
            interval=self.number(),
            full_size_answered=self.maybe(lambda: bool(self.below(2))),
            histogram=HistogramCounts([self.count() for _ in range(len(BOUNDS) + 1)], self.number()),
        )

    def connection(self, number: int) -> ConnectionSnapshot:
        return ConnectionSnapshot(
            name=self.name(number),
            provider=self.name(),
            port=self.name(),
            bandwidth_bps=self.count(),
            over=self.maybe(self.name),
            carrier=self.maybe(lambda: bool(self.below(2))),
            counters=self.maybe(self.link),
            optics=tuple((self.name(n), self.optics()) for n in range(self.below(3))),
        )

    def optics(self) -> Optics:
        lanes = tuple(
            Lane(self._random.uniform(-40, 5), self._random.uniform(-0.001, 0.001)) for _ in range(self.below(3))
        )
        return replace(OPTICS, lanes=lanes, receive_alarm_dbm=self.maybe(self.number))

    def stamp(self, name: str, number: int) -> StampStats:
        counts = [self.count() for _ in range(5)]
        return StampStats(name, self.name(number), *counts, *(self.maybe(self.number) for _ in range(3)))

    def link(self) -> LinkCounters:
        return replace(
            COUNTERS, receive_bytes=self.count(), transmit_packets=self.count(), carrier_changes=self.count()
        )

    def shaper(self) -> ShaperCounters:
        return replace(SHAPER, sent_bytes=self.count(), backlog_bytes=self.count(), requeues=self.count())

    def below(self, end: int) -> int:
        return self._random.randrange(end)

    def maybe(self, make: Callable[[], T]) -> T | None:
        return make() if self.below(4) else None

    def name(self, number: int | None = None) -> str:
        """One of its own where it has a number."""
        pieces = [self._random.choice(PIECES) for _ in range(self.below(6))]
        return "".join(pieces) + ("" if number is None else f"#{number}")

    def count(self) -> int:
        """Of any size that the kernel's counters have."""
        return self._random.randrange(2 ** self._random.randrange(1, 65))

    def number(self) -> float:
        """Of any size, whole ones among them."""
        number = self._random.choice((0.0, -0.0, 1.0, 1e6, 999_999.0, 1e16, 1e22, float("inf"), float("nan"), 5e-324))
        return number if self.below(3) == 0 else self._random.uniform(-1, 1) * 10 ** self._random.randrange(-9, 18)
