"""Somebody else undoes our repairs: noticed, left alone for a while, tried again, said."""

from dcedge.fights import PAUSE_SECONDS, REPAIRS, Fights
from dcedge.resource import Key

LINK, SHAPER = Key("link", "eth1.101"), Key("shaper", "eth1.102")


def fight(fights: Fights, start: float, every: float = 1.0) -> list[Key]:
    """Repair the link again and again; what has become a fight by the last one."""
    return [fights.repaired({LINK: 2}, start + every * i) for i in range(REPAIRS)][-1]


def test_a_repair_now_and_then_is_no_fight() -> None:
    fights = Fights()
    assert fight(fights, 0.0, every=30.0) == []
    assert fights.held(200.0) == frozenset()


def test_a_repair_undone_again_and_again_is_left_alone_and_said() -> None:
    fights = Fights()
    assert fight(fights, 0.0) == [LINK]
    assert fights.held(REPAIRS) == {LINK}
    assert "link eth1.101 is undone by somebody else" in fights.told(REPAIRS)[0]
    assert SHAPER not in fights.held(REPAIRS)


def test_it_is_tried_again_later_and_each_time_later_still() -> None:
    fights = Fights()
    fight(fights, 0.0)
    assert fights.held(REPAIRS + PAUSE_SECONDS) == frozenset()
    assert fight(fights, 100.0) == [LINK]
    assert fights.held(100.0 + REPAIRS + PAUSE_SECONDS) == {LINK}


def test_a_new_order_is_carried_out_at_once() -> None:
    fights = Fights()
    fight(fights, 0.0)
    fights.forget()
    assert fights.held(REPAIRS) == frozenset()


def test_what_goes_with_its_port_and_comes_back_with_it_is_no_fight() -> None:
    fights = Fights()
    assert not any(fights.repaired({LINK: index}, index) for index in range(2, 2 + 2 * REPAIRS))


def test_it_is_known_when_the_next_repair_may_be_tried() -> None:
    fights = Fights()
    assert fights.next_release(0.0) is None
    fight(fights, 0.0)
    assert fights.next_release(REPAIRS) == REPAIRS - 1 + PAUSE_SECONDS
