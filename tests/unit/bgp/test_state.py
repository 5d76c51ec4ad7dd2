"""Reading what FRR says of its sessions."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from dcedge.bgp.state import FamilyPrefixes, SessionReader, escape, parse_bfd, parse_sessions
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
    assert (state.uptime, state.transitions, state.bfd) == (61.0, 3, "up")
    assert state.prefixes == (FamilyPrefixes("ipv4", None, 2, 1),)


def test_a_session_that_is_down_has_no_uptime() -> None:
    (state,) = parse_sessions(tables(**{"10.0.0.1": {**NEIGHBOR, "bgpState": "Active"}}))
    assert not state.up
    assert state.uptime is None


class FakeBgpd:
    """Answers as bgpd does, and remembers the questions."""

    def __init__(self) -> None:
        self.peers: dict[str, dict[str, object]] = {}
        self.asked: list[str] = []

    def ask(self, question: str) -> str:
        self.asked.append(question)
        if "summary" in question:
            peers = {
                peer: {
                    "state": "Idle (Admin)" if facts.get("adminShutDown") else facts["bgpState"],
                    "peerState": "Admin" if facts.get("adminShutDown") else "OK",
                    "pfxRcd": 2,
                    "pfxSnt": 1,
                    "peerUptimeMsec": 61000,
                    "connectionsDropped": facts["connectionsDropped"],
                    "desc": "dcedge:prod-a",
                }
                for peer, facts in self.peers.items()
            }
            return json.dumps({"default": {"ipv4Unicast": {"peers": peers}}, "red": {}})
        if "neighbors json" in question:
            return tables(**self.peers)
        peer = question.split()[-2]
        return json.dumps({peer: self.peers[peer]} if peer in self.peers else {"bgpNoSuchNeighbor": True})


def test_the_summary_and_the_full_account_say_the_same() -> None:
    bgpd = FakeBgpd()
    bgpd.peers = {"10.0.0.1": NEIGHBOR | {"peerBfdInfo": None}}
    reader = SessionReader()
    first, second = reader.read(bgpd.ask), reader.read(bgpd.ask)
    assert first == second
    assert [question for question in bgpd.asked if "summary" not in question] == [
        "show bgp vrf default neighbors 10.0.0.1 json"
    ]


def test_why_a_session_was_lost_is_asked_again_after_each_loss_and_while_it_is_down() -> None:
    bgpd, reader = FakeBgpd(), SessionReader()
    bgpd.peers = {"10.0.0.1": dict(NEIGHBOR)}
    reader.read(bgpd.ask)
    bgpd.peers["10.0.0.1"] |= {"connectionsDropped": 4, "lastResetDueTo": "BFD down received"}
    assert reader.read(bgpd.ask)[0].last_reset == "BFD down received"
    bgpd.peers["10.0.0.1"] |= {"bgpState": "Active", "lastResetDueTo": "Waiting for peer OPEN"}
    assert reader.read(bgpd.ask)[0].last_reset == "Waiting for peer OPEN"
    bgpd.peers["10.0.0.1"] |= {"bgpState": "Idle", "adminShutDown": True}
    assert reader.read(bgpd.ask)[0].admin_down


def test_what_a_notification_said_outlives_the_attempts_after_it_but_not_the_next_loss() -> None:
    bgpd, reader = FakeBgpd(), SessionReader()
    bgpd.peers = {"10.0.0.1": dict(NEIGHBOR)}
    reader.read(bgpd.ask)
    cease = {
        "lastResetDueTo": "BGP Notification received",
        "lastNotificationReason": "Cease/Maximum Number of Prefixes",
    }
    hung_up = NEIGHBOR | {"bgpState": "Active", "lastResetDueTo": "Peer closed the session"}
    bgpd.peers["10.0.0.1"] = hung_up | {"connectionsDropped": 4} | cease
    said = reader.read(bgpd.ask)[0].last_reset
    assert said == "BGP Notification received: Cease/Maximum Number of Prefixes"
    bgpd.peers["10.0.0.1"] = hung_up | {"connectionsDropped": 4}
    assert reader.read(bgpd.ask)[0].last_reset == said
    bgpd.peers["10.0.0.1"] = hung_up | {"connectionsDropped": 5}
    assert reader.read(bgpd.ask)[0].last_reset == "Peer closed the session"


def test_of_many_that_are_down_all_are_asked_at_once() -> None:
    bgpd, reader = FakeBgpd(), SessionReader()
    bgpd.peers = {f"10.0.0.{n}": NEIGHBOR | {"bgpState": "Active"} for n in range(1, 100)}
    assert len(reader.read(bgpd.ask)) == 99
    assert len(bgpd.asked) == 2


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


@pytest.mark.parametrize(
    ("facts", "detection_ms"),
    [
        ({"uptime": 60}, 900),
        ({"uptime": 60, "remote-transmit-interval": 2000}, 6000),
        ({"uptime": 60, "receive-interval": 1000, "remote-detect-multiplier": 5}, 5000),
        ({"uptime": 1, "remote-transmit-interval": 1000}, None),  # it sends slowly until both ends are up
        ({"uptime": 60, "status": "down"}, None),
    ],
)
def test_the_slower_end_sets_bfds_pace(facts: dict[str, object], detection_ms: int | None) -> None:
    usual = {"remote-detect-multiplier": 3, "receive-interval": 300, "remote-transmit-interval": 300}
    (peer,) = parse_bfd(json.dumps([{"peer": "10.0.0.1", "status": "up", **usual, **facts}]))
    assert peer.detection_ms == detection_ms
