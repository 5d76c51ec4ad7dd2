"""The histogram's buckets: from 50 µs, doubling, to an ocean and beyond."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dcedge.probe.histogram import BOUNDS, Histogram


def test_the_bounds_run_from_fifty_microseconds_to_six_and_a_half_seconds() -> None:
    assert BOUNDS[0] == 50e-6
    assert BOUNDS[-1] == 6.5536
    assert all(upper == 2 * lower for lower, upper in pairwise(BOUNDS))


@given(st.lists(st.floats(0, 20), max_size=50))
def test_every_value_is_in_the_first_bucket_that_holds_it(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    counts = histogram.read()
    bounds = (*BOUNDS, float("inf"))
    lower = -1.0
    for bound, count in zip(bounds, counts.counts, strict=True):
        assert count == sum(lower < value <= bound for value in values)
        lower = bound
    assert counts.observations == len(values)


def test_a_reading_does_not_change_with_later_values() -> None:
    histogram = Histogram()
    before = histogram.read()
    histogram.observe(1)
    assert before.observations == 0
