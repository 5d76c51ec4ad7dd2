"""Something else undoes our repairs: noticed, suppressed for a while, tried again, reported."""

from dcedge.plan.resource import Key
from dcedge.reconcile.drift import PAUSE_SECONDS, REPAIRS, Drift, PortState

LINK, SHAPER = Key("link", "eth1.101"), Key("shaper", "eth1.102")
PORT = PortState(2)


def repair_often(drift: Drift, start: float, every: float = 1.0) -> list[Key]:
    """Repair the link again and again; what has become a fight by the last one."""
    return [drift.repaired({LINK: PORT}, start + every * i) for i in range(REPAIRS)][-1]


def test_a_repair_now_and_then_is_no_fight() -> None:
    drift = Drift()
    assert repair_often(drift, 0.0, every=30.0) == []
    assert drift.suppressed(200.0) == frozenset()


def test_a_repair_undone_again_and_again_is_left_alone_and_said() -> None:
    drift = Drift()
    assert repair_often(drift, 0.0) == [LINK]
    assert drift.suppressed(REPAIRS) == {LINK}
    assert "repair of link eth1.101 is suppressed" in drift.notes(REPAIRS)[0]
    assert SHAPER not in drift.suppressed(REPAIRS)


def test_it_is_tried_again_later_and_each_time_later_still() -> None:
    drift = Drift()
    repair_often(drift, 0.0)
    assert drift.suppressed(REPAIRS + PAUSE_SECONDS) == frozenset()
    assert repair_often(drift, 100.0) == [LINK]
    assert drift.suppressed(100.0 + REPAIRS + PAUSE_SECONDS) == {LINK}


def test_a_new_order_is_carried_out_at_once() -> None:
    drift = Drift()
    repair_often(drift, 0.0)
    drift.forget()
    assert drift.suppressed(REPAIRS) == frozenset()


def test_what_goes_with_its_port_and_comes_back_with_it_is_no_fight() -> None:
    drift = Drift()
    assert not any(drift.repaired({LINK: PortState(index)}, index) for index in range(2, 2 + 2 * REPAIRS))


def test_what_goes_with_the_carrier_of_its_port_is_no_fight() -> None:
    drift = Drift()
    assert not any(drift.repaired({LINK: PortState(2, changes)}, changes) for changes in range(2 * REPAIRS))


def test_it_is_known_when_the_next_repair_may_be_tried() -> None:
    drift = Drift()
    assert drift.next_end(0.0) is None
    repair_often(drift, 0.0)
    assert drift.next_end(REPAIRS) == REPAIRS - 1 + PAUSE_SECONDS
