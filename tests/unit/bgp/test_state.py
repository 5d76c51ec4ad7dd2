"""Reading what FRR says of its sessions."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from dcedge.bgp.state import FamilyPrefixes, escape, parse_bfd, parse_sessions
from dcedge.errors import FrrError

NEIGHBOR = {
    "remoteAs": 64512,
    "nbrDesc": "dcedge:prod-a",
    "bgpState": "Established",
    "bgpTimerUpMsec": 61000,
    "bgpTimerHoldTimeMsecs": 90000,
    "bgpTimerKeepAliveIntervalMsecs": 30000,
    "addressFamilyInfo": {
        "ipv4Unicast": {
            "acceptedPrefixCounter": 2,
            "sentPrefixCounter": 1,
            "prefixOutAllowedMax": 100,
            "prefixAllowedMax": 1000,
        }
    },
    "connectionsDropped": 3,
    "lastResetDueTo": "Peer closed \x1b[31mthe session\n",
    "authenticationEnabled": 1,
    "peerBfdInfo": {"status": "Up"},
}


def tables(**peers: object) -> str:
    return json.dumps({"default": {"vrfId": 0, "vrfName": "default", **peers}})


def test_an_established_session() -> None:
    (state,) = parse_sessions(tables(**{"10.0.0.1": NEIGHBOR}))
    assert state.up
    assert (state.peer, state.vrf, state.virtual_interface) == (ip_address("10.0.0.1"), "default", "prod-a")
    assert (state.uptime, state.transitions, state.bfd, state.password) == (61.0, 3, "up", True)
    assert (state.hold, state.keepalive) == (90, 30)
    assert state.prefixes == (FamilyPrefixes("ipv4", None, 2, 1, 1000, 100),)


def test_a_session_that_is_down_has_no_uptime() -> None:
    (state,) = parse_sessions(tables(**{"10.0.0.1": {**NEIGHBOR, "bgpState": "Active"}}))
    assert not state.up
    assert state.uptime is None


def test_what_a_peer_sent_cannot_drive_a_terminal_or_break_a_line() -> None:
    (state,) = parse_sessions(tables(**{"10.0.0.1": NEIGHBOR}))
    assert state.last_reset == "Peer closed \\x1b[31mthe session\\n"
    assert len(escape("x" * 10_000)) == 200


def test_an_operators_neighbours_are_told_apart() -> None:
    states = parse_sessions(tables(**{"10.0.0.1": {**NEIGHBOR, "nbrDesc": "office"}, "eth0": NEIGHBOR}))
    assert [state.virtual_interface for state in states] == [None]


@pytest.mark.parametrize("answer", ["", "% BGP instance not found", "[]", "3"])
def test_what_is_no_such_answer_is_an_error(answer: str) -> None:
    with pytest.raises(FrrError):
        parse_sessions(answer)


def test_no_instance_is_no_session() -> None:
    assert parse_sessions("{}") == ()


def test_bfd_peers() -> None:
    (peer,) = parse_bfd(
        json.dumps([{"peer": "10.0.0.1", "vrf": "default", "status": "up", "receive-interval": 300, "interface": "v0"}])
    )
    assert (peer.status, peer.receive_interval, peer.interface) == ("up", 300, "v0")
