"""What shapers hold: rates, latency under load, a policer's patience, BFD under overload; against hand-written tc.

Two parts: natively at speed on an untagged virtual interface, and in the lab kernel, tagged. The host on the LAN
sends through the edge, where dcedge has applied an order; what arrives is read from the far end's counters. A rate
counts bytes as the shaper does. `BENCH_SECONDS` is how long each rate is looked at.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from dcedge.kernel.shaping import ETHERNET_HEADER_BYTES, POLICER_SECONDS, burst_bytes
from dcedge.units import parse_rate
from tests.bench.cases import Report
from tests.lab.bed import Bed
from tests.lab.edge import COMMAND
from tests.lab.netns import Counters, Port, Workspace, connect_host, end, fibre, leave_on_signals, received
from tests.lab.policed import HOST, POLICED_BPS, POLICED_BURST_BYTES, PolicedLine, found
from tests.lab.shared_line import CIRCUIT, OVERSUBSCRIBED, SharedLine, interface
from tests.lab.traffic import TAG_BYTES
from tests.lab.wait import until

SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
WARM_UP_SECONDS = 2.0
READ_SECONDS = 0.001  # a look at a counter that takes longer is repeated
FOUR, SIX = "10.20.0.10", "2001:db8:20::10"
CLOUD_FOUR, CLOUD_SIX = "10.255.101.1", "2001:db8:101::1"
PLAIN = "plain htb + pfifo"
UNCONFIGURED = "htb rate 10gbit"
SUPER_PACKET_HEADERS = ETHERNET_HEADER_BYTES + 20 + 32  # IPv4, and TCP with time stamps
PARTS = "rates mtu speed cpu latency policer measure shared many overload"
MANY, BUSY, MANY_RATE = 1000, 20, "2M"  # on all twenty together what the lab can send
OVERLOADED, OVERLOAD = "10M", "20M"  # of UDP the lab sends no more than some 30 Mbit/s

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
    """What is sent: TCP in so many flows, or (`udp_bytes` of payload) UDP at 1.2 times the rate."""

    flows: int = 8
    udp_bytes: int = 0
    six: bool = False
    forwarded: bool = True  # from the host on the LAN; else from the edge itself


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
        # The guard lets nothing but control packets reach the edge itself, which is to be an end of TCP here.
        self.edge.run("nft", "flush", "ruleset", check=False)
        for address in (FOUR, SIX):
            until("the cloud to answer", lambda to=address: self.answers(to))  # type: ignore[misc]

    def answers(self, address: str) -> bool:
        """Whether the cloud's host answers the LAN's."""
        return self.host.run("ping", "-c", "1", "-W", "1", address, check=False).returncode == 0

    def theirs(self, *lines: str) -> None:
        """Shape by hand: `tc`'s words without `tc`, and without `dev LINK`, which stands for `@`."""
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
        source = self.host if load.forwarded else self.edge
        # A server of its own for each: one that has lost its client is busy for a while.
        self.iperf_port += 1
        to = SIX if load.six else FOUR
        server = self.cloud.popen("iperf3", "--server", "--bind", to, "--port", str(self.iperf_port))
        until("the server to listen", lambda: f":{self.iperf_port} " in self.cloud.run("ss", "-Hltn").stdout)
        words = ["iperf3", "--client", to, "--port", str(self.iperf_port), "--time", "600"]
        if load.udp_bytes:
            words += ["--udp", "--bitrate", str(int(bits * 1.2)), "--length", str(load.udp_bytes)]
        else:
            words += ["--parallel", str(load.flows)]
        before = self.counted().bytes
        sender = source.popen(*words)
        try:
            until("traffic", lambda: self.counted().bytes - before, accept=lambda count: count > 100_000)
            time.sleep(WARM_UP_SECONDS)  # TCP's slow start and the shaper's burst
            yield
            assert sender.poll() is None, "iperf3 ended by itself"
        finally:
            end(sender)
            end(server)

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


def rate_case(report: Report, case: str, line: Line, rate: str, load: Load, overhead: int = 0) -> None:
    """Achieved against ordered, and the worst second."""
    bits = parse_rate(rate)
    line.ours(rate, overhead=overhead)
    seen = line.rate(bits, load, overhead)
    report.add(case, seen.bps / 1e6, bits / 1e6, "ordered", "Mbit/s")
    report.add(f"{case}-peak", seen.peak_bps / 1e6, bits / 1e6, "ordered", "Mbit/s")


VARIANTS = {
    "tcp1": Load(flows=1),
    "sent": Load(forwarded=False),
    "ipv6": Load(six=True),
    "udp-1500": Load(udp_bytes=1472),
    "udp-512": Load(udp_bytes=484),
    "udp-64": Load(udp_bytes=18),
}


def variants(report: Report, line: Line, where: str, rates: Sequence[str], small: str) -> None:
    """One and eight flows, sent and forwarded, both families, sizes of packets, with overhead; by hand, too."""
    for rate in rates:
        for name, load in VARIANTS.items():
            if name == "udp-64":
                continue
            rate_case(report, f"rate-{rate}-{where}-{name}", line, rate, load)
        for name in ("forwarded", "sent"):
            load = Load(forwarded=name == "forwarded")
            rate_case(report, f"rate-{rate}-{where}-overhead24-{name}", line, rate, load, 24)
    rate_case(report, f"rate-{small}-{where}-udp-64", line, small, VARIANTS["udp-64"])
    rate_case(report, f"rate-{small}-{where}-udp-64-overhead24", line, small, VARIANTS["udp-64"], 24)


def by_hand(report: Report, line: Line, where: str, rate: str) -> None:
    """What plain tc holds of it."""
    bits = parse_rate(rate)
    lines = {
        "htb": (
            "qdisc add @ root handle 1: htb default 1",
            f"class add @ parent 1: classid 1:1 htb rate {bits}",
            "qdisc add @ parent 1:1 pfifo limit 1000",
        ),
        "tbf": (f"qdisc add @ root tbf rate {bits} burst {max(bits // 8 // 250, 5000)} latency 50ms",),
        "cake": (f"qdisc add @ root cake bandwidth {bits}bit",),
    }
    for name in lines if where == "lab" else ("htb", "tbf"):
        line.theirs(*lines[name])
        seen = line.rate(bits, Load())
        report.add(f"reference-{rate}-{where}-{name}", seen.bps / 1e6, bits / 1e6, "ordered", "Mbit/s")


def processors(report: Report, line: Line, rate: str) -> None:
    """CPU seconds a Gbit at a rate that both hold, three times each by turns, the least of each."""
    bits = parse_rate(rate)
    burst = burst_bytes(bits, line.mtu)
    ours, theirs = [], []
    for _ in range(3):
        line.ours(rate)
        seen = line.rate(bits, Load())
        ours.append(seen.busy / (seen.bps / 1e9 * SECONDS))
        line.theirs(
            "qdisc add @ root handle 1: htb default 1",
            f"class add @ parent 1: classid 1:1 htb rate {bits} burst {burst} cburst {burst} quantum 60000",
            "qdisc add @ parent 1:1 pfifo limit 1000",
        )
        seen = line.rate(bits, Load())
        theirs.append(seen.busy / (seen.bps / 1e9 * SECONDS))
    report.add("cpu-per-gbit", min(ours), min(theirs), "hand-written htb + pfifo", "s")


def native(report: Report, work: Workspace) -> None:
    """At speed, on this machine's own kernel."""
    wanted = _parts()
    if "rates" in wanted:
        line = Line(work, _folder(work, "rates"), tagged=False)
        for rate in ("10M", "100M", "1G"):
            rate_case(report, f"rate-{rate}-native", line, rate, Load())
        variants(report, line, "native", ("100M",), "50M")
        by_hand(report, line, "native", "100M")
    if "mtu" in wanted:
        big = Line(_aside(work), _folder(work, "mtu"), tagged=False, mtu=8500)
        rate_case(report, "rate-1G-native-udp-8500", big, "1G", Load(udp_bytes=8472))
    if "speed" in wanted:
        fast = Line(_aside(work), _folder(work, "speed"), tagged=False, speed=True)
        for rate in ("5G", "10G"):
            rate_case(report, f"rate-{rate}-native", fast, rate, Load())
        fast.ours("10G")
        ours = fast.rate(10e9, Load()).bps
        fast.theirs("qdisc add @ root handle 1: htb default 1", "class add @ parent 1: classid 1:1 htb rate 10gbit")
        report.add("htb10g-gain", ours / 1e6, fast.rate(10e9, Load()).bps / 1e6, UNCONFIGURED, "Mbit/s")
    if "cpu" in wanted:
        plain = Line(_aside(work), _folder(work, "cpu"), tagged=False, speed=True)
        processors(report, plain, "1G")


def lab(report: Report, work: Workspace) -> None:
    """Tagged, in the lab kernel."""
    wanted = _parts()
    line = Line(work, _folder(work, "lab"), tagged=True)
    if "rates" in wanted:
        for rate in ("2M", "10M", "50M", "200M", "500M", "1G"):
            rate_case(report, f"rate-{rate}-lab", line, rate, Load())
        variants(report, line, "lab", ("20M",), "2M")
        by_hand(report, line, "lab", "50M")
        for queue in ("cake", "pfifo"):
            line.ours("50M", queue=queue)
            seen = line.rate(50e6, Load())
            report.add(f"rate-50M-lab-{queue}", seen.bps / 1e6, 50, "ordered", "Mbit/s")
    if "latency" in wanted:
        for rate in ("10M", "50M", "200M"):
            latency(report, line, rate)
    if "policer" in wanted:
        policer(report, line)
    if "measure" in wanted:
        measure(report, _aside(work), _folder(work, "measure"))
    if "shared" in wanted:
        shared(report, SharedLine(_aside(work)))
    if "many" in wanted:
        many(report, _aside(work), _folder(work, "many"))
    if "overload" in wanted:
        overload(report)


def latency(report: Report, line: Line, rate: str) -> None:
    """What a ping waits for behind eight TCP flows, beyond what it takes on the idle line."""
    bits = parse_rate(rate)

    def added() -> tuple[float, float]:
        idle = line.pings(1)
        with line.sending(bits, Load()):
            loaded = line.pings(6)
        middle = idle[len(idle) // 2]
        return loaded[len(loaded) // 2] - middle, loaded[int(len(loaded) * 0.99)] - middle

    line.ours(rate)
    ours = added()
    line.theirs(
        "qdisc add @ root handle 1: htb default 1",
        f"class add @ parent 1: classid 1:1 htb rate {bits}",
        "qdisc add @ parent 1:1 pfifo limit 1000",
    )
    theirs = added()
    for place, name in enumerate(("p50", "p99")):
        report.add(f"latency-{rate}-{name}", ours[place], theirs[place], PLAIN, "ms")


def policer(report: Report, line: Line) -> None:
    """What a policer at the far end drops that has just the ordered rate and 4 ms of patience."""
    drops = {"ours": 0, "theirs": 0}
    for rate in ("10M", "50M", "200M", "500M"):
        bits = parse_rate(rate)
        for who in drops:
            line.ours(rate)
            if who == "theirs":
                line.theirs(
                    "qdisc add @ root handle 1: htb default 1",
                    f"class add @ parent 1: classid 1:1 htb rate {bits}",
                    "qdisc add @ parent 1:1 pfifo limit 1000",
                )
            with policing(line, bits) as dropped, line.sending(bits, Load()):
                time.sleep(SECONDS)  # it is policed
            count = dropped()
            print(f"    policer at {rate}: {who} {count}", file=sys.stderr)
            drops[who] += count
    report.add("policer-drops", drops["ours"], drops["theirs"], PLAIN, "packets")


@contextmanager
def policing(line: Line, bits: int) -> Iterator[Callable[[], int]]:
    """A policer at the cloud's port, which counts what the shaper counts; what it yields tells what it dropped."""
    burst = int(bits / 8 * POLICER_SECONDS)
    port = line.fibre.cloud.name

    def tc(*words: str) -> str:
        return line.cloud.run("tc", *words).stdout

    said: list[str] = []
    tc("qdisc", "add", "dev", port, "handle", "ffff:", "ingress")
    # An ingress filter sees a frame without its header.
    police = f"police rate {bits} burst {burst} overhead {ETHERNET_HEADER_BYTES} conform-exceed drop/ok"
    tc(*f"filter add dev {port} parent ffff: protocol all u32 match u32 0 0 {police}".split())
    try:
        yield lambda: sum(int(text) for text in re.findall(r"dropped (\d+)", said[0]))
        said.append(tc("-s", "actions", "list", "action", "police"))
    finally:
        tc("qdisc", "del", "dev", port, "ingress")


def measure(report: Report, work: Workspace, folder: Path) -> None:
    """What `dcedge measure` finds of a policer, against what that has."""
    line = PolicedLine(work, folder)
    words = ("--to", HOST, "--volume", "3M", "--token", line.consent(60), "--yes", "--json")
    rate_bps, burst = found(line.run("measure", "prod-a", *words).stdout)
    report.add("measure-rate", rate_bps / 1e6, POLICED_BPS / 1e6, "the policer's", "Mbit/s")
    report.add("measure-burst", burst, POLICED_BURST_BYTES, "the policer's", "bytes")


def many(report: Report, work: Workspace, folder: Path) -> None:
    """A thousand shaped virtual interfaces, traffic on twenty of them at once."""
    edge, cloud = work.namespace("edge"), work.namespace("cloud")
    trunk = fibre(Port(edge, "eth1"), Port(cloud, "fra-1"))
    lines = [
        "router: {asn: 65010, router_id: 10.255.0.1}",
        "connections: {fra-1: {provider: generic, port: eth1, bandwidth: 10G}}",
        "virtual_gateways: {prod: {vpc: prod, asn: 64512, accept: [10.20.0.0/16]}}",
        "virtual_interfaces:",
    ]
    for number in range(MANY):
        net = f"10.{100 + number // 64}.{number % 64 * 4}"
        lines.append(
            f"  vi{number}: {{connection: fra-1, virtual_gateway: prod, vlan: {number + 1}, bandwidth: {MANY_RATE}, "
            f"addresses: [{{customer: {net}.2/30, cloud: {net}.1}}]}}"
        )
    (folder / "order.yaml").write_text("\n".join(lines) + "\n")
    environment = os.environ | {
        "DCEDGE_ORDER": str(folder / "order.yaml"),
        "DCEDGE_STATE_DIR": str(folder / "state"),
        "DCEDGE_SOCKET": str(folder / "control.sock"),
        "DCEDGE_FRR_PATHSPACE": "dcedge-none",
    }
    edge.run(str(COMMAND), "apply", check=False, environment=environment, timeout=300)
    busy = range(0, MANY, MANY // BUSY)
    servers = []
    for number in busy:
        net = f"10.{100 + number // 64}.{number % 64 * 4}"
        name = f"fra-1.{number + 1}"
        cloud.ip(
            f"link add link fra-1 name {name} type vlan id {number + 1}",
            f"link set {name} up",
            f"address add {net}.1/30 dev {name}",
        )
        servers.append((f"{net}.1", Port(cloud, name)))
        cloud.popen("iperf3", "--server", "--bind", f"{net}.1")
    time.sleep(1)  # the servers listen
    senders = [edge.popen("iperf3", "--client", address, "--time", "600") for address, _ in servers]
    until(
        "traffic",
        lambda: min(received(port).bytes for _, port in servers),
        accept=lambda count: count > 200_000,
        timeout=60,
    )
    names = [port.name for _, port in servers]
    at, before = cloud.call(_received_by, names)
    time.sleep(SECONDS)  # they are looked at
    then, after = cloud.call(_received_by, names)
    for sender in senders:
        end(sender)
    rates = [(b - a) * 8 / (then - at) / 1e6 for a, b in zip(before, after, strict=True)]
    assert trunk.cloud.name == "fra-1"
    ordered = parse_rate(MANY_RATE) / 1e6
    report.add(f"many-{MANY}-least", min(rates), ordered, "ordered", "Mbit/s")
    report.add(f"many-{MANY}-most", max(rates), ordered, "ordered", "Mbit/s")


def shared(report: Report, line: SharedLine) -> None:
    """What a circuit lends to one, and what two have of a circuit and of an oversubscribed port."""
    line.apply(CIRCUIT + interface("a", "er-1", 101) + interface("b", "er-1", 102, "bandwidth: 7M, "))
    with line.sending(101):
        report.add("shared-lent", sum(line.rates([101], SECONDS)), 20, "ordered", "Mbit/s")
    with line.sending(101, 102):
        report.add("shared-circuit", sum(line.rates([101, 102], SECONDS)), 20, "ordered", "Mbit/s")
    both = interface("a", "fra-1", 201, "bandwidth: 16M, ") + interface("b", "fra-1", 202, "bandwidth: 8M, ")
    line.apply(OVERSUBSCRIBED + both)
    with line.sending(201, 202):
        report.add("shared-oversubscribed", sum(line.rates([201, 202], SECONDS)), 20, "ordered", "Mbit/s")


def _received_by(links: Sequence[str]) -> tuple[float, list[int]]:
    """When, and the frame bytes that VLAN links have received, all in one look; their counters leave the header out."""
    text = Path("/proc/thread-self/net/dev").read_text()
    at = time.monotonic()
    counts = {name.strip(): rest.split() for name, _, rest in (line.partition(":") for line in text.splitlines())}
    return at, [int(counts[link][0]) + ETHERNET_HEADER_BYTES * int(counts[link][1]) for link in links]


def overload(report: Report) -> None:
    """60 s at twice the rate: what becomes of BFD at 300 ms and of BGP."""
    seconds = int(os.environ.get("BENCH_OVERLOAD_SECONDS", "60"))
    with Bed() as bed:
        order = bed.edge.order.read_text().replace("bandwidth: 200M", f"bandwidth: {OVERLOADED}")
        bed.edge.order.write_text(order)
        bed.edge.start_daemon(forked=False)
        bed.wait_up("dev-a")
        cloud = bed.dev
        far = cloud.host_address(4)

        def bfd(frr: object) -> dict[str, int]:
            (peer,) = (
                peer
                for peer in frr.json("show bfd peers counters json")  # type: ignore[attr-defined]
                if peer["peer"] in {"10.255.201.1", "10.255.201.2"}
            )
            return dict(peer)

        before = bfd(bed.edge.frr), bfd(cloud.frr)
        dropped = bed.edge.frr.json("show bgp neighbors 10.255.201.1 json")["10.255.201.1"]["connectionsDropped"]
        sender = bed.edge.host.popen(
            *("iperf3", "--client", far, "--udp", "--bitrate", OVERLOAD, "--length", "1400", "--time", "600")
        )
        time.sleep(seconds)  # overload
        after = bfd(bed.edge.frr), bfd(cloud.frr)
        assert sender.poll() is None, "iperf3 ended by itself"
        end(sender)
        shaper = bed.edge.virtual_interfaces()["dev-a"]["shaper"]
        assert shaper["dropped_packets"] > 1000, shaper
        lost = (after[0]["control-packet-output"] - before[0]["control-packet-output"]) - (
            after[1]["control-packet-input"] - before[1]["control-packet-input"]
        )
        flaps = sum(after[i]["session-down"] - before[i]["session-down"] for i in (0, 1))
        now = bed.edge.frr.json("show bgp neighbors 10.255.201.1 json")["10.255.201.1"]["connectionsDropped"]
        report.add("overload-bfd-flaps", flaps, unit="flaps")
        report.add("overload-bfd-lost", max(0, lost - 1), unit="packets")  # one may be on its way
        report.add("overload-bgp-flaps", now - dropped, unit="flaps")


def _parts() -> set[str]:
    return set(os.environ.get("BENCH_PARTS", PARTS).split())


def _folder(work: Workspace, name: str) -> Path:
    folder = work.folder / name
    folder.mkdir(exist_ok=True)
    return folder


def _aside(work: Workspace) -> Workspace:
    """Another workspace, gone with this one."""
    return work.enter(Workspace())


def main() -> None:
    """One part: `native` or `lab`."""
    leave_on_signals()
    part = sys.argv[1]
    report = Report(f"shaping-{part}")
    with Workspace() as work:
        (native if part == "native" else lab)(report, work)
    report.write()


if __name__ == "__main__":
    main()
