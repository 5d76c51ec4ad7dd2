"""All that the outside sees of the daemon at one moment, as plain values.

Status, /metrics, the control socket and the page render from this one value and from nothing else. Rates in bits
a second, sizes in bytes, durations in seconds, moments in seconds since 1970; None is "not known". The values
that come by the thousand are named tuples, which cost a fraction of what frozen dataclasses cost to make.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from dcedge.frr.state import SessionState
from dcedge.kernel.counters import LinkCounters, ShaperCounters
from dcedge.kernel.port.ethtool import LinkMode
from dcedge.kernel.port.optics import Optics
from dcedge.kernel.softnet import SoftnetCounters
from dcedge.monitor.health.facts import OwnLoss, SessionFacts
from dcedge.monitor.health.verdict import Verdict
from dcedge.monitor.saturation import Saturated
from dcedge.order.field_types import Family
from dcedge.order.resolve import Session
from dcedge.probe.prober import ProberStats
from dcedge.probe.stamp import StampStats
from dcedge.probe.stream import ProbeStats


@dataclass(frozen=True, slots=True)
class RouterSnapshot:
    """This router."""

    hostname: str
    asn: int
    router_id: str


@dataclass(frozen=True, slots=True)
class FrrSnapshot:
    """Whether FRR answers; `detail` is what of it does not. `version` is None before it has first answered."""

    available: bool
    detail: str
    version: str | None = None


class ConnectionSnapshot(NamedTuple):
    """One connection. `over` names the connection whose share a hosted one is; `port` is the root's.

    `members` are a bond's, with their counters; `optics` are by port or member, where a transceiver tells any.
    """

    name: str
    provider: str
    port: str
    bandwidth_bps: int
    over: str | None = None
    present: bool = True
    carrier: bool | None = None
    counters: LinkCounters | None = None
    description: str = ""
    circuit_id: str = ""
    mode: LinkMode | None = None
    optics: tuple[tuple[str, Optics], ...] = ()
    members: tuple[tuple[str, LinkCounters], ...] = ()

    @property
    def speed_bps(self) -> int | None:
        """What the two ends of the port agreed on; None where the driver does not say."""
        return None if self.mode is None else self.mode.speed_bps


class SessionSnapshot(NamedTuple):
    """One BGP session. `state` is RFC 4271's word, or `unknown` while FRR does not answer.

    `earlier_reset` is why it was lost an earlier time, for where FRR does not tell of the last one. `ordered` has its
    timers and limits; `bfd_detection_ms` is the silence after which BFD calls the path dead. `up`: established, and
    stably so as the verdict has it; every view calls a session up by this alone.
    """

    peer: str
    family: Family
    state: str
    up: bool
    uptime: float | None = None
    received: int | None = None
    accepted: int = 0
    advertised: int = 0
    transitions: int = 0
    last_reset: str | None = None
    earlier_reset: str | None = None
    bfd: str | None = None
    bfd_detection_ms: int | None = None
    ordered: Session | None = None


class Used(NamedTuple):
    """What a link carried lately, in bits a second."""

    receive_bps: float
    transmit_bps: float


class VirtualInterfaceSnapshot(NamedTuple):
    """One virtual interface. `since` is when its verdict's state began; `failing` are operations' texts."""

    name: str
    connection: str
    virtual_gateway: str
    verdict: Verdict
    admin: str = "up"
    since: float | None = None
    interface: str | None = None
    ordered_bps: int | None = None
    preference: str = "primary"
    static: bool = False
    used: Used | None = None
    counters: LinkCounters | None = None
    shaper: ShaperCounters | None = None
    saturated: Saturated | None = None
    sessions: tuple[SessionSnapshot, ...] = ()
    probes: tuple[ProbeStats, ...] = ()
    failing: tuple[str, ...] = ()
    own_losses: tuple[OwnLoss, ...] = ()


@dataclass(frozen=True, slots=True)
class PassSnapshot:
    """The passes so far. `finished` is None before the first; `drift_repaired` counts by kind of resource.

    `drift_suppressed`: how many repairs are suppressed, as something else keeps undoing them.
    """

    finished: float | None = None
    duration: float | None = None
    operations: int = 0
    drift_repaired: tuple[tuple[str, int], ...] = ()
    drift_suppressed: int = 0
    failing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    state_files_unwritten: int = 0


@dataclass(frozen=True, slots=True)
class OrderSnapshot:
    """The order in force. `problems` say why the file as it is now was refused, where it was.

    `differs`: the file does not say what is in force, for that reason or another.
    """

    path: str
    applied: float | None = None
    load_failed: bool = False
    problems: tuple[str, ...] = ()
    differs: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole."""

    taken: float
    version: str
    router: RouterSnapshot
    frr: FrrSnapshot
    connections: tuple[ConnectionSnapshot, ...]
    virtual_interfaces: tuple[VirtualInterfaceSnapshot, ...]
    passes: PassSnapshot
    order: OrderSnapshot
    prober: ProberStats | None = None
    stamps: tuple[StampStats, ...] = ()
    softnet: tuple[SoftnetCounters, ...] = ()


def with_clock_set(snapshot: Snapshot, step: float) -> Snapshot:
    """The same with every moment as the wall clock has it now that it was set by so many seconds."""
    if not step:
        return snapshot
    passes, order = snapshot.passes, snapshot.order
    return replace(
        snapshot,
        taken=snapshot.taken + step,
        passes=replace(passes, finished=None if passes.finished is None else passes.finished + step),
        order=replace(order, applied=None if order.applied is None else order.applied + step),
        virtual_interfaces=tuple(
            vi._replace(since=None if vi.since is None else vi.since + step) for vi in snapshot.virtual_interfaces
        ),
    )


def session_snapshot(state: SessionState, facts: SessionFacts, ordered: Session) -> SessionSnapshot:
    """One session as bgpd tells it and as it was judged, with the counts of the family it was ordered for."""
    counts = next((prefixes for prefixes in state.prefixes if prefixes.family == ordered.family), None)
    return SessionSnapshot(
        peer=str(state.peer),
        family=ordered.family,
        state=state.state,
        up=facts.established,
        uptime=state.uptime,
        received=None if counts is None else counts.received,
        accepted=0 if counts is None else counts.accepted,
        advertised=0 if counts is None else counts.advertised,
        transitions=state.transitions,
        last_reset=state.last_reset,
        earlier_reset=state.earlier_reset,
        bfd=state.bfd,
        bfd_detection_ms=state.bfd_detection_ms,
        ordered=ordered,
    )


def unhealthy(passes: PassSnapshot, now: float, longest: float) -> str | None:
    """Why the daemon cannot be relied on: no pass has ended within `longest` seconds. None where it can."""
    if passes.finished is None:
        return "no pass is complete yet"
    age = now - passes.finished
    if age > longest:
        return f"the last pass ended {age:.0f} s ago (at most {longest:.0f} s are normal)"
    return None


class RateMeter:
    """What each link carries, from two readings of its counters."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int, int]] = {}
        self._used: dict[str, Used] = {}

    def feed(self, name: str, counters: LinkCounters, now: float) -> Used | None:
        """The rate since the last reading; None at the first, and after a link was made anew."""
        last = self._last.get(name)
        if last is not None and now <= last[0]:
            return self._used.get(name)
        self._last[name] = (now, counters.receive_bytes, counters.transmit_bytes)
        if last is None or counters.receive_bytes < last[1] or counters.transmit_bytes < last[2]:
            self._used.pop(name, None)
            return None
        seconds = now - last[0]
        used = Used(
            (counters.receive_bytes - last[1]) * 8 / seconds,
            (counters.transmit_bytes - last[2]) * 8 / seconds,
        )
        self._used[name] = used
        return used

    def keep_only(self, names: set[str]) -> None:
        """Forget the links that are gone."""
        for name in self._last.keys() - names:
            del self._last[name]
            self._used.pop(name, None)
