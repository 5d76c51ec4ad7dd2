"""The line that shapers are measured on: a host on the LAN, the edge where dcedge has applied an order, the cloud.

What arrives is read from the far end's counters. A rate counts bytes as the shaper does. The guard is in force while
dcedge shapes (where the kernel has nft's families for IP), and gone while a reference does.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from dcedge.kernel.queue.shaping import ETHERNET_HEADER_BYTES
from tests.lab.edge import COMMAND
from tests.lab.netns import Counters, Port, Workspace, connect_host, end, fibre, received
from tests.lab.traffic import TAG_BYTES
from tests.lab.wait import until

SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
WARM_UP_SECONDS = 2.0
READ_SECONDS = 0.001  # a look at a counter that takes longer is repeated
FOUR, SIX = "10.20.0.10", "2001:db8:20::10"
CLOUD_FOUR, CLOUD_SIX = "10.255.101.1", "2001:db8:101::1"
SUPER_PACKET_HEADERS = ETHERNET_HEADER_BYTES + 20 + 32  # IPv4, and TCP with time stamps

ORDER = """\
router: {{asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24, "2001:db8:10::/48"]}}
connections: {{fra-1: {{provider: generic, port: eth1, bandwidth: 100G, mtu: {mtu}}}}}
virtual_gateways: {{prod: {{vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16, "2001:db8:20::/48"]}}}}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: {vlan}
    bandwidth: {rate}
    shaping: {{overhead: {overhead}, queue: {queue}}}
    addresses:
      - {{customer: 10.255.101.2/30, cloud: 10.255.101.1}}
      - {{customer: "2001:db8:101::2/126", cloud: "2001:db8:101::1"}}
    static: [10.20.0.0/16, "2001:db8:20::/48"]
"""


@dataclass(frozen=True)
class Measured:
    """A rate in bits a second over the whole time, and its worst second; `busy` seconds of the processors."""

    bps: float
    peak_bps: float
    busy: float


@dataclass(frozen=True)
class Load:
    """What is sent: TCP in so many flows, or (`udp_bytes` of payload) UDP at 1.2 times the rate.

    `forwarded`: from the host on the LAN. Else from the edge itself, in UDP super-packets of its own making: the guard
    lets no TCP but BGP's come back to it.
    """

    flows: int = 8
    udp_bytes: int = 0
    six: bool = False
    forwarded: bool = True


@dataclass
class Line:
    """Host, edge, fibre, cloud. Without super-packets on the fibre, unless `speed` asks for them."""

    work: Workspace
    folder: Path
    tagged: bool
    mtu: int = 1500
    speed: bool = False
    order: Path = field(init=False)
    iperf_port: int = 5201

    def __post_init__(self) -> None:
        self.edge, self.host, self.cloud = (self.work.namespace(name) for name in ("edge", "host", "cloud"))
        self.fibre = fibre(Port(self.edge, "eth1"), Port(self.cloud, "fra-1"), self.mtu)
        if self.speed:
            for port in (self.fibre.customer, self.fibre.cloud):
                port.namespace.run("ethtool", "-K", port.name, "tso", "on", "gso", "on")
        connect_host(self.edge, "lan0", self.host, [ip_network("192.0.2.0/24"), ip_network("2001:db8:10::/48")])
        self.edge.ip(f"link set lan0 mtu {self.mtu}")
        self.host.ip(f"link set eth0 mtu {self.mtu}")
        far = "fra-1"
        if self.tagged:
            far = "fra-1.101"
            self.cloud.ip(f"link add link fra-1 name {far} type vlan id 101", f"link set {far} up")
        self.cloud.ip(
            f"address add {CLOUD_FOUR}/30 dev {far}",
            f"address add {CLOUD_SIX}/126 dev {far} nodad",
            f"address add {FOUR}/32 dev lo",
            f"address add {SIX}/128 dev lo nodad",
            "route add default via 10.255.101.2",
            "route add default via 2001:db8:101::2",
        )
        self.order = self.folder / "order.yaml"

    @property
    def link(self) -> str:
        """The virtual interface's link."""
        return "eth1.101" if self.tagged else "eth1"

    def dcedge(self, verb: str) -> None:
        """Run a verb on the edge; there is no FRR."""
        places = {"ORDER": self.order, "STATE_DIR": self.folder / "state", "SOCKET": self.folder / "control.sock"}
        environment = {f"DCEDGE_{name}": str(path) for name, path in places.items()}
        environment["DCEDGE_FRR_PATHSPACE"] = "dcedge-none"
        done = self.edge.run(str(COMMAND), verb, check=False, environment=os.environ | environment)
        assert "failed:" not in done.stdout + done.stderr, done.stdout + done.stderr

    def ours(self, rate: str, *, overhead: int = 0, queue: str = "fq_codel") -> None:
        """Order this rate, and have it applied."""
        vlan = 101 if self.tagged else 0
        self.order.write_text(ORDER.format(rate=rate, overhead=overhead, queue=queue, vlan=vlan, mtu=self.mtu))
        if " dce:" not in self.edge.run("tc", "qdisc", "show", "dev", self.link, "root", check=False).stdout:
            self.edge.run("tc", "qdisc", "del", "dev", self.link, "root", check=False)
        self.dcedge("apply")
        guarded = self.edge.run("nft", "list", "table", "inet", "dcedge", check=False).returncode == 0
        assert guarded or self.tagged, "the guard is not in force"  # the lab kernel has no nft family for IP
        for address in (FOUR, SIX):
            until("the cloud to answer", lambda to=address: self.answers(to))  # type: ignore[misc]

    def answers(self, address: str) -> bool:
        """Whether the cloud's host answers the LAN's."""
        return self.host.run("ping", "-c", "1", "-W", "1", address, check=False).returncode == 0

    def theirs(self, *lines: str) -> None:
        """Shape by hand: `tc`'s words without `tc`, and without `dev LINK`, which stands for `@`; nothing guards."""
        self.edge.run("nft", "delete", "table", "inet", "dcedge", check=False)
        self.edge.run("tc", "qdisc", "del", "dev", self.link, "root", check=False)
        for line in lines:
            self.edge.run("tc", *line.replace("@", f"dev {self.link}").split())

    def counted(self) -> Counters:
        """What has arrived, in bytes without tags."""
        seen = received(self.fibre.cloud)
        return Counters(seen.bytes - (TAG_BYTES * seen.packets if self.tagged else 0), seen.packets)

    def timed(self) -> tuple[float, Counters]:
        """When, and what has arrived by then: a busy machine comes between, so the promptest of several looks."""
        looks = []
        for _ in range(20):
            started = time.monotonic()
            seen = self.counted()
            took = time.monotonic() - started
            looks.append((took, started + took / 2, seen))
            if took < READ_SECONDS:
                break
        _, at, seen = min(looks, key=lambda look: look[0])
        return at, seen

    @contextmanager
    def sending(self, bits: float, load: Load) -> Iterator[None]:
        """Keep sending while the body runs."""
        to = SIX if load.six else FOUR
        # A server of its own for each: one that has lost its client is busy for a while.
        self.iperf_port += 1
        started = self._flows(to, bits, load) if load.forwarded else self._super_packets(to, bits, load)
        with started as sender:
            time.sleep(WARM_UP_SECONDS)  # TCP's slow start and the shaper's burst
            yield
            assert sender.poll() is None, "the sender ended by itself"

    @contextmanager
    def _flows(self, to: str, bits: float, load: Load) -> Iterator[subprocess.Popen[bytes]]:
        """iperf3 from the host on the LAN."""
        server = self.cloud.popen("iperf3", "--server", "--bind", to, "--port", str(self.iperf_port))
        until("the server to listen", lambda: f":{self.iperf_port} " in self.cloud.run("ss", "-Hltn").stdout)
        words = ["iperf3", "--client", to, "--port", str(self.iperf_port), "--time", "600"]
        if load.udp_bytes:
            words += ["--udp", "--bitrate", str(int(bits * 1.2)), "--length", str(load.udp_bytes)]
        else:
            words += ["--parallel", str(load.flows)]
        try:
            with self._arriving(self.host.popen(*words)) as sender:
                yield sender
        finally:
            end(server)

    @contextmanager
    def _super_packets(self, to: str, bits: float, load: Load) -> Iterator[subprocess.Popen[bytes]]:
        """UDP from the edge itself; nobody reads what arrives."""
        sink = self.cloud.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        sink.bind((to, self.iperf_port))
        words = (to, str(self.iperf_port), str(load.udp_bytes), str(int(bits * 1.2)))
        with sink, self._arriving(self.edge.popen(sys.executable, "-m", "tests.bench.datagrams", *words)) as sender:
            yield sender

    @contextmanager
    def _arriving(self, sender: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        """Once something of it has arrived; it is ended afterwards."""
        before = self.counted().bytes
        try:
            until("traffic", lambda: self.counted().bytes - before, accept=lambda count: count > 100_000)
            yield sender
        finally:
            end(sender)

    def rate(self, bits: float, load: Load, overhead: int = 0) -> Measured:
        """What arrives of it."""
        with self.sending(bits, load):
            return self.look(overhead)

    def look(self, overhead: int = 0) -> Measured:
        """What arrives, second by second; `overhead` bytes are added a frame."""
        seconds = []
        busy = _busy()
        at, before = self.timed()
        first = (at, before)
        for _ in range(SECONDS):
            time.sleep(max(0.0, at + 1 - time.monotonic()))  # a second is looked at
            now, seen = self.timed()
            seconds.append(self._bits(before, seen, overhead) / (now - at))
            at, before = now, seen
        whole = self._bits(first[1], before, overhead) / (at - first[0])
        return Measured(whole, max(seconds), _busy() - busy)

    def _bits(self, before: Counters, after: Counters, overhead: int) -> float:
        size, packets = after.bytes - before.bytes, after.packets - before.packets
        if self.speed:
            # Super-packets arrive whole: each of their frames would have had headers of its own.
            payload = size - packets * SUPER_PACKET_HEADERS
            frame = self.mtu + ETHERNET_HEADER_BYTES
            return payload * frame / (frame - SUPER_PACKET_HEADERS) * 8
        return (size + packets * overhead) * 8

    def pings(self, seconds: float) -> list[float]:
        """Round-trip times in ms from the host to the cloud's, in order of size."""
        said = self.host.run("ping", "-n", "-i", "0.01", "-c", str(int(seconds * 100)), "-W", "2", FOUR, check=False)
        return sorted(float(text) for text in re.findall(r"time=([\d.]+)", said.stdout))


def _busy() -> float:
    """Seconds that the machine's processors have worked (proc_stat(5))."""
    fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
