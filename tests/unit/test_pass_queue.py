"""What is looked at first, what can wait, and when what failed is tried again."""

from __future__ import annotations

from dcedge.pass_queue import (
    DEBOUNCE_SECONDS,
    FULL_PASS_SECONDS,
    LATE_SECONDS,
    RETRY_SECONDS,
    RETRY_SECONDS_MAX,
    PassEnd,
    PassQueue,
    Scope,
)

WELL = PassEnd(complete=True, only_frr_waits=False)
FAILED = PassEnd(complete=False, only_frr_waits=False)
FRR_WAITS = PassEnd(complete=False, only_frr_waits=True)


class Time:
    """A clock that stands still until told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def queue() -> tuple[PassQueue, Time]:
    time = Time()
    return PassQueue(time), time


def test_a_change_goes_before_a_look_at_everything_and_does_not_replace_it() -> None:
    passes, _ = queue()
    passes.ask()
    passes.ask(Scope(frozenset({3})))
    passes.ask(Scope(frozenset({4}), queues=True))
    assert passes.take().scope == Scope(frozenset({3, 4}), queues=True)
    assert passes.pending
    assert passes.take().scope is None
    assert not passes.pending


def test_changes_without_end_do_not_keep_the_look_at_everything_away() -> None:
    passes, time = queue()
    passes.ask()
    looks = []
    for _ in range(40):
        passes.ask(Scope(frr=True))
        looks.append(passes.take().scope)
        time.now += LATE_SECONDS / 20
    assert None in looks


def test_an_order_is_carried_out_where_it_differs_before_everything_is_looked_at() -> None:
    passes, _ = queue()
    passes.ask()
    passes.order_changed()
    first, second = passes.take(), passes.take()
    assert (first.scope, first.ordered) == (Scope(), True)
    assert (second.scope, second.ordered) == (None, False)
    assert not passes.pending


def test_several_events_of_one_cause_are_one_pass() -> None:
    passes, _ = queue()
    passes.take()
    passes.ask(Scope(frozenset({3})))
    assert 0 < passes.seconds_until_due() < 2 * DEBOUNCE_SECONDS


def test_everything_is_looked_at_each_minute_though_nobody_asks() -> None:
    passes, time = queue()
    passes.take()
    passes.ended(WELL)
    assert passes.seconds_until_due() == FULL_PASS_SECONDS
    time.now += FULL_PASS_SECONDS
    assert passes.seconds_until_due() == 0
    passes.ask(Scope(frr=True))
    assert passes.take().scope == Scope(frr=True)
    assert passes.take().scope is None


def test_what_failed_is_tried_again_with_growing_patience() -> None:
    passes, time = queue()
    waits = []
    for _ in range(8):
        passes.ended(FAILED)
        waits.append(passes.seconds_until_due())
        time.now += waits[-1]
        assert passes.take().scope is None
    assert waits == [1, 2, 4, 8, 16, RETRY_SECONDS_MAX, RETRY_SECONDS_MAX, RETRY_SECONDS_MAX]
    passes.ended(WELL)
    passes.ended(FAILED)
    assert passes.seconds_until_due() == RETRY_SECONDS


def test_events_without_end_do_not_put_off_the_next_try() -> None:
    passes, time = queue()
    passes.ended(FAILED)
    for _ in range(12):
        time.now += RETRY_SECONDS / 10
        passes.ask(Scope(frozenset({3})))
        request = passes.take()
        passes.ended(FAILED)
        if passes.pending or request.scope is None:
            break
    assert passes.pending, "the look at everything that was due is asked for"
    assert passes.take().scope is None


def test_where_only_frr_waits_only_frr_is_asked_again() -> None:
    passes, time = queue()
    passes.take()
    passes.ended(FRR_WAITS)
    time.now += RETRY_SECONDS
    assert passes.take().scope == Scope(frr=True)


def test_a_pass_that_was_broken_off_is_made_again_and_everything_with_it() -> None:
    passes, time = queue()
    passes.order_changed()
    passes.failed(passes.take())
    assert passes.seconds_until_due() == RETRY_SECONDS
    time.now += RETRY_SECONDS
    again = passes.take()
    assert (again.scope, again.ordered) == (Scope(), True)
    assert passes.take().scope is None


def test_what_somebody_kept_undoing_is_put_right_when_its_time_has_come() -> None:
    passes, time = queue()
    passes.take()
    passes.ended(PassEnd(complete=True, only_frr_waits=False, release_at=time.now + 7))
    assert passes.seconds_until_due() == 7
    time.now += 7
    assert passes.take().scope is None


def test_who_waits_hears_that_a_pass_is_due_sooner() -> None:
    heard: list[str] = []
    passes = PassQueue(Time(), lambda: heard.append("changed"))
    passes.ask()
    assert heard == ["changed"]
