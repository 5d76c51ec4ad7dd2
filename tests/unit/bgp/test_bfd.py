"""BFD joins a session when it is up, where FRR would not set it up before."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dcedge.frr.bfd_waits import HELD_SECONDS, STUCK_SECONDS, TURN_SECONDS, BfdWaits, place_of, waits_for_bgp
from dcedge.frr.state import SessionState

PEER = "10.255.101.1"
PLACE = place_of(None, PEER)
HELD = SessionState(
    peer=ip_address(PEER),
    vrf="default",
    virtual_interface="prod-a",
    state="Idle",
    admin_down=False,
    uptime=None,
    prefixes=(),
    last_reset=None,
    transitions=0,
    bfd="down",
    held=True,
)
UP = replace(HELD, state="Established", uptime=1.0, held=False)
NOBODY = BfdWaits()
WAITING = BfdWaits(frozenset({PLACE}))


def looks(state: SessionState, *times: float, before: BfdWaits = NOBODY, unreachable: bool = False) -> BfdWaits:
    """What looks at a session at these times come to."""
    waits = before
    for now in times:
        waits = waits_for_bgp([state], {PLACE}, {PLACE} if unreachable else (), waits, now)
    return waits


def test_a_session_that_is_held_by_its_bfd_is_set_up_without_it() -> None:
    assert looks(HELD, 100).waiting == frozenset(), "one look is not enough"
    assert looks(HELD, 100, 100 + HELD_SECONDS).waiting == {PLACE}


def test_bfd_has_its_chance_first_once_the_cloud_can_be_reached() -> None:
    cut = looks(HELD, 100, 200, unreachable=True)
    assert cut.waiting == frozenset()
    assert looks(HELD, 201, 200 + HELD_SECONDS, before=cut).waiting == frozenset()
    assert looks(HELD, 201, 201 + HELD_SECONDS, before=cut).waiting == {PLACE}


@pytest.mark.parametrize(
    "other",
    [
        replace(HELD, held=False),
        replace(HELD, bfd="up"),
        replace(HELD, bfd=None),
        replace(HELD, state="Active", held=False),
    ],
    ids=["starts by itself", "BFD is up", "no BFD", "on its way"],
)
def test_no_other_session_loses_its_bfd(other: SessionState) -> None:
    assert looks(other, 100, 160).waiting == frozenset()


def test_bfd_joins_when_the_session_is_up() -> None:
    on_its_way = replace(HELD, held=False, bfd=None, state="Connect")
    assert looks(on_its_way, 100, 101, before=WAITING).waiting == {PLACE}
    assert looks(UP, 100, before=WAITING).waiting == frozenset()


def test_where_it_does_not_come_up_without_bfd_either_bfd_has_its_turn_again() -> None:
    on_its_way = replace(HELD, held=False, bfd=None, state="Active")
    assert looks(on_its_way, 100, 99 + TURN_SECONDS, before=WAITING).waiting == {PLACE}
    again = looks(on_its_way, 100, 100 + TURN_SECONDS, before=WAITING)
    assert again.waiting == frozenset()
    at = 100 + TURN_SECONDS
    assert looks(HELD, at + 1, at + 1 + HELD_SECONDS, before=again).waiting == {PLACE}


def test_who_has_left_the_order_or_ordered_no_bfd_waits_for_nothing() -> None:
    assert waits_for_bgp([HELD], set(), (), WAITING, 100).waiting == frozenset()


def test_a_session_that_frr_does_not_tell_of_now_goes_on_waiting() -> None:
    assert waits_for_bgp([], {PLACE}, (), WAITING, 100).waiting == {PLACE}


def test_a_session_that_is_left_idle_without_bfd_too_is_started_now_and_then() -> None:
    idle = replace(HELD, bfd=None)
    first = looks(idle, 100, before=WAITING)
    later = looks(idle, 100 + STUCK_SECONDS, before=first)
    assert (first.stuck, later.stuck) == ((), (idle,))
    assert looks(idle, 101 + STUCK_SECONDS, before=later).stuck == (), "not with every look"
    assert looks(idle, 100, 160).stuck == (), "whoever is idle for another reason stays so"
