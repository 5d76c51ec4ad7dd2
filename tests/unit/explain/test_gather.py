"""What is gathered before anything is judged."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from dcedge.explain.evidence import PathCheck
from dcedge.explain.gather import heard_reset, neighbour_answers, sessions_with_reasons
from dcedge.firewall.foreign import dropping_chains
from dcedge.frr.state import SessionState
from dcedge.monitor.health.facts import BfdState, SessionFacts
from dcedge.monitor.health.rules.bfd import kept_by_bfd
from tests.unit.explain.scene import INTERFACE, PEER

CEASE = "BGP Notification received: Cease/Administrative Shutdown"


def chain(table: str, name: str, hook: str, policy: str = "accept") -> dict[str, object]:
    return {"chain": {"family": "inet", "table": table, "name": name, "hook": hook, "policy": policy, "prio": 0}}


def rule(table: str, name: str, *expressions: dict[str, object]) -> dict[str, object]:
    return {"rule": {"family": "inet", "table": table, "chain": name, "expr": list(expressions)}}


def test_the_chains_of_others_that_drop_are_named_and_ours_are_not() -> None:
    listing = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"table": {"family": "inet", "name": "filter"}},
            chain("filter", "forward", "forward", "drop"),
            chain("filter", "input", "input"),
            rule("filter", "input", {"match": {}}, {"drop": None}),
            rule("filter", "input", {"match": {}}, {"reject": None}),
            chain("filter", "output", "output"),
            rule("filter", "output", {"counter": {}}, {"accept": None}),
            {"chain": {"family": "inet", "table": "filter", "name": "helper"}},
            rule("filter", "helper", {"drop": None}),
            chain("dcedge", "guard", "input", "drop"),
        ]
    }
    assert list(dropping_chains(listing)) == [
        "nft table inet filter, chain forward (hook forward, policy drop)",
        "nft table inet filter, chain input (hook input, 2 dropping rules)",
    ]


@pytest.mark.parametrize(
    ("heard", "received", "bfd", "answers"),
    [
        (set(), 0, "down", False),
        ({PEER}, 0, "down", True),
        (set(), 3, "down", None),
        (None, 0, "down", None),
        (set(), 0, "up", None),
    ],
    ids=["silent", "answers", "pings", "nobody listened", "BFD"],
)
def test_silence_on_arp_is_none_where_packets_come_back(
    heard: set[str] | None, received: int, bfd: BfdState, answers: bool | None
) -> None:
    path = PathCheck(PEER, sent=5, received=received)
    session = SessionFacts(PEER, "ipv4", "Established", bfd=bfd)
    assert neighbour_answers(path, heard, (session,)) is answers
    other = PathCheck("10.255.9.9", sent=5)
    assert neighbour_answers(other, set(), (session,)) is False


def test_no_listing_is_no_chain() -> None:
    assert list(dropping_chains({})) == []
    assert list(dropping_chains(None)) == []


@pytest.mark.parametrize(
    ("frr", "daemon", "told"),
    [
        (None, (3, CEASE), CEASE),
        ("Peer closed the session", (3, CEASE), CEASE),
        (CEASE, (3, "BFD down received"), CEASE),
        (None, (2, CEASE), None),  # of the loss before
        (None, (3, None), None),
    ],
)
def test_why_a_session_was_lost_is_what_the_daemon_still_knows_of_it(
    frr: str | None, daemon: tuple[int, str | None], told: str | None
) -> None:
    state = SessionState(ip_address(PEER), "default", "prod-a", "Active", False, None, (), frr, transitions=3)
    (facts,) = sessions_with_reasons(INTERFACE, {("default", PEER): state}, {PEER: daemon})
    assert facts.last_reset == told


@pytest.mark.parametrize(
    ("known", "heard", "told"),
    [
        ("Peer closed the session", "Cease/Administrative Shutdown", CEASE),
        (f"{CEASE}: until 18:00", "Cease/Administrative Shutdown", f"{CEASE}: until 18:00"),
        (CEASE, "OPEN Message Error/Bad Peer AS", "BGP Notification received: OPEN Message Error/Bad Peer AS"),
        (CEASE, None, CEASE),
        (None, None, None),
    ],
)
def test_a_notification_that_is_heard_is_the_last_one(known: str | None, heard: str | None, told: str | None) -> None:
    assert heard_reset(known, heard) == told


@pytest.mark.parametrize(("bfd", "kept"), [("down", True), ("unknown", True), ("up", False), (None, False)])
def test_bfd_is_the_reason_of_an_idle_session_only_where_it_is_in_force(bfd: str | None, kept: bool) -> None:
    state = SessionState(
        ip_address(PEER), "default", "prod-a", "Idle", False, None, (), None, transitions=0, bfd=bfd, held=True
    )
    (facts,) = sessions_with_reasons(INTERFACE, {("default", PEER): state}, {})
    assert kept_by_bfd(facts) is kept
