"""What this router itself loses, before anybody else is blamed for it: at its ports, and in the kernel's backlog.

The kernel counts each loss where it happens. What counts is the share of all that went the same way of late: a few
frames of millions explain no lost ping.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dcedge.kernel.counters import RECEIVE_FAULTS, TRANSMIT_FAULTS, LinkCounters
from dcedge.kernel.softnet import SoftnetCounters
from dcedge.monitor.health.facts import THIS_ROUTER, OwnLoss
from dcedge.order.field_types import Seconds

REMEMBERED: Seconds = 60.0
_KEPT_EVERY: Seconds = 5.0
EXPLAINS = 0.005  # a quarter of the loss of pings that makes a verdict
SQUEEZED = 0.05  # of the packets: a budget of 300 packets a round, the usual one, ends at less than 1 %
_WORDS = 2**32  # softnet's counters are no larger


class _Reading(NamedTuple):
    at: Seconds
    ports: Mapping[str, LinkCounters]
    softnet: tuple[SoftnetCounters, ...]


class OwnLossMeter:
    """The counters of the last minute: those of the ports, and those of the processors."""

    def __init__(self) -> None:
        self._readings: deque[_Reading] = deque()  # never empty once there is a last one
        self._last: _Reading | None = None
        self._found: dict[tuple[str, ...], tuple[OwnLoss, ...]] = {}  # thousands ask for one port

    def feed(self, at: Seconds, ports: Mapping[str, LinkCounters], softnet: tuple[SoftnetCounters, ...]) -> None:
        """Take in the counters, once a poll."""
        self._last = _Reading(at, ports, softnet)
        if not self._readings or at - self._readings[-1].at >= _KEPT_EVERY:
            self._readings.append(self._last)
        while at - self._readings[0].at > REMEMBERED:
            self._readings.popleft()
        self._found.clear()

    def lost(self, ports: tuple[str, ...]) -> tuple[OwnLoss, ...]:
        """What these ports and the processors lost of late, where that is enough to explain a fault; worst first."""
        if self._last is None:
            return ()
        if ports not in self._found:
            first, last = self._readings[0], self._last
            found = [loss for port in ports for loss in _port(port, first.ports.get(port), last.ports.get(port))]
            found += _softnet(first.softnet, last.softnet)
            self._found[ports] = tuple(sorted(found, key=lambda loss: loss.share, reverse=True))
        return self._found[ports]


def _port(port: str, before: LinkCounters | None, now: LinkCounters | None) -> Iterator[OwnLoss]:
    if before is None or now is None or before.index != now.index:
        return
    was, faults = dict(before.faults), dict(now.faults)
    for names, passed in (
        (RECEIVE_FAULTS, now.receive_packets - before.receive_packets),
        (TRANSMIT_FAULTS, now.transmit_packets - before.transmit_packets),
    ):
        for name in names:
            lost = faults.get(name, 0) - was.get(name, 0)
            if lost > 0 and passed >= 0 and lost >= EXPLAINS * (lost + passed):
                yield OwnLoss(port, name, lost, lost + passed)


def _softnet(before: tuple[SoftnetCounters, ...], now: tuple[SoftnetCounters, ...]) -> Iterator[OwnLoss]:
    """Of all processors together: which one receives what, the card decides."""
    was = {one.processor: one for one in before}
    processed = dropped = squeezed = 0
    for one in now:
        earlier = was.get(one.processor, one)
        processed += (one.processed - earlier.processed) % _WORDS
        dropped += (one.dropped - earlier.dropped) % _WORDS
        squeezed += (one.time_squeezed - earlier.time_squeezed) % _WORDS
    if dropped and dropped >= EXPLAINS * (processed + dropped):
        yield OwnLoss(THIS_ROUTER, "dropped", dropped, processed + dropped)
    elif squeezed and squeezed >= SQUEEZED * processed:
        yield OwnLoss(THIS_ROUTER, "time_squeeze", squeezed, processed)
