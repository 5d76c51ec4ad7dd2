"""A latency histogram whose buckets serve a metro link and an ocean: 50 µs x 2^n up to 6.5 s."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

BOUNDS: tuple[float, ...] = tuple(50 * 2**n / 1e6 for n in range(18))


@dataclass(frozen=True, slots=True)
class HistogramCounts:
    """A histogram at one moment: observations per bucket (not cumulative; the last is +Inf), and their sum.

    `total` in seconds.
    """

    counts: Sequence[int]
    total: float

    @property
    def observations(self) -> int:
        """How many values were observed."""
        return sum(self.counts)


def zeros() -> array[int]:
    """Cells that have counted nothing. 32 bits each, as there are thousands of histograms."""
    return array("I", bytes(4 * (len(BOUNDS) + 1)))


def count(cells: array[int], seconds: float, first: int = 0) -> array[int]:
    """Count one value into the cells from `first` on; gives the cells back, wider where one has counted that far."""
    bucket = first + bisect_left(BOUNDS, seconds)
    try:
        cells[bucket] += 1
    except OverflowError:
        cells = array("Q", cells)
        cells[bucket] += 1
    return cells


class Histogram:
    """Counts seconds into the buckets of BOUNDS; a bound belongs to its bucket, as in Prometheus."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = zeros()
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one value."""
        self.counts = count(self.counts, seconds)
        self.total += seconds

    def read(self) -> HistogramCounts:
        """A copy that later observations leave alone."""
        return HistogramCounts(self.counts[:], self.total)
