"""A router with many virtual interfaces and an hour behind it, as the status page and `top` show it."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace

from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.health.verdict import Verdict
from dcedge.monitor.last_hour import POINTS, STEP_SECONDS, Hour
from dcedge.monitor.snapshot import ConnectionSnapshot, PassSnapshot, Snapshot, Used, VirtualInterfaceSnapshot
from dcedge.probe.histogram import BOUNDS, Histogram
from tests.unit.expose.scene import COUNTERS, OPTICS, SHAPER, down, own_metrics, probe, snapshot, up

CONNECTIONS = (
    ConnectionSnapshot(
        "fra-1",
        "otc",
        "eth1",
        10**10,
        None,
        True,
        True,
        COUNTERS,
        "Frankfurt A",
        "DTAG-4711",
        None,
        (("eth1", OPTICS),),
    ),
    ConnectionSnapshot("fra-2", "azure", "eth2", 10**9, None, True, True, COUNTERS, "Frankfurt B", "EQX-0815"),
    ConnectionSnapshot("ber-1", "gcp", "bond0", 10**10, None, True, False, COUNTERS, "Berlin", "TLX-23"),
)


class Town:
    """A source for HTTP; its virtual interfaces have had a bumpy hour. `now` is the router's clock."""

    def __init__(self, count: int = 12) -> None:
        self.count = count
        self.now = time.time()
        self._hour = Hour()
        for minute in range(POINTS + 1):
            self._hour.feed(self.interfaces(minute), self.now - (POINTS - minute) * STEP_SECONDS)

    def interfaces(self, minute: int = POINTS) -> Iterator[VirtualInterfaceSnapshot]:
        """All virtual interfaces as they were at a minute of the hour."""
        for number in range(self.count):
            yield self._interface(number, minute)

    def _interface(self, number: int, minute: int) -> VirtualInterfaceSnapshot:
        name = f"{('prod', 'dev', 'backup', 'office')[number % 4]}-{number}"
        line = CONNECTIONS[number % 2].name
        busy = 0.45 + 0.35 * math.sin(minute / 7 + number)
        bps = 1e6 * (50 + 40 * number)
        histogram, sent, lost, received, transmitted = Histogram(), 0, 0, 0.0, 0.0
        for past in range(minute):
            trip = 0.0021 + 0.0004 * math.sin(past / 5 + number) + (0.004 if number == 2 and past > 45 else 0)
            sent += 60
            lost += 4 if number == 2 and past > 45 else 0
            histogram.counts[bisect_left(BOUNDS, trip)] += 60
            histogram.total += 60 * trip
            received += bps / 8 * 60 * (0.25 + 0.2 * math.sin(past / 9 + number))
            transmitted += bps / 8 * 60 * (0.45 + 0.35 * math.sin(past / 7 + number))
        measured = probe(name)._replace(
            sent=sent,
            lost=lost,
            histogram=histogram.read(),
            window_probes=64,
            window_lost=4 if number == 2 else 0,
            rtt_average=0.0023 + (0.004 if number == 2 else 0),
            full_size_answered=True,
            mtu=1500,
            interval=1.0,
        )
        vi = up(name)._replace(
            connection=line,
            virtual_gateway=("prod", "dev", "backup", "office")[number % 4],
            since=self.now - 3600 * (number + 1),
            ordered_bps=round(bps),
            used=Used(bps * 0.3, bps * busy),
            counters=replace(COUNTERS, receive_bytes=int(received), transmit_bytes=int(transmitted)),
            shaper=SHAPER,
            probes=(measured,),
        )
        if number == 1:
            return down(name)._replace(connection="ber-1", virtual_gateway="dev", since=self.now - 95)
        if number == 2:
            reason = "6% of the pings to 10.0.0.1 are lost"
            return vi._replace(verdict=Verdict("degraded", reason, "ping"), since=self.now - 900)
        if number == 5:
            return down(name)._replace(admin="planned", connection="ber-1", virtual_gateway="dev")
        if number == 7:
            return vi._replace(verdict=Verdict("drained", "drained by an operator"), used=Used(0, 0))
        return vi

    def snapshot(self) -> Snapshot:
        """All of it now."""
        return snapshot(
            *self.interfaces(),
            taken=self.now,
            connections=CONNECTIONS,
            passes=PassSnapshot(self.now - 5, 0.02, 3, notes=("this kernel has no fq_codel: shapers use pfifo",)),
        )

    def metrics(self) -> DaemonMetrics:
        """Of its daemon."""
        return own_metrics()

    def hour(self) -> Hour:
        """Its hour."""
        return self._hour

    def order_text(self) -> str:
        return ""

    def history(self, name: str) -> tuple[Transition, ...]:
        """What happened to one."""
        return (
            Transition(self.now - 7200, "down", "up", "as ordered"),
            Transition(self.now - 95, "up", "down", "BGP to 10.0.0.1 is Active: the cloud does not answer on TCP 179"),
        )

    def urgent(self) -> bool:
        """Nothing is."""
        return False
