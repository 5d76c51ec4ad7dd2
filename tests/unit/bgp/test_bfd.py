"""BFD joins a session when it is up, where FRR would not set it up before."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dcedge.bgp.bfd import HELD_SECONDS, STUCK_SECONDS, BfdWaits, place_of, waits_for_bgp
from dcedge.bgp.state import SessionState

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
WAITING = BfdWaits(frozenset({PLACE}))


def seen_for(state: SessionState, seconds: float, before: BfdWaits) -> BfdWaits:
    """What two looks at a session, so many seconds apart, come to."""
    return waits_for_bgp([state], {PLACE}, waits_for_bgp([state], {PLACE}, before, 100), 100 + seconds)


def test_a_session_that_is_held_by_its_bfd_is_set_up_without_it() -> None:
    assert waits_for_bgp([HELD], {PLACE}, BfdWaits(), 100).waiting == frozenset(), "one look is not enough"
    assert seen_for(HELD, HELD_SECONDS, BfdWaits()).waiting == {PLACE}


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
    assert seen_for(other, 60, BfdWaits()).waiting == frozenset()


def test_bfd_joins_when_the_session_is_up_and_not_before() -> None:
    without_bfd = replace(HELD, held=False, bfd=None, state="Connect")
    assert seen_for(without_bfd, 3600, WAITING).waiting == {PLACE}
    assert waits_for_bgp([UP], {PLACE}, WAITING, 100).waiting == frozenset()


def test_who_has_left_the_order_or_ordered_no_bfd_waits_for_nothing() -> None:
    assert waits_for_bgp([HELD], set(), WAITING, 100).waiting == frozenset()


def test_a_session_that_frr_does_not_tell_of_now_goes_on_waiting() -> None:
    assert waits_for_bgp([], {PLACE}, WAITING, 100).waiting == {PLACE}


def test_a_session_that_is_left_idle_without_bfd_too_is_started_now_and_then() -> None:
    idle = replace(HELD, bfd=None)
    first = waits_for_bgp([idle], {PLACE}, WAITING, 100)
    later = waits_for_bgp([idle], {PLACE}, first, 100 + STUCK_SECONDS)
    assert (first.stuck, later.stuck) == ((), (idle,))
    assert waits_for_bgp([idle], {PLACE}, later, 101 + STUCK_SECONDS).stuck == (), "not with every look"
    others = waits_for_bgp([idle], {PLACE}, BfdWaits(held={PLACE: 0.0}), 100)
    assert others.stuck == (), "whoever is idle for another reason stays so"
