"""When each probe is sent: evenly spread, and inside what each connection's provider tolerates. Pure.

A provider that polices ICMP does so in short windows, so a connection's probes are spaced at equal distances
and connections are shifted against each other; nothing goes out in bursts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from dcedge.order.field_types import Seconds

K = TypeVar("K", bound=Hashable)

# Multiples of the golden ratio, taken modulo 1, fill the unit interval more evenly than any other sequence.
_GOLDEN = 0.618033988749895


@dataclass(frozen=True, slots=True)
class ProbeRequest(Generic[K]):
    """A wish to probe every `interval` over one connection."""

    key: K
    connection: str
    interval: Seconds


@dataclass(frozen=True, slots=True)
class ProbeSlot:
    """When to probe: at `phase`, `phase + interval`, ... seconds after the schedule's epoch."""

    interval: Seconds
    phase: Seconds

    def next_after(self, moment: Seconds) -> Seconds:
        """The first time of this slot that is not before `moment` (seconds since the epoch)."""
        turns = -(-(moment - self.phase) // self.interval)
        return self.phase + max(turns, 0) * self.interval


def stretch(intervals: Iterable[Seconds], budget: float | None) -> float:
    """The factor (at least 1) by which intervals must grow so that all together stay at `budget` a second."""
    if budget is None:
        return 1.0
    return max(1.0, sum(1 / interval for interval in intervals) / budget)


def arrange(requests: Iterable[ProbeRequest[K]], budgets: Mapping[str, float]) -> dict[K, ProbeSlot]:
    """One slot a request. Equal requests give equal slots, in whatever order they come.

    A connection over its budget has all its intervals stretched by the same factor.
    """
    by_connection: dict[str, list[ProbeRequest[K]]] = {}
    for request in requests:
        by_connection.setdefault(request.connection, []).append(request)
    slots: dict[K, ProbeSlot] = {}
    for number, connection in enumerate(sorted(by_connection)):
        wanted = by_connection[connection]
        factor = stretch((request.interval for request in wanted), budgets.get(connection))
        shift = number * _GOLDEN % 1.0
        by_interval: dict[Seconds, list[ProbeRequest[K]]] = {}
        for request in sorted(wanted, key=lambda r: repr(r.key)):
            by_interval.setdefault(request.interval, []).append(request)
        for interval, group in by_interval.items():
            stretched = interval * factor
            for place, request in enumerate(group):
                slots[request.key] = ProbeSlot(stretched, stretched * (place + shift) / len(group))
    return slots
