"""Reading what FRR says of its sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address

import pytest

from dcedge.errors import FrrError
from dcedge.frr.sessions import SessionReader
from dcedge.frr.state import FamilyPrefixes, escape, parse_bfd, parse_sessions

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
    bgpd.peers["10.0.0.1"] |= {"bgpState": "Active", "lastResetDueTo": "Interface down"}
    assert reader.read(bgpd.ask)[0].last_reset == "Interface down"
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


CEASE = {
    "lastResetDueTo": "BGP Notification received",
    "lastNotificationReason": "Cease/Administrative Shutdown",
    "lastShutdownDescription": "Peer closed",
}
TOLD = "BGP Notification received: Cease/Administrative Shutdown: Peer closed"
BFD_DOWN = {"lastResetDueTo": "BFD down received"}
# What 8.4 says of a session that is up by a connection that it has accepted, and 10.3; and what both say of attempts.
OF_NOTHING: tuple[dict[str, object], ...] = (
    {"lastResetDueTo": "No AFI/SAFI activated for peer"},
    {"lastReset": "never"},
    {"lastResetDueTo": ""},
    {"lastResetDueTo": "Waiting for peer OPEN"},
)
OF_ATTEMPTS: tuple[dict[str, object], ...] = (
    *OF_NOTHING,
    {"lastResetDueTo": "Peer closed the session"},
    {"lastResetDueTo": "Waiting for NHT"},
    {"lastResetDueTo": "No path to specified Neighbor"},
    {
        "lastResetDueTo": "BGP Notification send",
        "lastNotificationReason": "Cease/Connection Collision Resolution",
    },
)


def neighbor(lost: int, facts: Mapping[str, object], state: str = "Active") -> dict[str, object]:
    known: dict[str, object] = {name: value for name, value in NEIGHBOR.items() if name != "lastResetDueTo"}
    return {**known, "bgpState": state, "connectionsDropped": lost, **facts}


@pytest.mark.parametrize("many", [False, True], ids=["asked one by one", "asked all at once"])
@pytest.mark.parametrize("after", OF_ATTEMPTS, ids=lambda facts: "/".join(map(str, facts.values())))
@pytest.mark.parametrize(("cause", "told"), [(CEASE, TOLD), (BFD_DOWN, "BFD down received")])
def test_what_tells_less_does_not_replace_why_a_session_was_lost(
    cause: Mapping[str, object], told: str, after: Mapping[str, object], many: bool
) -> None:
    bgpd, reader = FakeBgpd(), SessionReader()
    others = {f"10.0.1.{n}": neighbor(0, {}) for n in range(1, 40 if many else 2)}
    for lost, facts, state in ((4, cause, "Idle"), (4, after, "Active"), (4, {}, "Established")):
        bgpd.peers = others | {"10.0.0.1": neighbor(lost, facts, state)}
        assert reader.read(bgpd.ask)[-1].last_reset == told, state


@pytest.mark.parametrize("untold", OF_NOTHING, ids=str)
def test_a_loss_that_bgpd_does_not_explain_has_the_reason_of_an_earlier_one_beside_it(
    untold: dict[str, object],
) -> None:
    bgpd, reader = FakeBgpd(), SessionReader()
    bgpd.peers["10.0.0.1"] = neighbor(4, CEASE)
    reader.read(bgpd.ask)
    for lost in (5, 5, 6):
        bgpd.peers["10.0.0.1"] = neighbor(lost, untold, "Established")
        (state,) = reader.read(bgpd.ask)
        assert (state.last_reset, state.earlier_reset) == (None, TOLD)
    bgpd.peers["10.0.0.1"] = neighbor(7, BFD_DOWN)
    assert reader.read(bgpd.ask)[0].last_reset == "BFD down received"


def test_a_bgpd_that_was_restarted_has_lost_nothing_yet() -> None:
    bgpd, reader = FakeBgpd(), SessionReader()
    bgpd.peers["10.0.0.1"] = neighbor(4, CEASE)
    reader.read(bgpd.ask)
    bgpd.peers["10.0.0.1"] = neighbor(0, {"lastReset": "never"})
    (state,) = reader.read(bgpd.ask)
    assert (state.last_reset, state.earlier_reset) == (None, None)


@pytest.mark.parametrize(
    ("facts", "held"),
    [
        ({"bgpState": "Idle"}, True),  # as 10.3 has it while BFD is down
        ({"bgpState": "Idle", "nextStartTimerDueInMsecs": 1000}, False),
        ({"bgpState": "Idle", "adminShutDown": True}, False),
        ({"bgpState": "Active"}, False),
    ],
)
def test_a_session_that_bgpd_will_not_start_by_itself_is_told_apart(facts: dict[str, object], held: bool) -> None:
    (state,) = parse_sessions(tables(**{"10.0.0.1": NEIGHBOR | facts}))
    assert state.held is held


def test_of_many_that_are_down_all_are_asked_at_once() -> None:
    bgpd, reader = FakeBgpd(), SessionReader()
    bgpd.peers = {f"10.0.0.{n}": NEIGHBOR | {"bgpState": "Active"} for n in range(1, 100)}
    assert len(reader.read(bgpd.ask)) == 99
    assert len(bgpd.asked) == 2


def test_what_a_peer_sent_cannot_drive_a_terminal_or_break_a_line() -> None:
    (state,) = parse_sessions(tables(**{"10.0.0.1": NEIGHBOR}))
    assert state.last_reset == "Peer closed \\x1b[31mthe session\\n"
    assert len(escape("x" * 10_000)) == 200


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Wartung bis 18 Uhr: größer 🚧", "Wartung bis 18 Uhr: größer 🚧"),
        ('say "when"', 'say "when"'),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("C1 \x9b31m", "C1 \\x9b31m"),
        ("\u202egnp.exe \u2066", "\\u202egnp.exe \\u2066"),  # bidi overrides
        ("a\u2028b\u00a0c\u200b", "a\\u2028b\\xa0c\\u200b"),
        (b"\xff\xc3 \xc3\xb6\xe2\x82", "\\xff\\xc3 ö\\xe2\\x82"),  # no UTF-8, or cut within a character
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # a surrogate, encoded
        ("typed: \\x1b[31m \\x0a \\xe2\\x80\\xae \\xZZ", "typed: \\x1b[31m \\n \\u202e \\xZZ"),
    ],
)
def test_a_peers_text_is_readable_and_harmless(sent: str | bytes, shown: str) -> None:
    said = as_bgpd_writes(sent)
    (state,) = parse_sessions(tables(**{"10.0.0.1": NEIGHBOR | CEASE | {"lastShutdownDescription": said}}))
    told = f"BGP Notification received: Cease/Administrative Shutdown: {shown}"
    assert state.last_reset == told
    assert escape(told) == told, "shown where it is escaped once more, it stays as it is"


def as_bgpd_writes(text: str | bytes) -> str:
    """A peer's text as bgpd sanitises it: byte by byte, but neither printable ASCII nor the backslash."""
    octets = text.encode() if isinstance(text, str) else text
    named = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
    return "".join(
        named.get(octet, f"\\x{octet:02x}" if octet < 0x20 or octet == 0x22 or octet > 0x7E else chr(octet))
        for octet in octets
    )


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


@pytest.mark.parametrize("answer", ["null", "1", '"x"', "{}"])
def test_bfdds_answer_that_is_no_list_is_an_error_of_frrs(answer: str) -> None:
    with pytest.raises(FrrError, match="bfdd's answer"):
        parse_bfd(answer)


@pytest.mark.parametrize("entry", [None, {}, {"peer": None}, {"peer": "eth1"}, {"status": "up"}, [], 7])
def test_an_entry_of_bfdds_that_names_no_peer_is_left_out(entry: object) -> None:
    (peer,) = parse_bfd(json.dumps([entry, {"peer": "10.0.0.1", "status": "up"}]))
    assert str(peer.peer) == "10.0.0.1"
