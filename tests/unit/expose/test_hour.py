"""The last hour of a virtual interface: what is kept of it, how exactly, and what it may cost."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from dcedge.monitor.last_hour import POINTS, STEP_SECONDS, Curves, Hour
from dcedge.monitor.snapshot import VirtualInterfaceSnapshot
from dcedge.probe.histogram import Histogram
from tests.unit.expose.scene import COUNTERS, down, probe, up


def at_totals(
    sent: int, lost: int, answered: int, trip: float, received: int, transmitted: int
) -> VirtualInterfaceSnapshot:
    """A virtual interface at some totals; every answer took `trip` seconds."""
    histogram = Histogram()
    for _ in range(answered):
        histogram.observe(trip)
    return up()._replace(
        probes=(probe("prod-a")._replace(sent=sent, lost=lost, histogram=histogram.read()),),
        counters=replace(COUNTERS, receive_bytes=received, transmit_bytes=transmitted),
    )


def test_a_point_is_the_mean_of_its_minute() -> None:
    hour = Hour()
    hour.feed([at_totals(0, 0, 0, 0.004, 1000, 5000)], 0)
    hour.feed([at_totals(30, 1, 29, 0.004, 2000, 9000)], 30)
    assert hour.curves("prod-a") == Curves((), (), (), ()), "the minute is not over"
    hour.feed([at_totals(60, 3, 57, 0.004, 7_500_000 + 1000, 15_000_000 + 5000)], 60)
    curves = hour.curves("prod-a")
    assert curves.rtt == pytest.approx((0.004,), rel=0.005)
    assert curves.loss == pytest.approx((0.05,), rel=0.005)
    assert curves.receive_bps == pytest.approx((1e6,), rel=0.005)
    assert curves.transmit_bps == pytest.approx((2e6,), rel=0.005)


@pytest.mark.parametrize("trip", [10e-6, 180e-6, 0.0123, 0.35, 1.0])
def test_a_round_trip_is_kept_to_three_digits(trip: float) -> None:
    hour = Hour()
    hour.feed([at_totals(0, 0, 0, trip, 0, 0)], 0)
    hour.feed([at_totals(60, 0, 60, trip, 0, 0)], 60)
    assert hour.curves("prod-a").rtt == pytest.approx((trip,), rel=0.005)
    assert hour.curves("prod-a").loss == (0.0,)


def test_an_hour_is_kept_and_no_more_the_latest_at_the_end() -> None:
    hour = Hour()
    for minute in range(100):
        hour.feed([at_totals(60 * minute, 6 * max(0, minute - 98), 0, 0.1, 0, 0)], minute * STEP_SECONDS)
    loss = hour.curves("prod-a").loss
    assert len(loss) == POINTS
    assert loss[-2:] == pytest.approx((0.0, 0.1), rel=0.005)


def test_what_is_not_known_is_left_out() -> None:
    hour = Hour()
    silent = down("prod-a")._replace(probes=(), counters=None)
    for minute in range(3):
        hour.feed([silent], minute * STEP_SECONDS)
    assert hour.curves("prod-a") == Curves((None, None), (None, None), (None, None), (None, None))
    assert hour.curves("nobody") == Curves()


def test_counters_that_begin_anew_give_no_point() -> None:
    hour = Hour()
    hour.feed([at_totals(600, 5, 595, 0.01, 10**9, 10**9)], 0)
    hour.feed([at_totals(10, 0, 10, 0.01, 100, 100)], 60)
    assert hour.curves("prod-a") == Curves((None,), (None,), (None,), (None,))


def test_minutes_in_which_nobody_looked_are_gaps() -> None:
    hour = Hour()
    hour.feed([at_totals(0, 0, 0, 0.01, 0, 0)], 0)
    hour.feed([at_totals(180, 0, 180, 0.01, 0, 0)], 180)
    assert hour.curves("prod-a").loss == (None, None, 0.0)
    hour.feed([at_totals(200, 0, 200, 0.01, 0, 0)], 90)  # the clock was set back
    hour.feed([at_totals(260, 0, 260, 0.01, 0, 0)], 150)
    assert len(hour.curves("prod-a").loss) == 5


def test_who_left_the_order_is_forgotten() -> None:
    hour = Hour()
    for minute, vis in enumerate([[up("a"), up("b")], [up("a"), up("b")], [up("a")]]):
        hour.feed(vis, minute * STEP_SECONDS)
    assert hour.curves("a").loss
    assert hour.curves("b") == Curves()


def test_it_costs_less_than_two_kilobytes_a_virtual_interface() -> None:
    count = 200
    vis = [up(f"vi-{number}") for number in range(count)]
    tracemalloc.start()
    hour = Hour()
    for minute in range(POINTS + 5):
        hour.feed(vis, minute * STEP_SECONDS)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / count < 2048
