"""What is looked at first, what can wait, and when what failed is tried again."""

from __future__ import annotations

from dataclasses import replace

from dcedge.kernel.context import Failure
from dcedge.kernel.port.resource import Port
from dcedge.plan.diff import Operation, Plan
from dcedge.reconcile.desired import NOTHING
from dcedge.reconcile.drift import PAUSE_SECONDS, REPAIRS, PortState
from dcedge.reconcile.queue import (
    DEBOUNCE_SECONDS,
    FULL_RESYNC_SECONDS,
    LATE_SECONDS,
    RETRY_SECONDS,
    RETRY_SECONDS_MAX,
    PassQueue,
)
from dcedge.reconcile.result import DirtySet, PassResult

WELL = PassResult(
    finished=0.0,
    executed=0.0,
    duration=0.0,
    intent=NOTHING,
    indices={},
    done=Plan(()),
    failures=(),
    frr_available=True,
    frr_detail="",
    firewall_detail="",
    frr_unsaved="",
    changed_meanwhile=False,
    warnings=(),
)
LINK = Port("eth1", 1500, True, ())
DONE = (Operation("create", LINK.key, None, LINK, (), "missing", "none", ()),)
FAILED = replace(WELL, failures=(Failure(DONE[0], "no", True),))
FRR_WAITS = replace(WELL, frr_available=False)


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
    passes.ask(DirtySet(frozenset({3})))
    passes.ask(DirtySet(frozenset({4}), queues=True))
    assert passes.take().dirty == DirtySet(frozenset({3, 4}), queues=True)
    assert passes.pending
    assert passes.take().dirty is None
    assert not passes.pending


def test_changes_without_end_do_not_keep_the_look_at_everything_away() -> None:
    passes, time = queue()
    passes.ask()
    looks = []
    for _ in range(40):
        passes.ask(DirtySet(frr=True))
        looks.append(passes.take().dirty)
        time.now += LATE_SECONDS / 20
    assert None in looks


def test_a_change_during_a_look_at_everything_is_taken_there_once_all_of_it_is_heard() -> None:
    passes, time = queue()
    passes.ask()
    assert passes.take().dirty is None
    passes.ask(DirtySet(frozenset({3})))
    assert not passes.urgent()
    time.now += DEBOUNCE_SECONDS
    assert passes.urgent()
    assert passes.take_urgent(lambda _: False) is None
    taken = passes.take_urgent(lambda dirty: dirty == DirtySet(frozenset({3})))
    assert taken is not None
    assert taken.dirty == DirtySet(frozenset({3}))
    assert not passes.urgent()
    assert not passes.pending
    passes.order_changed()
    time.now += DEBOUNCE_SECONDS
    assert not passes.urgent(), "a command has its own turn"


def test_an_order_is_carried_out_where_it_differs_before_everything_is_looked_at() -> None:
    passes, _ = queue()
    passes.ask()
    passes.order_changed()
    first, second = passes.take(), passes.take()
    assert (first.dirty, first.ordered) == (DirtySet(), True)
    assert (second.dirty, second.ordered) == (None, False)
    assert not passes.pending


def test_several_events_of_one_cause_are_one_pass() -> None:
    passes, _ = queue()
    passes.take()
    passes.ask(DirtySet(frozenset({3})))
    assert 0 < passes.seconds_until_due() < 2 * DEBOUNCE_SECONDS


def test_everything_is_looked_at_each_minute_though_nobody_asks() -> None:
    passes, time = queue()
    passes.take()
    passes.ended(WELL)
    assert passes.seconds_until_due() == FULL_RESYNC_SECONDS
    time.now += FULL_RESYNC_SECONDS
    assert passes.seconds_until_due() == 0
    passes.ask(DirtySet(frr=True))
    assert passes.take().dirty == DirtySet(frr=True)
    assert passes.take().dirty is None


def test_what_failed_is_tried_again_with_growing_patience() -> None:
    passes, time = queue()
    waits = []
    for _ in range(8):
        passes.ended(FAILED)
        waits.append(passes.seconds_until_due())
        time.now += waits[-1]
        assert passes.take().dirty is None
    assert waits == [1, 2, 4, 8, 16, RETRY_SECONDS_MAX, RETRY_SECONDS_MAX, RETRY_SECONDS_MAX]
    passes.ended(WELL)
    passes.ended(FAILED)
    assert passes.seconds_until_due() == RETRY_SECONDS


def test_events_without_end_do_not_put_off_the_next_try() -> None:
    passes, time = queue()
    passes.ended(FAILED)
    for _ in range(12):
        time.now += RETRY_SECONDS / 10
        passes.ask(DirtySet(frozenset({3})))
        request = passes.take()
        passes.ended(FAILED)
        if passes.pending or request.dirty is None:
            break
    assert passes.pending, "the full resync that was due is asked for"
    assert passes.take().dirty is None


def test_where_only_frr_waits_only_frr_is_asked_again() -> None:
    passes, time = queue()
    passes.take()
    passes.ended(FRR_WAITS)
    time.now += RETRY_SECONDS
    assert passes.take().dirty == DirtySet(frr=True)


def test_frr_that_is_back_after_a_long_time_is_asked_again_soon() -> None:
    """It may have got what is wanted before it has read its own file, which undoes that."""
    passes, time = queue()
    for _ in range(8):
        passes.ended(FRR_WAITS)
        time.now += passes.seconds_until_due()
        passes.take()
    passes.ended(FRR_WAITS)
    passes.ask(DirtySet(frr=True), "FRR answers again")
    passes.take()
    passes.ended(replace(WELL, done=Plan(DONE), frr_unsaved="FRR has only just started"))
    waits = []
    for _ in range(3):
        waits.append(passes.seconds_until_due())
        time.now += waits[-1]
        assert passes.take().dirty == DirtySet(frr=True)
        passes.ended(replace(WELL, frr_unsaved="FRR has only just started"))
    assert waits == [1, 2, 4]


def test_a_pass_that_was_broken_off_is_made_again_and_everything_with_it() -> None:
    passes, time = queue()
    passes.order_changed()
    passes.failed(passes.take())
    assert passes.seconds_until_due() == RETRY_SECONDS
    time.now += RETRY_SECONDS
    again = passes.take()
    assert (again.dirty, again.ordered) == (DirtySet(), True)
    assert passes.take().dirty is None


def test_what_somebody_kept_undoing_is_put_right_when_its_time_has_come() -> None:
    passes, time = queue()
    passes.take()
    for _ in range(REPAIRS):
        time.now += 1
        passes.ended(replace(WELL, repaired={LINK.key: PortState(2)}))
    assert passes.take().suppressed == {LINK.key}
    assert passes.seconds_until_due() == PAUSE_SECONDS
    time.now += PAUSE_SECONDS
    again = passes.take()
    assert (again.dirty, again.suppressed) == (None, frozenset())


def test_who_waits_hears_that_a_pass_is_due_sooner() -> None:
    heard: list[str] = []
    passes = PassQueue(Time(), lambda: heard.append("changed"))
    passes.ask()
    assert heard == ["changed"]
