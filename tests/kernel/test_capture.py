"""`dcedge-capture` on a port: what it hears there, and what it could still do besides."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6ND_NA, IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet

from dcedge.explain.active_checks import syn_segment
from dcedge.explain.capture import Listener, Watched
from dcedge.explain.evidence import TaggedSender
from dcedge.explain.port_capture import PortCapture
from tests.lab.netns import Namespace, Port, Workspace, fibre
from tests.lab.wait import until

pytestmark = pytest.mark.everywhere
CLOUD_MAC = "00:1b:21:aa:bb:cc"
CUSTOMER, CLOUD = ip_address("10.255.101.2"), ip_address("10.255.101.1")
CUSTOMER6, CLOUD6 = ip_address("2001:db8:101::2"), ip_address("2001:db8:101::1")
OTHER = "10.255.101.9"
OUR_PORT = 40_000


@pytest.fixture(scope="module")
def ends() -> Iterator[tuple[Namespace, Namespace]]:
    with Workspace() as work:
        customer, cloud = work.namespace("customer"), work.namespace("cloud")
        fibre(Port(customer, "eth1"), Port(cloud, "trunk"))
        yield customer, cloud


def listener() -> Listener:
    return Listener(
        tags=(101,),
        known_tags=frozenset({(101,)}),
        ours=frozenset(),
        watched={str(CLOUD): Watched(CUSTOMER, CLOUD, None), str(CLOUD6): Watched(CUSTOMER6, CLOUD6, None)},
        ports=frozenset({OUR_PORT}),
        identifier=77,
    )


def send(cloud: Namespace, *frames: Packet) -> None:
    """Put frames on the wire at the cloud's end."""

    def write() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind(("trunk", 0))
            for frame in frames:
                sock.send(bytes(frame))

    cloud.call(write)


def test_every_kind_of_frame_is_told_after_the_privileges_are_gone(ends: tuple[Namespace, Namespace]) -> None:
    customer, cloud = ends
    heard = listener()
    link = Ether(src=CLOUD_MAC, dst="ff:ff:ff:ff:ff:ff") / Dot1Q(vlan=101)
    outer = Ether(src=CLOUD_MAC, dst="ff:ff:ff:ff:ff:ff") / Dot1AD(vlan=10) / Dot1Q(vlan=7)
    ip, ip6 = IP(src=str(CLOUD), dst=str(CUSTOMER)), IPv6(src=str(CLOUD6), dst=str(CUSTOMER6))
    quoted = IP(src=str(CUSTOMER), dst=str(CLOUD)) / TCP(sport=OUR_PORT, dport=179)
    with customer.call(PortCapture, "eth1", heard) as capture:
        send(
            cloud,
            outer / ARP(op=1, hwsrc=CLOUD_MAC, psrc="10.0.0.9", pdst="10.0.0.8"),
            link / ip6 / ICMPv6ND_NA(tgt=str(CLOUD6)),
            link / ip / ICMP(type=0, id=77),
            link / ip6 / ICMPv6EchoReply(id=77),
            link / ip / ICMP(type=3, code=13) / quoted,
            link / IP(src=str(CLOUD), dst=str(CUSTOMER), proto=6) / syn_segment(CLOUD, CUSTOMER, 31_000, None),
            link / ip / TCP(sport=31_000, dport=443),  # which the kernel keeps from it
            link / ARP(op=2, hwsrc=CLOUD_MAC, psrc=str(CLOUD), pdst=str(CUSTOMER)),
        )
        until(
            "the last frame",
            lambda: capture.listen(time.monotonic() + 1),
            accept=lambda _: str(CLOUD) in heard.answered,
        )
    assert heard.answered == {str(CLOUD), str(CLOUD6)}
    assert heard.replies == {str(CLOUD), str(CLOUD6)}
    assert heard.tcp[str(CLOUD)].answers == {OUR_PORT: "prohibited"}
    assert (heard.tcp[str(CLOUD)].syns, heard.tcp[str(CLOUD)].digest) == (1, None)
    assert heard.capture(1).strangers == (TaggedSender((10, 7), CLOUD_MAC, "10.0.0.9"),)


def test_who_takes_hostile_frames_apart_may_do_nothing_else(ends: tuple[Namespace, Namespace]) -> None:
    customer, _ = ends
    with customer.call(PortCapture, "eth1", listener()) as capture:
        process = Path("/proc", str(capture.pid))
        status = dict(re.findall(r"^(\w+):\t(.*)$", (process / "status").read_text(), re.MULTILINE))
        limits = (process / "limits").read_text()
        environment = (process / "environ").read_bytes()
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65534"}
    assert status["Groups"].strip() == ""
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    for most, what in ((0, "processes"), (1, "open files"), (0, "core file size")):
        assert re.search(rf"^Max {what} +{most} +{most} ", limits, re.MULTILINE), limits
    assert environment == b""


def test_it_ends_with_who_asked(ends: tuple[Namespace, Namespace]) -> None:
    customer, _ = ends
    script = (
        "import sys; from dcedge.explain.port_capture import PortCapture\n"
        "print(PortCapture('eth1', None).pid, flush=True); sys.stdin.read()"
    )
    command = customer.command(sys.executable, "-c", script)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        pid = int(asking.stdout.readline())
        asking.kill()
    until("its end", lambda: _is_alive(pid), accept=lambda alive: not alive)


ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections: {fra-1: {provider: otc, port: eth1, bandwidth: 1G}}
virtual_gateways: {prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 0
    bandwidth: 50M
    addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}]
    static: [10.20.0.0/16]
...
"""


def test_explain_hears_who_else_is_on_the_line(ends: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    customer, cloud = ends
    (tmp_path / "order.yaml").write_text(ORDER)
    places = {"ORDER": "order.yaml", "CREDENTIALS": "credentials", "SOCKET": "socket", "STATE_DIR": "state"}
    environment = {**os.environ, **{f"DCEDGE_{name}": str(tmp_path / place) for name, place in places.items()}}
    environment["DCEDGE_FRR_PATHSPACE"] = "dcedge-test-none"
    dcedge = str(Path(sys.executable).with_name("dcedge"))
    customer.run(dcedge, "apply", "--yes", check=False, environment=environment)
    other = Ether(src=CLOUD_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=CLOUD_MAC, psrc=OTHER, pdst=str(CUSTOMER))
    with background(lambda: send(cloud, other)):
        said = customer.run(dcedge, "explain", "prod-a", "--json", check=False, environment=environment)
    assert OTHER in said.stdout, "heard on the port"
    assert "no capture on the port" not in said.stdout


@contextlib.contextmanager
def background(again_and_again: Callable[[], None]) -> Iterator[None]:
    """Do it ten times a second meanwhile."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.1):
            again_and_again()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_no_such_port_is_said(ends: tuple[Namespace, Namespace]) -> None:
    customer, _ = ends
    with pytest.raises(OSError, match="No such device") as caught:
        customer.call(PortCapture, "eth9", listener())
    assert caught.value.errno == errno.ENODEV


def test_who_may_not_listen_is_told_so() -> None:
    """As a user without CAP_NET_RAW, who finds the program where root does."""
    program = Path(sys.executable).with_name("dcedge-capture")
    command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", str(program), "lo", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, '{"error":"Operation not permitted","errno":1}\n')


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
