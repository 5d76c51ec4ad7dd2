"""A latency histogram whose buckets serve a metro link and an ocean: 50 µs x 2^n up to 6.5 s."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

BOUNDS: tuple[float, ...] = tuple(50 * 2**n / 1e6 for n in range(18))


class HistogramCounts(NamedTuple):
    """A histogram at one moment: observations per bucket (not cumulative; the last is +Inf), and their sum.

    `total` in seconds.
    """

    counts: Sequence[int]
    total: float

    @property
    def observations(self) -> int:
        """How many values were observed."""
        return sum(self.counts)


class Histogram:
    """Counts seconds into the buckets of BOUNDS; a bound belongs to its bucket, as in Prometheus."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = array("Q", [0]) * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one value."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def read(self) -> HistogramCounts:
        """A copy that later observations leave alone."""
        return HistogramCounts(self.counts[:], self.total)
