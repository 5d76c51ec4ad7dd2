"""Hysteresis and history: bad news at once, good news once it lasts, and never more memory than a bound."""

from __future__ import annotations

from dcedge.monitor.health.tracker import KEPT, Tracker, Transition
from dcedge.monitor.health.verdict import Verdict

UP = Verdict("up", "as ordered")
DOWN = Verdict("down", "no carrier", "port", "line")
PENDING = Verdict("pending", "BGP is not configured yet")


def test_what_was_never_up_is_believed_at_once() -> None:
    tracker = Tracker()
    tracker.feed("prod-a", PENDING, 0)
    tracker.feed("prod-a", DOWN, 1)
    assert tracker.feed("prod-a", UP, 2) == UP
    assert tracker.since("prod-a") == 2


def test_bad_news_is_believed_at_once_and_recovery_once_it_lasts() -> None:
    tracker = Tracker(steady=3)
    tracker.feed("prod-a", UP, 0)
    assert tracker.feed("prod-a", DOWN, 10) == DOWN
    assert tracker.feed("prod-a", UP, 11).state == "down"
    assert "has recovered" in tracker.feed("prod-a", UP, 13).reason
    assert tracker.feed("prod-a", UP, 14) == UP
    assert [(t.at, t.before, t.after) for t in tracker.history("prod-a")] == [(10, "up", "down"), (14, "down", "up")]


def test_a_flapping_virtual_interface_stays_down() -> None:
    tracker = Tracker(steady=3)
    tracker.feed("prod-a", UP, 0)
    states = {tracker.feed("prod-a", DOWN if second % 2 else UP, second).state for second in range(1, 60)}
    assert states == {"down"}
    assert len(tracker.history("prod-a")) == 1


def test_the_reason_in_force_is_the_latest() -> None:
    tracker = Tracker()
    tracker.feed("prod-a", DOWN, 0)
    other = Verdict("down", "port eth1 does not exist")
    assert tracker.feed("prod-a", other, 1) == other
    assert tracker.since("prod-a") == 0


def test_history_is_kept_for_a_day_and_bounded() -> None:
    tracker = Tracker()
    for number in range(1000):
        tracker.feed("prod-a", DOWN if number % 2 else PENDING, number)
    assert 8 <= len(tracker.history("prod-a")) <= 200
    tracker.feed("prod-a", PENDING, KEPT + 2000)
    assert len(tracker.history("prod-a")) == 1


def test_thousands_of_flapping_virtual_interfaces_share_one_bound() -> None:
    tracker = Tracker()
    names = [f"vi-{number}" for number in range(4000)]
    for turn in range(20):
        for name in names:
            tracker.feed(name, DOWN if turn % 2 else PENDING, turn)
    assert sum(len(tracker.history(name)) for name in names) <= 4000 * 8


def test_history_of_an_earlier_run_is_taken_over() -> None:
    first = Tracker()
    first.feed("prod-a", UP, 0)
    first.feed("prod-a", DOWN, 5)
    second = Tracker()
    second.restore({"prod-a": first.history("prod-a")})
    assert second.feed("prod-a", DOWN, 9) == DOWN
    assert second.since("prod-a") == 5
    assert second.history("prod-a") == first.history("prod-a")


def test_history_that_comes_late_goes_before_what_was_fed_meanwhile() -> None:
    earlier = {name: [Transition(1, "pending", "up", ""), Transition(2, "up", "down", "")] for name in "abc"}
    tracker = Tracker()
    for at, name, verdict in ((10, "a", DOWN), (10, "b", UP), (10, "c", UP), (11, "c", DOWN), (12, "d", UP)):
        tracker.feed(name, verdict, at)
    tracker.take_new()
    tracker.restore(earlier)
    assert [[t.at for t in tracker.history(name)] for name in "abcd"] == [[1, 2], [1, 2, 10], [1, 2, 11], []]
    assert [tracker.since(name) for name in "abcd"] == [2, 10, 11, 12]
    assert [name for name, _ in tracker.take_new()] == ["b"]
    assert tracker.was_up("a")
    assert tracker.feed("a", DOWN, 13) == DOWN


def test_what_left_the_order_is_forgotten() -> None:
    tracker = Tracker()
    tracker.feed("prod-a", UP, 0)
    tracker.keep_only([])
    assert tracker.since("prod-a") is None
