"""The kernel bench's native part: untagged virtual interfaces, a port each, on this machine's own kernel.

A system call costs many times more in User-Mode Linux than on a real machine (`system-call`), and whoever batches
saves just those. Here they cost what they cost. The same work as the reference's: alias, altname, MTU, up; an IPv4
address; the settings of net.ipv4.conf that differ; HTB root, classes, segmenter, filter and queue; the nft table, which
the reference loads as a file. What this kernel lacks stays away on both sides: 802.1Q, fq_codel (a pfifo stands for it)
and skbedit. IPv6 is off: the machine's neighbour table is one for all namespaces, and too small for thousands.

Each side has ports of its own, laid anew. They exist before, so a link of ours is an existing one that is set up.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from dcedge.kernel.link.sysctls import IPV4_CONF
from dcedge.kernel.queue.shaping import CONTROL, DATA, cut_bytes, pfifo_parameters
from dcedge.order.load import parse_order
from dcedge.reconcile.result import DirtySet
from tests.bench.at_rest import wait_until_at_rest
from tests.bench.cases import Report
from tests.bench.kernel import (
    QUIET_SECONDS,
    RATE,
    REPEATS_NOTHING,
    REPEATS_ONE,
    SIZES,
    Ours,
    bytecode,
    class_words,
    run,
    timed,
)
from tests.bench.machine import system_call_us
from tests.bench.ports import addresses, lay_ports
from tests.lab.netns import Namespace, Workspace, leave_on_signals

MTU = 1500


@dataclass(frozen=True)
class Router:
    """The edge with its ports, and a folder."""

    edge: Namespace
    folder: Path

    @classmethod
    def lay(cls, work: Workspace, count: int) -> Router:
        """So many ports with their fibres, once the kernel is done with their carriers."""
        edge, cloud = work.namespace("edge"), work.namespace("cloud")
        lay_ports(edge, cloud, range(count), customer_addresses=False)
        for namespace in (edge, cloud):
            namespace.call(wait_until_at_rest)
        return cls(edge, work.folder)

    def timed(self, action: Callable[..., object], *arguments: object) -> float:
        """Seconds that an action takes in the router's namespace."""
        gc.collect()
        return self.edge.call(timed, action, *arguments)

    def commands(self, *commands: str) -> float:
        """Seconds that commands take one after another, which are started as directly as ours are."""
        return self.timed(_run_all, commands)


def _run_all(commands: tuple[str, ...]) -> None:
    for command in commands:
        run(*command.split())


def order_text(count: int, *, rate: dict[int, str] | None = None) -> str:
    """One untagged virtual interface a port, all to one gateway; `rate` overrides the bandwidth of some."""
    lines = ["router: {asn: 65010, router_id: 10.255.0.1}", "connections:"]
    lines += [f"  c{n}: {{provider: generic, port: e{n}, bandwidth: 1G}}" for n in range(count)]
    lines += [
        "virtual_gateways: {prod: {vpc: prod, asn: 64512, accept: [10.20.0.0/16]}}",
        "virtual_interfaces:",
    ]
    for n in range(count):
        customer, cloud = addresses(n)
        lines.append(
            f"  vi{n}: {{connection: c{n}, virtual_gateway: prod, vlan: 0, bandwidth: {(rate or {}).get(n, '50M')}, "
            f"addresses: [{{customer: {customer}/30, cloud: {cloud}}}]}}"
        )
    return "\n".join(lines) + "\n...\n"


def settings_that_differ(device: str) -> list[str]:
    """Those of net.ipv4.conf that dcedge wants otherwise on a port that has just been laid, as sysctl.conf(5) lines.

    Read while the machine forwards: it is set for all of them at once.
    """
    places = {name: Path("/proc/sys/net/ipv4/conf", device, name) for name, _ in IPV4_CONF}
    return [f"{name} = {value}" for name, value in IPV4_CONF if int(places[name].read_text()) != value]


def write_batches(count: int, folder: Path, settings: list[str]) -> None:
    """The same work as files: for ip, for tc, for sysctl; its removal; and the dumps a device of a no-op for tc."""
    cut, limit = cut_bytes(RATE, MTU, 0), dict(pfifo_parameters(RATE, MTU).settings)["limit"]
    files: dict[str, list[str]] = {name: [] for name in ("ip", "tc", "sysctl", "ip-down", "tc-down", "looks")}
    for n in range(count):
        dev, own = f"e{n}", IPv4Address(addresses(n)[0])
        files["ip"] += [
            f"link set {dev} mtu {MTU} alias dcedge:vi{n} up",
            f"link property add dev {dev} altname vi-vi{n}",
            f"addr add {own}/30 dev {dev}",
        ]
        files["tc"] += [
            f"qdisc replace dev {dev} root handle dce: htb default {DATA}",
            *(f"class add dev {dev} {words}" for words in class_words()),
            f"qdisc add dev {dev} parent dce:{DATA} handle dc2: tbf rate 8000tbit burst {cut} limit 1000000",
            f"qdisc add dev {dev} parent dc2:1 handle dc1: pfifo limit {limit}",
            f"filter add dev {dev} parent dce: handle 1 prio 1 protocol all bpf bytecode '{bytecode(own)}' "
            f"classid dce:{CONTROL}",
        ]
        files["sysctl"] += [f"net.ipv4.conf.{dev}.{setting}" for setting in settings]
        files["ip-down"] += [
            f"addr del {own}/30 dev {dev}",
            f"link property del dev {dev} altname vi-vi{n}",
            f'link set {dev} alias ""',
        ]
        files["tc-down"].append(f"qdisc del dev {dev} root")
        files["looks"] += [f"class show dev {dev}", f"filter show dev {dev} parent dce:"]
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Figures:
    """Seconds of each: everything made, looked at and found right, removed."""

    apply: float
    noop: float
    purge: float


def reference(work: Workspace, count: int, table: str) -> Figures:
    """What iproute2, sysctl and nft take; `table`: our nft table as nft prints it."""
    router = Router.lay(work, count)
    folder = router.folder
    (folder / "nft").write_text(table)
    router.edge.sysctl(ipv4__ip_forward=1)
    write_batches(count, folder, router.edge.call(settings_that_differ, "e0"))
    apply = router.commands(
        f"ip -batch {folder}/ip", f"tc -batch {folder}/tc", f"sysctl -q -p {folder}/sysctl", f"nft -f {folder}/nft"
    )
    noop = router.commands("ip -j -d link", "ip -j addr", "tc -j qdisc", f"tc -j -batch {folder}/looks")
    purge = router.commands(
        "nft delete table inet dcedge", f"tc -batch {folder}/tc-down", f"ip -batch {folder}/ip-down"
    )
    return Figures(apply, noop, purge)


def ours(report: Report, work: Workspace, count: int) -> tuple[Figures, str]:
    """What dcedge takes, and the nft table that it made; single changes besides, against a pass that finds nothing."""
    router = Router.lay(work, count + 1)
    agent = router.edge.call(Ours, router.folder)
    text = order_text(count)
    loaded = parse_order(text, "bench")
    apply = router.timed(agent.apply, loaded)
    table = router.edge.run("nft", "list", "table", "inet", "dcedge").stdout
    noop = statistics.median(router.timed(agent.apply, loaded) for _ in range(REPEATS_NOTHING))
    name = f"a pass that finds nothing to do at {count}"
    for case, adding in (("add-one", True), ("rate-one", False)):
        report.add(
            f"{case}-{count}-native", one_change(router, agent, count, adding=adding) * 1000, noop * 1000, name, "ms"
        )
    purge = router.timed(agent.purge)
    left = router.edge.run("tc", "qdisc", "show", "dev", "e0", "root").stdout
    assert "dce:" not in left, left
    router.edge.call(agent.close)
    return Figures(apply, noop, purge), table


def one_change(router: Router, agent: Ours, count: int, *, adding: bool) -> float:
    """Median seconds of a whole pass for one virtual interface added (or its rate changed)."""
    figures = []
    loaded = parse_order(order_text(count), "bench")
    router.timed(agent.apply, loaded)
    for round_ in range(REPEATS_ONE):
        text = order_text(count + 1) if adding else order_text(count, rate={count // 2: f"{60 + round_}M"})
        changed = parse_order(text, "bench", loaded.order)
        time.sleep(QUIET_SECONDS)
        figures.append(router.timed(agent.apply, changed, DirtySet()))
        if adding:
            router.timed(agent.apply, loaded, DirtySet())
        else:
            loaded = changed
    return statistics.median(figures)


def scale(report: Report, count: int) -> None:
    """Apply, no-op and purge at a size, each side on ports of its own."""
    with Workspace() as work:
        mine, table = ours(report, work, count)
    with Workspace() as work:
        theirs = reference(work, count, table)
    report.add(f"apply-{count}-native", mine.apply, theirs.apply, "ip -batch + tc -batch + sysctl + nft")
    report.add(f"noop-{count}-native", mine.noop, theirs.noop, "ip -j link, addr; tc -j qdisc, class, filter")
    report.add(f"purge-{count}-native", mine.purge, theirs.purge, "the same by nft, tc -batch, ip -batch")


def main() -> None:
    """Run it all."""
    leave_on_signals()
    report = Report("kernel_native")
    report.add("system-call-native", system_call_us(), unit="µs")
    for count in SIZES:
        scale(report, count)
    report.write()


if __name__ == "__main__":
    main()
