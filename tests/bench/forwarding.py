"""Packets a second through guard and shaper, on one processor and on two, natively: no super-packets, small frames.

What costs is the packet, whatever its size, and super-packets hide that: so frames come one by one, of 64 bytes, or of
the simple IMIX (of twelve, seven of 64, four of 594 and one of 1,518 bytes).

    LAN ── lan0 ┐      ┌ eth1 ── fra-1 (prod-a)
                 edge ─┤
                       └ eth2 ── fra-2 (prod-b)

`to-cloud`: from the LAN into prod-a's shaper. `from-cloud`: from prod-a through the guard to the LAN. `between`: from
prod-b through the guard into prod-a's shaper, which is all of both. The shapers have a rate that no processor here
reaches, so what is counted is what they cost, not what they hold. The reference is the same router without either.

A veth hands a packet over on the processor that sends it: sender, router and receiver share it. So a figure is what one
processor does in all three roles; on two processors a sender on each sends into the same shaper, which has one lock.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from statistics import median

from tests.bench.cases import Report
from tests.lab.edge import COMMAND
from tests.lab.netns import Port, Workspace, connect_host, end, fibre, leave_on_signals, received
from tests.lab.wait import until

SECONDS = float(os.environ.get("BENCH_SECONDS", "3"))
WARM_UP_SECONDS = 0.5
ROUNDS = 3
SIZES = {"64": (64,), "imix": (64,) * 7 + (594,) * 4 + (1518,)}
HOST, CLOUD = "192.0.2.10", "10.20.0.10"
NOBODY = (
    "02:00:00:00:de:ad"  # nobody's address: what is sent to it is dropped as soon as it has arrived, and not answered
)
NAME = "the same without guard and shaper"

ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections:
  fra-1: {provider: generic, port: eth1, bandwidth: 100G}
  fra-2: {provider: generic, port: eth2, bandwidth: 100G}
virtual_gateways: {prod: {vpc: prod, asn: 64512, accept: [10.20.0.0/16, 10.21.0.0/16]}}
virtual_interfaces:
  prod-a:
    {connection: fra-1, virtual_gateway: prod, vlan: 0, bandwidth: 100G, static: [10.20.0.0/16],
     addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}]}
  prod-b:
    {connection: fra-2, virtual_gateway: prod, vlan: 0, bandwidth: 100G, static: [10.21.0.0/16],
     addresses: [{customer: 10.255.102.2/30, cloud: 10.255.102.1}]}
"""


@dataclass(frozen=True)
class Path:
    """Where frames are put in, what they say, and where they arrive."""

    entry: Port
    to_mac: str  # of the edge's port there
    source: str
    destination: str
    arrival: Port


@dataclass
class Router:
    """The edge between a LAN and two paths to the cloud; whoever is behind is nobody."""

    work: Workspace
    paths: dict[str, Path] = field(init=False)

    def __post_init__(self) -> None:
        self.edge, self.host, self.cloud = (self.work.namespace(name) for name in ("edge", "host", "cloud"))
        for number in (1, 2):
            fibre(Port(self.edge, f"eth{number}"), Port(self.cloud, f"fra-{number}"))
        connect_host(self.edge, "lan0", self.host, [ip_network("192.0.2.0/24")])
        for port in (Port(self.edge, "lan0"), Port(self.host, "eth0")):
            port.namespace.run("ethtool", "-K", port.name, "tso", "off", "gso", "off")
        lan, first, second = Port(self.host, "eth0"), Port(self.cloud, "fra-1"), Port(self.cloud, "fra-2")
        self.paths = {
            "to-cloud": Path(lan, self._mac("lan0"), HOST, CLOUD, first),
            "from-cloud": Path(first, self._mac("eth1"), CLOUD, HOST, lan),
            "between": Path(second, self._mac("eth2"), "10.21.0.10", CLOUD, first),
        }

    def _mac(self, device: str) -> str:
        return self.edge.run("cat", f"/sys/class/net/{device}/address").stdout.strip()

    def plain(self) -> None:
        """Forward, and nothing else."""
        self._dcedge("purge", "--yes")
        self.edge.sysctl(ipv4__ip_forward=1)
        self.edge.ip(
            *(f"address replace 10.255.10{n}.2/30 dev eth{n}" for n in (1, 2)),
            *(f"route replace 10.2{n - 1}.0.0/16 via 10.255.10{n}.1 dev eth{n}" for n in (1, 2)),
        )
        assert "htb" not in self.edge.run("tc", "qdisc", "show").stdout
        assert not self.edge.run("nft", "list", "ruleset").stdout
        self._know_nobody()

    def ours(self) -> None:
        """As ordered."""
        self.edge.ip(
            *(f"route del 10.2{n - 1}.0.0/16 via 10.255.10{n}.1 dev eth{n}" for n in (1, 2)),
            *(f"address del 10.255.10{n}.2/30 dev eth{n}" for n in (1, 2)),
        )
        self._dcedge("apply")
        assert self.edge.run("tc", "qdisc", "show").stdout.count("htb dce:") == 2
        assert "dropped-spoofed" in self.edge.run("nft", "list", "table", "inet", "dcedge").stdout
        self._know_nobody()

    def _know_nobody(self) -> None:
        """Whoever is next on a path; the kernel forgets that with a port's last address."""
        ways = {"lan0": HOST, "eth1": "10.255.101.1", "eth2": "10.255.102.1"}
        self.edge.ip(
            *(f"neighbour replace {to} lladdr {NOBODY} dev {device} nud permanent" for device, to in ways.items())
        )

    def _dcedge(self, *words: str) -> None:
        folder = self.work.folder
        (folder / "order.yaml").write_text(ORDER)
        places = {"ORDER": "order.yaml", "STATE_DIR": "state", "SOCKET": "control.sock"}
        environment = {f"DCEDGE_{name}": str(folder / path) for name, path in places.items()}
        environment["DCEDGE_FRR_PATHSPACE"] = "dcedge-none"
        done = self.edge.run(str(COMMAND), *words, check=False, environment=os.environ | environment)
        assert "failed:" not in done.stdout + done.stderr, done.stdout + done.stderr

    @contextmanager
    def sending(self, path: Path, sizes: Sequence[int], processors: int) -> Iterator[None]:
        """A sender on each of so many processors."""
        turns = ",".join(map(str, sizes))
        words = (path.entry.name, path.to_mac, path.source, path.destination, turns)
        senders = [
            path.entry.namespace.popen(sys.executable, "-m", "tests.bench.frames", *words, str(cpu))
            for cpu in sorted(os.sched_getaffinity(0))[:processors]
        ]
        before = received(path.arrival).packets
        try:
            until("traffic", lambda: received(path.arrival).packets - before, accept=lambda count: count > 10_000)
            time.sleep(WARM_UP_SECONDS)
            yield
            assert all(sender.poll() is None for sender in senders), "a sender ended by itself"
        finally:
            for sender in senders:
                end(sender)

    def packets(self, path: Path, sizes: Sequence[int], processors: int) -> float:
        """Packets a second that arrive."""
        with self.sending(path, sizes, processors):
            started, before = time.monotonic(), received(path.arrival).packets
            time.sleep(SECONDS)  # they are counted
            after, ended = received(path.arrival).packets, time.monotonic()
        return (after - before) / (ended - started)


def main() -> None:
    """Everything with and without, by turns: the median of each."""
    leave_on_signals()
    report = Report("forwarding", gso="off")
    available = len(os.sched_getaffinity(0))
    with Workspace() as work:
        router = Router(work)
        kinds = [
            (path, sizes, processors)
            for path in router.paths
            for sizes in SIZES
            for processors in (1, 2)
            if processors <= available
        ]
        figures: dict[tuple[str, tuple[str, str, int]], list[float]] = {}
        for _ in range(ROUNDS):
            for who, prepare in (("plain", router.plain), ("ours", router.ours)):
                prepare()
                for kind in kinds:
                    path, sizes, processors = kind
                    found = router.packets(router.paths[path], SIZES[sizes], processors)
                    figures.setdefault((who, kind), []).append(found)
    for kind in kinds:
        path, sizes, processors = kind
        ours, plain = (median(figures[who, kind]) / 1000 for who in ("ours", "plain"))
        name = f"pps-{sizes}-{processors}-core{'s' if processors > 1 else ''}-{path}"
        report.add(name, ours, plain, NAME, "thousand packets/s")
    report.write()


if __name__ == "__main__":
    main()
