"""What a poll makes of a pass: the picture that status, page and metrics show, and the verdicts in it."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from dcedge.bgp.state import FamilyPrefixes, SessionState
from dcedge.expose.snapshot import VirtualInterfaceSnapshot
from dcedge.facts import Place
from dcedge.kernel.counters import Counters, LinkCounters
from dcedge.order.kinds import Family
from dcedge.picture import Picture, Poll
from dcedge.reconcile import PassResult
from tests.unit.bgp.orders import vi
from tests.unit.fake.router import FakeRouter
from tests.unit.passes.orders import order

ORDER = order({"a": vi(1)})
LONG_SINCE = 600.0  # seconds; nothing has just come up


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PassResult:
    """Of a pass that did all that was ordered."""
    return FakeRouter(tmp_path, monkeypatch).run(ORDER)


def session(accepted: int, family: Family = "ipv4") -> dict[Place, SessionState]:
    """An established one that brings so many prefixes and takes one along."""
    state = SessionState(
        peer=ip_address("10.255.1.1"),
        vrf="default",
        virtual_interface="a",
        state="Established",
        admin_down=False,
        uptime=3600.0,
        prefixes=(FamilyPrefixes(family, None, accepted, 1),),
        last_reset=None,
        transitions=0,
    )
    return {(state.vrf, str(state.peer)): state}


def counters(carried: int) -> Counters:
    """Of a port and its virtual interface, which has carried so many bytes either way."""
    return Counters(
        {
            name: LinkCounters(1, 1, carried, carried, 0, 0, carrier=True, carrier_changes=1)
            for name in ("eth1", "eth1.1")
        },
        {},
    )


def seen(
    result: PassResult, *, accepted: int = 3, bytes_a_second: int = 0, drained: bool = False
) -> tuple[Picture, VirtualInterfaceSnapshot]:
    """The picture after two polls, and the virtual interface in it."""
    picture = Picture()
    for at, carried in ((0.0, 0), (LONG_SINCE, int(bytes_a_second * LONG_SINCE))):
        poll = Poll(at, counters(carried), session(accepted), "")
        picture.update(ORDER, result, poll, {}, frozenset({"a"} if drained else ()))
    (only,) = picture._interfaces
    return picture, only


def test_a_session_that_brings_prefixes_carries_traffic(result: PassResult) -> None:
    picture, a = seen(result, accepted=3)
    assert (a.verdict.state, a.failing) == ("up", ())
    assert [(s.peer, s.accepted, s.advertised) for s in a.sessions] == [("10.255.1.1", 3, 1)]
    assert picture.carrying(ORDER) == {"a": frozenset({"ipv4"})}


def test_a_session_that_brings_no_prefix_is_said_to_and_carries_nothing(result: PassResult) -> None:
    picture, a = seen(result, accepted=0)
    assert (a.verdict.state, a.verdict.layer) == ("degraded", "prefixes")
    assert a.verdict.reason == "10.255.1.1 announces no prefix that is accepted here"
    assert picture.carrying(ORDER) == {"a": frozenset()}


@pytest.mark.parametrize(("bytes_a_second", "carries"), [(0, ""), (800, ""), (625_000, ", but carries 5M in, 5M out")])
def test_a_drained_path_is_quiet_though_it_still_has_keepalives(
    bytes_a_second: int, carries: str, result: PassResult
) -> None:
    _, a = seen(result, bytes_a_second=bytes_a_second, drained=True)
    assert (a.verdict.state, a.verdict.reason) == ("drained", f"drained by an operator{carries}")


def test_what_a_pass_could_not_do_is_said_of_whom_it_affects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    router = FakeRouter(tmp_path, monkeypatch)
    router.kernel.refuse("RTM_NEWQDISC", code=12, text="no room")
    _, a = seen(router.run(ORDER))
    assert a.failing == ("create shaper eth1.1: no room (Cannot allocate memory)",)
    assert a.verdict.state == "degraded"
