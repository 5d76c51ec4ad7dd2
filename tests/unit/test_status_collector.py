"""What a poll makes of a pass: the picture that status, page and metrics show, and the verdicts in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest

from dcedge.frr.state import FamilyPrefixes, SessionState
from dcedge.kernel.counters import Counters, LinkCounters
from dcedge.kernel.softnet import SoftnetCounters
from dcedge.monitor.collect_facts import Place
from dcedge.monitor.health.facts import OwnLoss
from dcedge.monitor.snapshot import FrrSnapshot, OrderSnapshot, PassSnapshot, VirtualInterfaceSnapshot
from dcedge.monitor.status_collector import Sample, StatusCollector
from dcedge.order.field_types import Family
from dcedge.probe.histogram import HistogramCounts
from dcedge.probe.prober import ProberStats
from dcedge.probe.schedule import ProbeSlot
from dcedge.probe.stream import Stream
from dcedge.probe.target import Target
from dcedge.reconcile.result import PassResult
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
    result: PassResult,
    *,
    accepted: int = 3,
    bytes_a_second: int = 0,
    drained: bool = False,
    streams: Mapping[str, tuple[Stream, ...]] | None = None,
) -> tuple[StatusCollector, VirtualInterfaceSnapshot]:
    """The picture after two polls, and the virtual interface in it."""
    picture = StatusCollector()
    for at, carried in ((0.0, 0), (LONG_SINCE, int(bytes_a_second * LONG_SINCE))):
        poll = Sample(at, counters(carried), session(accepted), "")
        picture.update(ORDER, result, poll, streams or {}, frozenset({"a"} if drained else ()))
    (only,) = picture._interfaces
    return picture, only


def test_a_session_that_brings_prefixes_carries_traffic(result: PassResult) -> None:
    picture, a = seen(result, accepted=3)
    assert (a.verdict.state, a.failing) == ("up", ())
    assert [(s.peer, s.accepted, s.advertised) for s in a.sessions] == [("10.255.1.1", 3, 1)]
    assert picture.carrying(ORDER) == {"a": frozenset({"ipv4"})}


def test_what_the_port_and_the_processors_lost_is_kept_by_virtual_interface(result: PassResult) -> None:
    picture = StatusCollector()
    for at, lost in ((0.0, 0), (30.0, 100)):
        port = LinkCounters(
            900 if at else 0, 1, 0, 0, 0, 0, carrier=True, carrier_changes=1, faults=(("rx_fifo_errors", lost),)
        )
        softnet = (SoftnetCounters(0, 1_000 * (1 + lost), lost, 0),)
        poll = Sample(at, Counters({"eth1": port, "eth1.1": port}, {}), session(3), "", softnet=softnet)
        picture.update(ORDER, result, poll, {}, frozenset())
    (a,) = picture._interfaces
    assert a.own_losses == (OwnLoss("eth1", "rx_fifo_errors", 100, 1_000),)
    assert a.verdict.state == "up"
    shown = picture.snapshot(ORDER, FrrSnapshot(True, ""), PassSnapshot(), OrderSnapshot("order.yaml"), None)
    assert shown.softnet == softnet


def test_a_session_that_brings_no_prefix_is_said_to_and_carries_nothing(result: PassResult) -> None:
    picture, a = seen(result, accepted=0)
    assert (a.verdict.state, a.verdict.layer) == ("degraded", "prefixes")
    assert a.verdict.reason == "10.255.1.1 announces no prefix that is accepted here"
    assert picture.carrying(ORDER) == {"a": frozenset()}


@pytest.mark.parametrize(
    ("bytes_a_second", "carries"), [(0, ""), (800, ""), (625_000, ", but still carries 5M in, 5M out")]
)
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


def lone_stream() -> Stream:
    """The probes of the virtual interface, of which none has left yet."""
    customer, cloud = ip_address("10.255.1.2"), ip_address("10.255.1.1")
    return Stream(Target("a", "fra-1", "ipv4", 7, None, customer, cloud, 1.0, 1500), ProbeSlot(1.0, 0.0))


def answered(stream: Stream, rtt_ns: int) -> None:
    """A probe leaves, and its reply comes."""
    sequence = stream.leaves(1_000_000)
    stream.has_left()
    assert stream.reply(sequence, 1_000_000 + rtt_ns)


def test_what_is_seen_stays_as_it_was_judged_while_the_probes_go_on(result: PassResult) -> None:
    stream = lone_stream()
    answered(stream, 2_000_000)
    _, a = seen(result, streams={"a": (stream,)})
    (probe,) = a.probes
    before = (probe.sent, probe.rtt_last, probe.window_probes, probe.histogram.observations)
    answered(stream, 9_000_000)
    assert before == (1, 0.002, 1, 1)
    assert (probe.sent, probe.rtt_last, probe.window_probes, probe.histogram.observations) == before
    assert stream.sent == 2


def mutable(value: object, where: str = "") -> list[str]:
    """What in a value can still be changed; a histogram's counts are a copy of their own."""
    if value is None or isinstance(value, str | int | float | IPv4Address | IPv6Address | HistogramCounts):
        return []
    if isinstance(value, tuple):
        return [text for n, part in enumerate(value) for text in mutable(part, f"{where}[{n}]")]
    if is_dataclass(value) and type(value).__hash__ is not None:  # what is not frozen has none
        return [text for f in fields(value) for text in mutable(getattr(value, f.name), f"{where}.{f.name}")]
    return [f"{where}: {type(value).__name__}"]


def test_nothing_in_a_snapshot_can_change(result: PassResult) -> None:
    stream = lone_stream()
    answered(stream, 2_000_000)
    picture, _ = seen(result, streams={"a": (stream,)})
    frr, passes, file = FrrSnapshot(available=True, detail=""), PassSnapshot(), OrderSnapshot("order.yaml")
    shown = picture.snapshot(ORDER, frr, passes, file, ProberStats(0, 0))
    assert shown.virtual_interfaces[0].sessions
    assert shown.virtual_interfaces[0].probes
    assert mutable(shown) == []


def test_a_busy_virtual_interface_has_more_probes_of_full_size(result: PassResult) -> None:
    stream = lone_stream()
    seen(result, streams={"a": (stream,)}, bytes_a_second=500_000_000 // 8)
    assert stream.busy
    seen(result, streams={"a": (stream,)}, bytes_a_second=0)
    assert not stream.busy
