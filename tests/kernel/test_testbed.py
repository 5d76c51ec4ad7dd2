"""The testbed is right about what it measures, and takes everything of its own away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab import traffic
from tests.lab.netns import Fibre, Namespace, Port, Workspace, fibre, received, wait_for_carrier
from tests.lab.wait import WaitError, until

FRAME_HEADER = 14
PAYLOADS = [1, 100, 1400]


@dataclass(frozen=True)
class Line:
    """A fibre with one tagged interface on it, 10.9.0.1 at the customer's end and 10.9.0.2 at the cloud's."""

    work: Workspace
    customer: Namespace
    cloud: Namespace
    fibre: Fibre


@pytest.fixture
def line() -> Iterator[Line]:
    with Workspace() as work:
        customer, cloud = work.namespace("customer"), work.namespace("cloud")
        for namespace in (customer, cloud):
            # Nothing speaks by itself, so that counters can be compared to the byte.
            namespace.sysctl(ipv6__conf__default__disable_ipv6=1)
        wire = fibre(Port(customer, "eth1"), Port(cloud, "fra-1"))
        for namespace, port, address in ((customer, "eth1", "10.9.0.1"), (cloud, "fra-1", "10.9.0.2")):
            namespace.ip(
                f"link add link {port} name vlan7 type vlan id 7",
                "link set dev vlan7 up",
                f"address add {address}/24 dev vlan7",
            )
        yield Line(work, customer, cloud, wire)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_rate_counts_the_bytes_of_a_known_sender(line: Line, payload: int) -> None:
    for asks, asked, address in ((line.customer, line.cloud, "10.9.0.2"), (line.cloud, line.customer, "10.9.0.1")):
        # ARP counts too, and an entry that ages is asked for again.
        (link,) = json.loads(asked.run("ip", "-j", "link", "show", "dev", "vlan7").stdout)
        asks.ip(f"neigh replace {address} lladdr {link['address']} dev vlan7 nud permanent")
    assert traffic.reaches(line.customer, "10.9.0.2")
    packets = 500

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(packets):
                sender.sendto(bytes(payload), ("10.9.0.2", 9))

    before = received(line.fibre.cloud)
    line.customer.call(send)
    now = until(
        "the packets", lambda: received(line.fibre.cloud), accept=lambda c: c.packets >= before.packets + packets
    )
    tagged = packets * (FRAME_HEADER + traffic.TAG_BYTES + 20 + 8 + payload)
    # The answers (port unreachable) go the other way and do not count here.
    assert now.bytes - before.bytes == tagged


def test_tcp_is_counted_as_the_frames_on_the_wire_and_not_as_super_packets(line: Line) -> None:
    line.cloud.popen("iperf3", "--server")
    until("iperf3 to listen", lambda: ":5201" in line.cloud.run("ss", "-ltn").stdout)
    rate = traffic.saturate(line.customer, ["10.9.0.2"], line.fibre.cloud, tags=1, seconds=0.5)
    full_frame = 1500 + FRAME_HEADER
    assert full_frame * 0.9 < rate.bytes / rate.packets <= full_frame


def test_a_capture_shows_the_tag(line: Line) -> None:
    with traffic.Capture(line.fibre.cloud) as capture:
        assert traffic.reaches(line.customer, "10.9.0.2")
    assert capture.vlans(traffic.between("10.9.0.1", "10.9.0.2")) == {(7,)}


def test_a_udp_stream_tells_what_was_lost(line: Line) -> None:
    assert traffic.reaches(line.customer, "10.9.0.2")
    with traffic.udp_stream(line.customer, line.cloud, "10.9.0.2") as whole:
        assert traffic.ping(line.customer, "10.9.0.2", count=5).received == 5
    assert whole.sent > 0
    assert (whole.lost, whole.reordered, whole.duplicated) == (0, 0, 0)
    with traffic.udp_stream(line.customer, line.cloud, "10.9.0.2") as broken:
        line.cloud.ip("link set dev vlan7 down")
        line.cloud.ip("link set dev vlan7 up")
        assert traffic.ping(line.customer, "10.9.0.2", count=2).received
    assert broken.lost > 0
    assert sum(last - first + 1 for first, last in broken.missing) == broken.lost


def test_a_cut_fibre_takes_the_carrier_and_a_splice_brings_traffic_back(line: Line) -> None:
    line.fibre.cut()
    wait_for_carrier(line.fibre.customer, up=False)
    assert not traffic.reaches(line.customer, "10.9.0.2")
    line.fibre.splice()
    wait_for_carrier(line.fibre.customer, up=True)
    until("an answer", lambda: traffic.reaches(line.customer, "10.9.0.2"))


def test_nothing_is_left_behind(line: Line) -> None:
    line.customer.popen("sleep", "1000")
    assert line.work.remains()
    line.work.close()
    assert line.work.remains() == []


def test_a_terminated_testbed_tidies_up() -> None:
    """SIGTERM in the middle: namespaces, folder and processes go."""
    program = (
        "from tests.lab.netns import Workspace, leave_on_signals\n"
        "import signal\n"
        "leave_on_signals()\n"
        "with Workspace() as work:\n"
        "    work.namespace('one').popen('sleep', '1000')\n"
        "    print(work.token, flush=True)\n"
        "    signal.pause()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    token = process.stdout.readline().strip()
    witness = Workspace()
    witness.close()
    witness.token = token
    assert witness.remains()
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert witness.remains() == []


def test_a_wait_says_what_it_saw_last() -> None:
    with pytest.raises(WaitError, match=r"waited 0\.1 s for godot; last seen: 'only a boy'"):
        until("godot", lambda: "only a boy", 0.1, accept=lambda seen: seen == "godot")
