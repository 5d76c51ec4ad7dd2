"""How long a virtual interface has been at its ordered rate: the sign that more has to be ordered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from dcedge.kernel.counters import ShaperCounters

WINDOW_SECONDS = 60.0
FULL = 0.98  # of the rate, from one look to the next: TCP saws a little below it


class Saturated(NamedTuple):
    """Seconds at the limit: in the last minute, and since the daemon began to look."""

    lately: float
    total: float


_NEVER = Saturated(0.0, 0.0)  # one for all: most of thousands never are


@dataclass(slots=True)
class _LastSample:
    at: float
    counters: ShaperCounters
    total: float = 0.0
    full: tuple[tuple[float, float], ...] = ()  # end and length of each full span


@dataclass(slots=True)
class SaturationMeter:
    """Adds up, from look to look, the spans in which a shaper sent all that it may, or dropped."""

    _seen: dict[str, _LastSample] = field(default_factory=dict)

    def feed(self, link: str, counters: ShaperCounters, rate_bps: int, overhead: int, at: float) -> Saturated:
        """Take in the counters at a time in seconds; `overhead` in bytes a packet, which the shaper counts too."""
        seen = self._seen.get(link)
        if seen is None:
            seen = self._seen[link] = _LastSample(at, counters)
            return _NEVER
        span = at - seen.at
        before = seen.counters
        size = counters.sent_bytes - before.sent_bytes + overhead * (counters.sent_packets - before.sent_packets)
        dropped = counters.dropped_packets > before.dropped_packets
        if span > 0 and (size * 8 >= FULL * rate_bps * span or dropped):
            seen.full += ((at, span),)
            seen.total += span
        if seen.full and seen.full[0][0] <= at - WINDOW_SECONDS:
            seen.full = tuple(span for span in seen.full if span[0] > at - WINDOW_SECONDS)
        seen.at, seen.counters = at, counters
        if not seen.total:
            return _NEVER
        # The oldest span may have begun before the window.
        lately = sum(min(length, end - at + WINDOW_SECONDS) for end, length in seen.full)
        return Saturated(lately, seen.total)

    def keep_only(self, links: Collection[str]) -> None:
        """Forget links that are gone."""
        for link in self._seen.keys() - links:
            del self._seen[link]
