"""The kernel's part at scale, against `ip -batch` and `tc -batch` doing the very same work in the same boot.

The same work: link with MTU, alias, altname and 802.1p map, up; an IPv4 and an IPv6 address; HTB root, classes, filter,
segmenter and fq_codel leaf with the same figures. Ours includes deriving, observing, planning and verifying. FRR is
not part of it.

Whenever a link comes up, whatever link, the kernel walks through every IPv6 route of the network namespace (addrconf:
rt6_sync_up), of which a virtual interface has some seven. That is in `add-one-N`; `add-one-N-kernel` is what the kernel
takes for the same link and addresses by themselves, with N others present and with ten. One is added to a router that
has been up for a while: after thousands at once the kernel is busy with their carriers for up to a minute.
"""

from __future__ import annotations

import gc
import os
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address, ip_interface
from pathlib import Path

from dcedge.frr.vty import FrrClient
from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.queue.classify import control_classifier
from dcedge.kernel.queue.handles import CONTROL_HANDLE, CONTROL_PCP
from dcedge.kernel.queue.shaping import CONTROL, DATA, TICK_NS, cut_bytes, fq_codel_parameters, interface_classes
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Address
from dcedge.order.load import Loaded, parse_order
from dcedge.order.resolve import Tag
from dcedge.reconcile.reconciler import Reconciler, purge_intent
from dcedge.reconcile.result import DirtySet, PassRequest
from dcedge.reconcile.state.formats import Runtime
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings
from tests.bench.at_rest import wait_until_at_rest
from tests.bench.cases import Report
from tests.bench.ifupdown2 import ifupdown2
from tests.bench.machine import system_call_us
from tests.bench.orders import order_text
from tests.bench.running import running, shown
from tests.bench.state_folder import state_folder

SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "100 1000 4000").split())
RATE = 50_000_000
REPEATS_ONE, REPEATS_NOTHING = 9, 3
TOOL_SIZE = 200
# For the kernel to be done with the one link that came and went before: it works off carriers once a second.
QUIET_SECONDS = 1.5


def class_words() -> list[str]:
    """The classes of one virtual interface at RATE as tc-htb(8) takes them, without device."""
    return [
        f"parent dce:{htb.parent or ''} classid dce:{htb.minor} htb rate {htb.rate_bytes * 8} "
        f"ceil {htb.ceil_bytes * 8} burst {htb.burst_ticks * TICK_NS * htb.rate_bytes // 10**9} "
        f"cburst {htb.ceil_burst_ticks * TICK_NS * htb.ceil_bytes // 10**9} quantum {htb.quantum} prio {htb.priority}"
        for htb in interface_classes(RATE, 1500, 0)
    ]


def write_batches(count: int, folder: Path) -> tuple[Path, Path, Path, Path]:
    """The same work as batch files: for ip, for tc; removal for ip; and the dumps a device of a no-op for tc."""
    queue = dict(fq_codel_parameters(RATE, 1500).settings)
    cut = cut_bytes(RATE, 1500, 0)
    ip, tc, down, classes = [], [], [], []
    for i in range(count):
        dev, base = f"eth1.{i + 1}", int(IPv4Address("172.16.0.0")) + 4 * i
        own = (IPv4Address(base + 2), IPv6Address(f"2001:db8:{i:x}::2"))
        ip += [
            f"link add link eth1 name {dev} mtu 1500 type vlan id {i + 1} "
            f"egress-qos-map {CONTROL_HANDLE}:{CONTROL_PCP}",
            f"link set {dev} alias dcedge:vi{i} up",
            f"link property add dev {dev} altname vi-vi{i}",
            f"addr add {own[0]}/30 dev {dev}",
            f"addr add {own[1]}/126 dev {dev} nodad",
        ]
        tc += [
            f"qdisc replace dev {dev} root handle dce: htb default {DATA}",
            *(f"class add dev {dev} {words}" for words in class_words()),
            f"qdisc add dev {dev} parent dce:{DATA} handle dc2: tbf rate 8000tbit burst {cut} limit 1000000",
            f"qdisc add dev {dev} parent dc2:1 handle dc1: fq_codel quantum {queue['quantum']} "
            f"memory_limit {queue['memory_limit']}",
            f"filter add dev {dev} parent dce: handle 1 prio 1 protocol all bpf bytecode '{bytecode(*own)}' "
            f"classid dce:{CONTROL} action skbedit priority dce:{CONTROL}",
        ]
        down.append(f"link del {dev}")
        classes += [f"class show dev {dev}", f"filter show dev {dev} parent dce:"]
    paths = (folder / "ip", folder / "tc", folder / "down", folder / "classes")
    for path, lines in zip(paths, (ip, tc, down, classes), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return paths


def bytecode(*addresses: Address) -> str:
    """The filter's program for the router's own addresses on a link, as tc-bpf(8) takes it."""
    program = control_classifier(addresses, CONTROL_HANDLE, 0).program
    lines = [" ".join(map(str, line)) for line in struct.iter_unpack("=HBBI", program)]
    return f"{len(lines)},{','.join(lines)}"


def timed(action: Callable[..., object], *arguments: object) -> float:
    """Seconds that an action takes."""
    started = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - started


def run(*command: str) -> None:
    """Run a command that must succeed; its output is read and thrown away."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def timed_commands(*commands: str) -> float:
    """Seconds that commands take one after another."""
    started = time.perf_counter()
    for command in commands:
        run(*command.split())
    return time.perf_counter() - started


class Ours:
    """A reconciler with a state folder of its own, held as the daemon holds its, and no FRR."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(state_dir=folder / "state")
        store = Store(settings.state_dir)
        self._open = ExitStack()
        self._open.enter_context(store.writer())
        self.reconciler = Reconciler(settings, store, FrrClient("bench-none"))
        self._open.callback(self.reconciler.close)

    def close(self) -> None:
        """Let go of the kernel and the state folder; what was made stays."""
        self._open.close()

    def apply(self, loaded: Loaded, dirty: DirtySet | None = None) -> float:
        """One pass; seconds from the parsed order to the last acknowledgement. Fails where anything did."""
        started = time.perf_counter()
        intent = self.reconciler.intent(loaded.order, Runtime())
        deriving = time.perf_counter() - started
        result = self.reconciler.run(intent, PassRequest(dirty, ordered=True))
        if result.failures:
            raise AssertionError(f"{len(result.failures)} failures, the first: {result.failures[0]}")
        return deriving + result.executed

    def purge(self) -> None:
        """Remove everything."""
        result = self.reconciler.run(purge_intent(self.reconciler.store.owned()))
        assert not result.failures, result.failures[0]


def one_change(ours: Ours, count: int, *, adding: bool) -> float:
    """Median seconds of a whole pass for one virtual interface added (or its rate changed), on a router of `count`."""
    figures = []
    loaded = parse_order(order_text(count), "bench")
    ours.apply(loaded)
    wait_until_at_rest()
    for round_ in range(REPEATS_ONE):
        text = order_text(count + 1) if adding else order_text(count, rate={count // 2: f"{60 + round_}M"})
        changed = parse_order(text, "bench", loaded.order)
        gc.collect()
        time.sleep(QUIET_SECONDS)
        figures.append(timed(ours.apply, changed, DirtySet()))
        if adding:
            ours.apply(loaded, DirtySet())
        else:
            loaded = changed
    return sorted(figures)[len(figures) // 2]


def kernel_share() -> float:
    """Median seconds that the kernel takes for one more VLAN link, up, and its two addresses."""
    index, addresses = 100_000, (ip_interface("10.99.0.2/30"), ip_interface("2001:db8:ffff::2/126"))
    with RouteSocket() as sock:
        port = socket.if_nametoindex("eth1")
        requests = [
            m.create_vlan(index, "eth1.4094", port, Tag(4094, 0x8100), 1500, "bench", master=None),
            *(m.address(index, address, add=True) for address in addresses),
            m.set_link(index, up=True),
        ]
        figures: list[float] = []
        for _ in range(REPEATS_ONE):
            time.sleep(QUIET_SECONDS)
            figures.append(timed(sock.execute, requests))
            sock.execute([m.delete_link(index)])
    return sorted(figures)[len(figures) // 2]


def against_tools(report: Report, folder: Path) -> None:
    """Apply against another manager of interfaces, which does less: neither shaper nor altname nor priority map."""
    _, _, down, _ = write_batches(TOOL_SIZE, folder)
    theirs = ifupdown2(folder, TOOL_SIZE)
    last = f"eth1.{TOOL_SIZE}"
    assert "172.16." in shown("ip", "-4", "-o", "addr", "show", "dev", last), f"ifupdown2 has not made {last}"
    run("ip", "-batch", str(down))
    ours = Ours(folder)
    loaded = parse_order(order_text(TOOL_SIZE), "bench")
    report.add(f"apply-{TOOL_SIZE}-vs-ifupdown2", timed(ours.apply, loaded), theirs, "ifup -a, without shaper")
    ours.purge()
    ours.close()


def scale(report: Report, folder: Path) -> None:
    """Apply, no-op and purge at each size, each side on a kernel that is done with what came before."""
    for count in SIZES:
        ip, tc, down, classes = write_batches(count, folder)
        wait_until_at_rest()
        reference = timed_commands(f"ip -batch {ip}", f"tc -batch {tc}")
        dumps = timed_commands("ip -j -d link", "ip -j addr", "tc -j qdisc", f"tc -j -batch {classes}")
        removal = timed_commands(f"ip -batch {down}")
        wait_until_at_rest()
        ours = Ours(folder)
        loaded = parse_order(order_text(count), "bench")
        report.add(f"apply-{count}", timed(ours.apply, loaded), reference, "ip -batch + tc -batch")
        report.add(f"noop-{count}", timed(ours.apply, loaded), dumps, "ip -j link, addr; tc -j qdisc, class, filter")
        report.add(f"purge-{count}", timed(ours.purge), removal, "ip -batch link del")
        ours.close()


def nothing(ours: Ours, count: int) -> float:
    """Median seconds of a full resync that finds nothing to do."""
    loaded = parse_order(order_text(count), "bench")
    ours.apply(loaded)
    wait_until_at_rest()
    return statistics.median(timed(ours.apply, loaded) for _ in range(REPEATS_NOTHING))


def single_changes(report: Report, folder: Path) -> None:
    """One added, one changed, against a pass that finds nothing to do; and what the kernel alone takes for one."""
    kernel = {}
    for count in (10, *SIZES):
        ours = Ours(folder)
        if count != 10:
            theirs = nothing(ours, count) * 1000
            for case, adding in (("add-one", True), ("rate-one", False)):
                took = one_change(ours, count, adding=adding) * 1000
                report.add(f"{case}-{count}", took, theirs, f"a pass that finds nothing to do at {count}", "ms")
            report.add(f"read-order-{count}", timed(parse_order, order_text(count), "bench"))
        else:
            ours.apply(parse_order(order_text(count), "bench"))
        kernel[count] = kernel_share() * 1000
        if count != 10:
            report.add(f"add-one-{count}-kernel", kernel[count], kernel[10], "the same at 10", "ms")
        ours.purge()
        ours.close()
        wait_until_at_rest()


def main() -> None:
    """Run it all in one boot."""
    run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1p")
    for port in ("eth1", "eth1p"):
        run("ip", "link", "set", port, "up")
    report = Report("kernel")
    report.add("system-call", system_call_us(), unit="µs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in (single_changes, state_folder, running, against_tools, scale):
            part(report, folder)
    report.write()


if __name__ == "__main__":
    main()
