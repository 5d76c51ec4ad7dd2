"""How many prefixes a cloud announces: known, though the inbound policy refuses them, and at little cost to bgpd."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.frr.sessions import SessionReader
from dcedge.frr.state import SessionState


@dataclass
class Bgpd:
    """bgpd with peers that announce so many prefixes each, of which one is accepted. A walk takes `walk` seconds."""

    announced: dict[str, int]
    walk: float = 0.001
    refuses: bool = False
    wedged: bool = False
    now: float = 100.0
    walks: list[str] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)

    def ask(self, command: str) -> str:
        if command == "show bgp vrf all summary json":
            return json.dumps({"default": {"ipv4Unicast": {"ribCount": sum(self.announced.values()), **self.peers()}}})
        if "prefix-counts" not in command:
            return "{}"
        if self.wedged:
            raise FrrUnavailableError("bgpd does not answer")
        if self.refuses:
            raise FrrError("% No such neighbor")
        peer = command.split()[-3]
        self.walks.append(peer)
        self.now += self.walk
        return json.dumps({"pfxCounter": 1, "ribTableWalkCounters": {"Adj-in": self.announced[peer], "Valid": 1}})

    def peers(self) -> dict[str, object]:
        return {
            "peers": {
                peer: {"state": "Established", "pfxRcd": 1, "pfxSnt": 1, "connectionsDropped": self.lost.get(peer, 0)}
                for peer in self.announced
            }
        }

    def reader(self) -> SessionReader:
        return SessionReader(lambda: self.now)


def received(states: tuple[SessionState, ...]) -> dict[str, int | None]:
    return {str(state.peer): state.prefixes[0].received for state in states}


def test_what_the_policy_refuses_is_counted_too() -> None:
    bgpd = Bgpd({"10.0.0.1": 10_001})
    (state,) = bgpd.reader().read(bgpd.ask)
    assert (state.prefixes[0].received, state.prefixes[0].accepted) == (10_001, 1)


def test_bgpd_counts_again_only_where_something_has_changed() -> None:
    bgpd = Bgpd({"10.0.0.1": 3})
    reader = bgpd.reader()
    for _ in range(5):
        bgpd.now += 1
        assert received(reader.read(bgpd.ask)) == {"10.0.0.1": 3}
    assert len(bgpd.walks) == 1
    bgpd.announced["10.0.0.1"] = 7
    bgpd.now += 1
    assert received(reader.read(bgpd.ask)) == {"10.0.0.1": 7}


def test_of_a_thousand_sessions_each_has_its_turn_and_no_look_takes_long() -> None:
    bgpd = Bgpd({f"10.0.{n // 250}.{n % 250}": n for n in range(1000)})
    reader = bgpd.reader()
    for _ in range(100):
        before = len(bgpd.walks)
        states = reader.read(bgpd.ask)
        assert len(bgpd.walks) - before <= 16
        bgpd.now += 1
    assert received(states) == bgpd.announced


def test_a_full_table_is_counted_for_a_small_share_of_the_time() -> None:
    bgpd = Bgpd({"10.0.0.1": 1_000_000}, walk=0.3)
    reader = bgpd.reader()
    for _ in range(60):
        bgpd.announced["10.0.0.1"] += 1
        reader.read(bgpd.ask)
        bgpd.now += 1
    assert 1 < len(bgpd.walks) < 6


@pytest.mark.parametrize("wedged", [False, True], ids=["one that is gone meanwhile", "a bgpd that hangs"])
def test_no_answer_is_no_number(wedged: bool) -> None:
    bgpd = Bgpd({"10.0.0.1": 3}, refuses=not wedged, wedged=wedged)
    reader = bgpd.reader()
    if wedged:
        with pytest.raises(FrrUnavailableError):
            reader.read(bgpd.ask)
    else:
        assert received(reader.read(bgpd.ask)) == {"10.0.0.1": None}


def test_a_session_that_was_lost_is_counted_anew() -> None:
    bgpd = Bgpd({"10.0.0.1": 3, "10.0.0.2": 4})
    reader = bgpd.reader()
    reader.read(bgpd.ask)
    bgpd.now += 10
    bgpd.announced = {"10.0.0.1": 4, "10.0.0.2": 3}
    bgpd.lost = {"10.0.0.1": 1, "10.0.0.2": 1}
    assert received(reader.read(bgpd.ask)) == bgpd.announced
