"""The prober on real interfaces: what it measures, and what it must not fall for."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from dcedge.order.field_types import Family
from dcedge.probe import prober as prober_module
from dcedge.probe import stamping, stream
from dcedge.probe.icmp import EchoSocket
from dcedge.probe.prober import Prober
from dcedge.probe.stamp import StampStats
from dcedge.probe.stamping import Stamping, StampTarget, open_socket
from dcedge.probe.stream import ProbeStats
from dcedge.probe.target import Target
from tests.lab.netns import Namespace, Port, Workspace, fibre
from tests.lab.wait import PATIENCE_SECONDS, WaitError

ADDRESSES: dict[Family, tuple[str, str]] = {
    "ipv4": ("10.255.101.2", "10.255.101.1"),
    "ipv6": ("2001:db8:101::2", "2001:db8:101::1"),
}


@dataclass(frozen=True)
class Line:
    """An edge and a cloud with one fibre between them."""

    edge: Namespace
    cloud: Namespace

    def target(
        self,
        family: Family,
        interval: float = 0.05,
        name: str = "prod-a",
        port: str = "eth1",
        mtu: int | None = None,
    ) -> Target:
        customer, cloud = map(ip_address, ADDRESSES[family])
        ifindex = self.edge.call(socket.if_nametoindex, port)
        return Target(name, "fra-1", family, ifindex, None, customer, cloud, interval, mtu)

    def netem(self, *words: str) -> None:
        """Have the cloud's port treat what it sends so."""
        self.cloud.run("tc", "qdisc", "replace", "dev", "eth1", "root", "netem", *words)


@pytest.fixture
def line() -> Iterator[Line]:
    with Workspace() as workspace:
        edge, cloud = workspace.namespace("edge"), workspace.namespace("cloud")
        fibre(Port(edge, "eth1"), Port(cloud, "eth1"))
        for namespace, end in ((edge, 0), (cloud, 1)):
            namespace.ip(
                f"address add {ADDRESSES['ipv4'][end]}/30 dev eth1",
                f"address add {ADDRESSES['ipv6'][end]}/126 dev eth1 nodad",
            )
        yield Line(edge, cloud)


Scene = Callable[[Prober], Awaitable[None]]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe is late after ten seconds: where packets are under way, a machine that stands still makes none late."""
    for module in (stream, prober_module):
        monkeypatch.setattr(module, "LOST_AFTER", 10.0)
    monkeypatch.setattr(stream, "_LOST_AFTER_NS", int(10e9))


def probe(line: Line, scene: Scene, *targets: Target) -> dict[tuple[str, Family], ProbeStats]:
    """Run a scene with a prober whose sockets are on the edge; what it knows at the end."""

    def open_on_edge(family: Family, identifier: int, key: int) -> EchoSocket:
        return line.edge.call(EchoSocket, family, identifier, key)

    async def run() -> dict[tuple[str, Family], ProbeStats]:
        prober = Prober(open_on_edge)
        prober.set_targets(targets)
        prober.start()
        try:
            await scene(prober)
        finally:
            prober.close()
        return {(stats.virtual_interface, stats.family): stats for stats in prober.stats()}

    return asyncio.run(run())


async def until(what: str, prober: Prober, accept: Callable[[ProbeStats], object]) -> None:
    """Wait until the statistics of every stream are as wanted."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all(accept(stats) for stats in prober.stats()):
        if time.monotonic() > deadline:
            raise WaitError(f"waited {PATIENCE_SECONDS:g} s for {what}; last seen: {prober.stats()!r}")
        await asyncio.sleep(0.02)


async def answered(prober: Prober, count: int = 10) -> None:
    await until(f"{count} answers", prober, lambda stats: stats.received >= count)


def test_both_families_are_measured_and_nothing_is_lost(line: Line) -> None:
    found = probe(line, answered, line.target("ipv4"), line.target("ipv6"))
    for stats in found.values():
        assert (stats.lost, stats.late, stats.duplicates, stats.send_errors) == (0, 0, 0, 0)
        assert stats.rtt_min is not None
        assert 0 < stats.rtt_min <= (stats.rtt_average or 0)
        assert stats.histogram.observations == stats.received


@pytest.mark.usefixtures("patient")
def test_the_round_trip_has_the_lines_delay_and_not_the_event_loops(line: Line) -> None:
    line.netem("delay", "20ms")

    async def scene(prober: Prober) -> None:
        await answered(prober, 3)
        for _ in range(4):
            time.sleep(0.2)  # noqa: ASYNC251 - someone holds the loop; the replies lie unread
            await asyncio.sleep(0.02)
        await answered(prober, 10)

    found = probe(line, scene, line.target("ipv4"), line.target("ipv6"))
    for stats in found.values():
        assert stats.rtt_min is not None
        assert stats.rtt_average is not None
        assert stats.rtt_min >= 0.0199
        assert stats.rtt_average < 0.2
        assert stats.lost == 0


def test_a_silent_far_end_is_loss_and_its_return_is_seen(line: Line) -> None:
    async def scene(prober: Prober) -> None:
        await answered(prober)
        line.cloud.sysctl(ipv4__icmp_echo_ignore_all=1, ipv6__icmp__echo_ignore_all=1)
        await until("losses", prober, lambda stats: stats.lost >= 5)
        line.cloud.sysctl(ipv4__icmp_echo_ignore_all=0, ipv6__icmp__echo_ignore_all=0)
        before = {stats.family: stats.received for stats in prober.stats()}
        await until("answers again", prober, lambda stats: stats.received > before[stats.family] + 5)

    found = probe(line, scene, line.target("ipv4"), line.target("ipv6"))
    assert all(stats.error is None and stats.late == 0 for stats in found.values())


def test_a_link_that_is_down_is_said_to_be_the_reason(line: Line) -> None:
    async def scene(prober: Prober) -> None:
        await answered(prober, 3)
        line.edge.ip("link set eth1 down")
        await until("a reason", prober, lambda stats: stats.error)

    found = probe(line, scene, line.target("ipv4"), line.target("ipv6"))
    for stats in found.values():
        assert "etwork" in (stats.error or ""), stats.error
        assert stats.window_lost > 0


def test_a_path_that_swallows_full_size_packets_is_known_for_it_and_its_healing_too(line: Line) -> None:
    """Small probes pass all the while. A veth takes no frame above its receiver's MTU."""

    async def scene(prober: Prober) -> None:
        line.cloud.ip("link set eth1 mtu 1400")
        await until("full-size probes unanswered", prober, lambda stats: stats.full_size_misses >= 3)
        line.cloud.ip("link set eth1 mtu 1500")
        await until("full-size probes answered", prober, lambda stats: stats.full_size_answered)

    found = probe(line, scene, *(line.target(family, interval=0.02, mtu=1500) for family in ADDRESSES))
    for stats in found.values():
        assert (stats.lost, stats.late, stats.duplicates, stats.send_errors) == (0, 0, 0, 0)
        assert stats.full_size_misses == 0


def test_stamp_between_two_sites_tells_on_which_way_packets_are_lost(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends measure each other; what the cloud's end sends is lost in part: backward seen from the edge."""
    monkeypatch.setattr(stamping, "clock_error", lambda: 0.0001)  # both ends have the one clock

    def site(namespace: Namespace, end: int) -> tuple[Stamping, list[StampTarget]]:
        index = namespace.call(socket.if_nametoindex, "eth1")
        ends = [[ip_address(pair[end]), ip_address(pair[1 - end])] for pair in ADDRESSES.values()]
        targets = [StampTarget("prod-a", "eth1", index, customer, cloud, 0.02) for customer, cloud in ends]
        return Stamping(lambda target, port: namespace.call(open_socket, target, port)), targets

    async def scene() -> list[tuple[StampStats, ...]]:
        sites = [site(line.edge, 0), site(line.cloud, 1)]

        async def until_all(what: str, end: int, accept: Callable[[StampStats], object]) -> None:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not all(accept(stats) for stats in sites[end][0].stats()):
                assert time.monotonic() < deadline, f"{what}: {[each.stats() for each, _ in sites]}"
                await asyncio.sleep(0.02)

        try:
            for stamping_, targets in sites:
                stamping_.set_targets(targets)
            await until_all("answers", 0, lambda stats: stats.received >= 10)
            line.netem("loss", "30%")
            await until_all("losses on the way back", 0, lambda stats: stats.lost_backward >= 5)
            await until_all("the same losses, seen from the cloud", 1, lambda stats: stats.lost_forward >= 1)
            return [stamping_.stats() for stamping_, _ in sites]
        finally:
            for stamping_, _ in sites:
                stamping_.close()

    edge, _ = asyncio.run(scene())
    for stats in edge:
        assert stats.lost_forward <= 1  # packets of the first moment, before the other end was there
        assert stats.round_trip is not None
        assert stats.forward is not None
        assert stats.backward is not None
        assert stats.round_trip == pytest.approx(stats.forward + stats.backward, abs=1e-3)


def test_late_replies_are_told_from_lost_ones(line: Line) -> None:
    line.netem("delay", "1300ms")

    async def scene(prober: Prober) -> None:
        await until("late replies", prober, lambda stats: stats.late >= 3)

    stats = probe(line, scene, line.target("ipv4"))["prod-a", "ipv4"]
    assert stats.received == 0
    assert stats.lost >= stats.late


@pytest.mark.usefixtures("patient")
def test_duplicated_and_reordered_replies_are_counted_apart(line: Line) -> None:
    async def scene(prober: Prober) -> None:
        line.netem("delay", "5ms", "duplicate", "50%")
        await until("duplicates", prober, lambda stats: stats.duplicates >= 3)
        line.netem("delay", "60ms", "reorder", "50%")
        await until("overtaking", prober, lambda stats: stats.reordered >= 3)

    stats = probe(line, scene, line.target("ipv4", interval=0.02))["prod-a", "ipv4"]
    assert stats.lost == 0


@pytest.mark.usefixtures("patient")
def test_forged_replies_do_not_count_and_foreign_ones_are_not_even_seen(line: Line) -> None:
    """The cloud answers each request rightly, once more, with another cookie, and with another key."""
    line.cloud.sysctl(ipv4__icmp_echo_ignore_all=1)
    forger = line.cloud.call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    forger.settimeout(0.2)
    over = threading.Event()

    def forge() -> None:
        while not over.is_set():
            try:
                packet, sender = forger.recvfrom(512)
            except TimeoutError:
                continue
            request = packet[(packet[0] & 0xF) * 4 :]
            if request[0] != 8:
                continue
            right = b"\0" + request[1:]
            for reply in (right, right, flipped(right, 12), flipped(right, 8)):
                forger.sendto(with_checksum(reply), sender)

    thread = threading.Thread(target=forge)
    thread.start()
    strays = []

    async def scene(prober: Prober) -> None:
        await until("duplicates", prober, lambda stats: stats.duplicates >= 10)
        strays.append(prober.prober_stats().strays)

    try:
        stats = probe(line, scene, line.target("ipv4"))["prod-a", "ipv4"]
    finally:
        over.set()
        thread.join()
        forger.close()
    assert stats.lost == 0
    assert abs(stats.received - stats.duplicates) <= 1
    # One stray a request: the other cookie's. The other key never came past the kernel's filter.
    assert abs(strays[0] - stats.received) <= 2


def test_someone_elses_ping_is_neither_seen_nor_disturbed(line: Line) -> None:
    strays = []

    async def scene(prober: Prober) -> None:
        ping = await asyncio.to_thread(line.edge.run, "ping", "-c", "20", "-i", "0.02", ADDRESSES["ipv4"][1])
        assert "20 received" in ping.stdout
        await answered(prober, 3)
        strays.append(prober.prober_stats().strays)

    assert probe(line, scene, line.target("ipv4"))["prod-a", "ipv4"].duplicates == 0
    assert strays == [0]


def test_two_gateways_with_the_same_addresses_in_their_vrfs_are_measured_apart(line: Line) -> None:
    fibre(Port(line.edge, "eth2"), Port(line.cloud, "eth2"))
    line.edge.ip(
        "link add red type vrf table 101",
        "link add blue type vrf table 102",
        "link set red up",
        "link set blue up",
        "link set eth1 master red",
        "link set eth2 master blue",
        f"address add {ADDRESSES['ipv4'][0]}/30 dev eth2",
        f"address replace {ADDRESSES['ipv6'][0]}/126 dev eth1 nodad",
        f"address add {ADDRESSES['ipv6'][0]}/126 dev eth2 nodad",
    )
    # Blue's line is there, but nobody answers on it.
    line.cloud.ip("link set eth2 up")

    async def scene(prober: Prober) -> None:
        await until(
            "red answered, blue lost",
            prober,
            lambda stats: stats.received >= 5 if stats.virtual_interface == "red" else stats.lost >= 5,
        )

    targets = [
        line.target(family, name=name, port=port)
        for family in ADDRESSES
        for name, port in (("red", "eth1"), ("blue", "eth2"))
    ]
    found = probe(line, scene, *targets)
    for family in ADDRESSES:
        assert found["red", family].lost == 0
        assert found["blue", family].received == 0


def flipped(message: bytes, place: int) -> bytes:
    return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]


def with_checksum(message: bytes) -> bytes:
    """The ICMP message with the checksum that RFC 792 wants."""
    total = sum(int.from_bytes(message[at : at + 2]) for at in range(0, len(message), 2) if at != 2)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return message[:2] + (~total & 0xFFFF).to_bytes(2) + message[4:]
