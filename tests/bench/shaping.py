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
from pathlib import Path

from dcedge.kernel.queue.shaping import ETHERNET_HEADER_BYTES, POLICER_SECONDS, burst_bytes
from dcedge.units import parse_rate
from tests.bench.cases import Report
from tests.bench.shaped_line import SECONDS, Line, Load
from tests.bench.wire import wire
from tests.lab.bed import Bed
from tests.lab.edge import COMMAND
from tests.lab.netns import Port, Workspace, end, fibre, leave_on_signals, received
from tests.lab.policed import HOST, POLICED_BPS, POLICED_BURST_BYTES, PolicedLine, found
from tests.lab.shared_line import CIRCUIT, OVERSUBSCRIBED, SharedLine, interface
from tests.lab.wait import until

PLAIN = "plain htb + pfifo"
UNCONFIGURED = "htb rate 10gbit"
PARTS = "rates mtu speed cpu latency policer measure shared many overload wire"
MANY, BUSY, MANY_RATE = 1000, 20, "2M"  # on all twenty together what the lab can send
OVERLOADED, OVERLOAD = "10M", "20M"  # of UDP the lab sends no more than some 30 Mbit/s


def rate_case(report: Report, case: str, line: Line, rate: str, load: Load, overhead: int = 0) -> None:
    """Achieved against ordered, and the worst second."""
    bits = parse_rate(rate)
    line.ours(rate, overhead=overhead)
    seen = line.rate(bits, load, overhead)
    report.add(case, seen.bps / 1e6, bits / 1e6, "ordered", "Mbit/s")
    report.add(f"{case}-peak", seen.peak_bps / 1e6, bits / 1e6, "ordered", "Mbit/s")


SENT = Load(udp_bytes=1472, forwarded=False)
VARIANTS = {
    "tcp1": Load(flows=1),
    "sent": SENT,
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
        for name, load in (("forwarded", Load()), ("sent", SENT)):
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
    report.gso = "off"
    if "rates" in wanted:
        line = Line(work, _folder(work, "rates"), tagged=False)
        for rate in ("10M", "100M", "1G"):
            rate_case(report, f"rate-{rate}-native", line, rate, Load())
        variants(report, line, "native", ("100M",), "50M")
        by_hand(report, line, "native", "100M")
    if "mtu" in wanted:
        big = Line(_aside(work), _folder(work, "mtu"), tagged=False, mtu=8500)
        rate_case(report, "rate-1G-native-udp-8500", big, "1G", Load(udp_bytes=8472))
    report.gso = "on"
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
    report.gso = "off"
    if "wire" in wanted:
        wire(report, native=True)


def lab(report: Report, work: Workspace) -> None:
    """Tagged, in the lab kernel."""
    wanted = _parts()
    report.gso = "off"
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
    if "wire" in wanted:
        wire(report, native=False)


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
