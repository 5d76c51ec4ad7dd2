"""What is asked for first, and what can wait, for a while."""

from __future__ import annotations

from dcedge.wanted import LATE_SECONDS, Scope, Wanted


def test_a_change_goes_before_a_look_at_everything_and_does_not_replace_it() -> None:
    wanted = Wanted()
    wanted.ask()
    assert (wanted.pending, wanted.pressing) == (True, False)
    wanted.ask(Scope(frozenset({3})))
    wanted.ask(Scope(frozenset({4}), queues=True))
    assert (wanted.pending, wanted.pressing) == (True, True)
    assert wanted.take(ordered=False) == Scope(frozenset({3, 4}), queues=True)
    assert wanted.take(ordered=False) is None
    assert not wanted.pending


def test_changes_without_end_do_not_keep_the_look_at_everything_away() -> None:
    now = 100.0
    wanted = Wanted(lambda: now)
    wanted.ask()
    for _ in range(10):
        wanted.ask(Scope(frr=True))
        assert wanted.take(ordered=False) == Scope(frr=True)
        assert wanted.take(ordered=False) is None  # begins, and gives way to the next
        wanted.ask()
        now += LATE_SECONDS / 10
    now += 1
    wanted.ask(Scope(frr=True))
    assert (wanted.pending, wanted.pressing) == (True, False)
    assert wanted.take(ordered=False) is None
    assert (wanted.pending, wanted.pressing) == (True, False)
    wanted.looked()
    assert (wanted.pending, wanted.pressing) == (True, True)
    assert wanted.take(ordered=False) == Scope(frr=True)
    assert not wanted.pending


def test_an_order_is_carried_out_where_it_differs_before_everything_is_looked_at() -> None:
    wanted = Wanted()
    wanted.ask()
    assert wanted.take(ordered=True) == Scope()
    assert wanted.take(ordered=False) is None
    assert wanted.take(ordered=True) == Scope()
    assert not wanted.pending
