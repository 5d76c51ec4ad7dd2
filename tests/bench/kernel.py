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

import contextlib
import gc
import json
import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_address, ip_interface
from pathlib import Path
from urllib.request import urlopen

from dcedge.bgp.vty import FrrClient
from dcedge.kernel import messages as m
from dcedge.kernel.classify import control_classifier
from dcedge.kernel.netlink import Request, RouteSocket, u32
from dcedge.kernel.shaping import CONTROL, DATA, TICK_NS, cut_bytes, fq_codel_parameters, interface_classes
from dcedge.kernel.view import link_view
from dcedge.order.load import Loaded, parse_order
from dcedge.order.resolve import Tag
from dcedge.pass_queue import FULL_PASS_SECONDS, Scope
from dcedge.reconcile import Reconciler, purge_intent
from dcedge.settings import Settings
from dcedge.store import Runtime, Store
from tests.bench.cases import Report

ROOT = Path(__file__).resolve().parents[2]
SIZES = tuple(int(size) for size in os.environ.get("BENCH_SIZES", "100 1000 4000").split())
RATE = 50_000_000
REPEATS_ONE = 9
# For the kernel to be done with what came and went before, which keeps others waiting: it works off carrier events once
# a second, of a hundred links at most (net/core/link_watch.c), and for each link that is up walks all IPv6 routes.
QUIET_SECONDS, LINKS_A_SECOND = 1.5, 80
SETTLING_SECONDS = 10.0
RTMGRP_LINK, RTMGRP_TC, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE = 0x1, 0x8, 0x10, 0x40  # linux/rtnetlink.h
_VLANS_A_PORT = 4000


def order_text(count: int, *, rate: dict[int, str] | None = None) -> str:
    """An order of `count` virtual interfaces on one port; `rate` overrides the bandwidth of some."""
    lines = [
        "router: {asn: 65010, router_id: 10.255.0.1}",
        "connections: {fra-1: {provider: generic, port: eth1, bandwidth: 400G, oversubscribe: true}}",
        "virtual_gateways: {prod: {vpc: prod, asn: 64512, accept: [10.20.0.0/16]}}",
        "virtual_interfaces:",
    ]
    for i in range(count):
        base = int(IPv4Address("172.16.0.0")) + 4 * i
        lines.append(
            f"  vi{i}: {{connection: fra-1, virtual_gateway: prod, vlan: {i + 1}, "
            f"bandwidth: {(rate or {}).get(i, '50M')}, addresses: ["
            f"{{customer: {IPv4Address(base + 2)}/30, cloud: {IPv4Address(base + 1)}}}, "
            f'{{customer: "2001:db8:{i:x}::2/126", cloud: "2001:db8:{i:x}::1"}}]}}'
        )
    return "\n".join(lines) + "\n...\n"


def write_batches(count: int, folder: Path) -> tuple[Path, Path, Path, Path]:
    """The same work as batch files: for ip, for tc; removal for ip; and the dumps a device of a no-op for tc."""
    queue = dict(fq_codel_parameters(RATE, 1500).settings)
    cut = cut_bytes(RATE, 1500, 0)
    class_words = [
        f"parent dce:{htb.parent or ''} classid dce:{htb.minor} htb rate {htb.rate_bytes * 8} "
        f"ceil {htb.ceil_bytes * 8} burst {htb.burst_ticks * TICK_NS * htb.rate_bytes // 10**9} "
        f"cburst {htb.ceil_burst_ticks * TICK_NS * htb.ceil_bytes // 10**9} quantum {htb.quantum} prio {htb.priority}"
        for htb in interface_classes(RATE, 1500, 0)
    ]
    ip, tc, down, classes = [], [], [], []
    for i in range(count):
        dev, base = f"eth1.{i + 1}", int(IPv4Address("172.16.0.0")) + 4 * i
        ip += [
            f"link add link eth1 name {dev} mtu 1500 type vlan id {i + 1} "
            f"egress-qos-map {m.CONTROL_HANDLE}:{m.CONTROL_PCP}",
            f"link set {dev} alias dcedge:vi{i} up",
            f"link property add dev {dev} altname vi-vi{i}",
            f"addr add {IPv4Address(base + 2)}/30 dev {dev}",
            f"addr add 2001:db8:{i:x}::2/126 dev {dev} nodad",
        ]
        tc += [
            f"qdisc replace dev {dev} root handle dce: htb default {DATA}",
            *(f"class add dev {dev} {words}" for words in class_words),
            f"qdisc add dev {dev} parent dce:{DATA} handle dc2: tbf rate 8000tbit burst {cut} limit 1000000",
            f"qdisc add dev {dev} parent dc2:1 handle dc1: fq_codel quantum {queue['quantum']} "
            f"memory_limit {queue['memory_limit']}",
            f"filter add dev {dev} parent dce: handle 1 prio 1 protocol all bpf bytecode '{bytecode(i)}' "
            f"classid dce:{CONTROL} action skbedit priority dce:{CONTROL}",
        ]
        down.append(f"link del {dev}")
        classes += [f"class show dev {dev}", f"filter show dev {dev} parent dce:"]
    paths = (folder / "ip", folder / "tc", folder / "down", folder / "classes")
    for path, lines in zip(paths, (ip, tc, down, classes), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return paths


def bytecode(number: int) -> str:
    """The filter's program as tc-bpf(8) takes it."""
    base = int(IPv4Address("172.16.0.0")) + 4 * number
    addresses = (IPv4Address(base + 2), ip_address(f"2001:db8:{number:x}::2"))
    program = control_classifier(addresses, m.CONTROL_HANDLE, 0).program
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
    """A reconciler with a state folder of its own, and no FRR."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(state_dir=folder / "state")
        self.reconciler = Reconciler(settings, Store(settings.state_dir), FrrClient("bench-none"))

    def apply(self, loaded: Loaded, scope: Scope | None = None) -> float:
        """One pass; seconds from the parsed order to the last acknowledgement. Fails where anything did."""
        started = time.perf_counter()
        intent = self.reconciler.intent(loaded.order, Runtime())
        deriving = time.perf_counter() - started
        result = self.reconciler.run(intent, scope)
        if result.failures:
            raise AssertionError(f"{len(result.failures)} failures, the first: {result.failures[0]}")
        return deriving + result.executed

    def purge(self) -> None:
        """Remove everything."""
        result = self.reconciler.run(purge_intent(self.reconciler.store.owned()))
        assert not result.failures, result.failures[0]


def one_change(ours: Ours, count: int, *, adding: bool) -> float:
    """Median seconds of one virtual interface added (or its rate changed) to a running router that has `count`."""
    figures = []
    loaded = parse_order(order_text(count), "bench")
    ours.apply(loaded)
    time.sleep(count / LINKS_A_SECOND)
    for round_ in range(REPEATS_ONE):
        text = order_text(count + 1) if adding else order_text(count, rate={count // 2: f"{60 + round_}M"})
        changed = parse_order(text, "bench", loaded.order)
        gc.collect()
        time.sleep(QUIET_SECONDS)
        figures.append(ours.apply(changed, Scope()))
        if adding:
            ours.apply(loaded, Scope())
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


IFUPDOWN2 = ROOT / "build" / "ifupdown2"  # Debian's package, unpacked
_TOOL_SIZE = 200


def ifupdown2_text(count: int) -> str:
    """The links and addresses of `order_text` as interfaces(5) has them."""
    lines = []
    for i in range(count):
        lines += [
            f"auto eth1.{i + 1}",
            f"iface eth1.{i + 1}",
            "    vlan-raw-device eth1",
            f"    vlan-id {i + 1}",
            "    mtu 1500",
            f"    alias dcedge:vi{i}",
            f"    address {IPv4Address('172.16.0.0') + 4 * i + 2}/30",
            f"    address 2001:db8:{i:x}::2/126",
        ]
    return "\n".join(lines) + "\n"


def ifupdown2(folder: Path, count: int) -> float:
    """Seconds that ifupdown2 takes for the links and addresses; it knows of no shaper, and makes none.

    It looks for its parts in /usr/share and /etc, where they are laid over what this machine has there.
    """
    interfaces = folder / "interfaces"
    interfaces.write_text(ifupdown2_text(count))
    Path("/run/network").mkdir(exist_ok=True)
    mounts = [
        f"mount -t overlay lab -o lowerdir={IFUPDOWN2}{place}:{place} {place}" for place in ("/usr/share", "/etc")
    ]
    command = f"/usr/bin/python3 {IFUPDOWN2}/sbin/ifup -a -i {interfaces}"
    return timed(run, "unshare", "-m", "sh", "-ec", "; ".join([*mounts, f"exec {command}"]))


def against_tools(report: Report, folder: Path) -> None:
    """Apply against another manager of interfaces, which does less: neither shaper nor altname nor priority map."""
    _, _, down, _ = write_batches(_TOOL_SIZE, folder)
    theirs = ifupdown2(folder, _TOOL_SIZE)
    last = f"eth1.{_TOOL_SIZE}"
    assert "172.16." in shown("ip", "-4", "-o", "addr", "show", "dev", last), f"ifupdown2 has not made {last}"
    run("ip", "-batch", str(down))
    ours = Ours(folder)
    loaded = parse_order(order_text(_TOOL_SIZE), "bench")
    report.add(f"apply-{_TOOL_SIZE}-vs-ifupdown2", timed(ours.apply, loaded), theirs, "ifup -a, without shaper")
    ours.purge()
    ours.reconciler.close()


def scale(report: Report, folder: Path) -> None:
    """Apply, no-op and purge at each size, each side on a kernel that is done with what came before."""
    for count in SIZES:
        ip, tc, down, classes = write_batches(count, folder)
        time.sleep(count / LINKS_A_SECOND)
        reference = timed_commands(f"ip -batch {ip}", f"tc -batch {tc}")
        dumps = timed_commands("ip -j -d link", "ip -j addr", "tc -j qdisc", f"tc -j -batch {classes}")
        removal = timed_commands(f"ip -batch {down}")
        time.sleep(count / LINKS_A_SECOND)
        ours = Ours(folder)
        loaded = parse_order(order_text(count), "bench")
        report.add(f"apply-{count}", timed(ours.apply, loaded), reference, "ip -batch + tc -batch")
        report.add(f"noop-{count}", timed(ours.apply, loaded), dumps, "ip -j link, addr; tc -j qdisc, class, filter")
        report.add(f"purge-{count}", timed(ours.purge), removal, "ip -batch link del")
        ours.reconciler.close()


def single_changes(report: Report, folder: Path) -> None:
    """One added, one changed, at ten and at thousands."""
    figures: dict[tuple[str, int], float] = {}
    for count in (10, *SIZES):
        ours = Ours(folder)
        for kind in ("add-one", "rate-one"):
            figures[kind, count] = one_change(ours, count, adding=kind == "add-one") * 1000
            if count != 10:
                report.add(f"{kind}-{count}", figures[kind, count], figures[kind, 10], "the same at 10", "ms")
        figures["kernel", count] = kernel_share() * 1000
        if count != 10:
            kernel = figures["kernel", count], figures["kernel", 10]
            report.add(f"add-one-{count}-kernel", *kernel, "the same at 10", "ms")
        ours.purge()
        ours.reconciler.close()
        time.sleep(count / LINKS_A_SECOND)


def places(folder: Path) -> dict[str, str]:
    """The environment of `dcedge` with all that is its in the folder."""
    return os.environ | {
        "DCEDGE_ORDER": str(folder / "order.yaml"),
        "DCEDGE_SOCKET": str(folder / "control.sock"),
        "DCEDGE_STATE_DIR": str(folder / "daemon-state"),
        "DCEDGE_FRR_PATHSPACE": "bench-none",
        "DCEDGE_LISTEN": "127.0.0.1:9478",
    }


@contextlib.contextmanager
def daemon(folder: Path, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """`dcedge run` with so many virtual interfaces, once its first pass is over; purged afterwards.

    `held` in the folder says for how many milliseconds its event loop was held at worst since that was taken away.
    """
    (folder / "order.yaml").write_text(order_text(count))
    environment = places(folder)
    dcedge = [sys.executable, "-m", "dcedge"]
    running = [sys.executable, "-m", "tests.bench.ticking", str(folder / "held")]
    process = subprocess.Popen(running, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while True:
            said = subprocess.run([*dcedge, "status", "--json"], env=environment, capture_output=True, check=False)
            if said.returncode == 0 and json.loads(said.stdout)["pass"]["finished_at"] is not None:
                break
            assert time.monotonic() < deadline, said.stderr
            time.sleep(0.5)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        subprocess.run([*dcedge, "purge"], env=environment, check=False, stdout=subprocess.DEVNULL)


def peak_rss_mb(process: subprocess.Popen[bytes]) -> float:
    """The most memory a process ever had resident (VmHWM, proc_pid_status(5)), in MB."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


def repair(vlan: int) -> float:
    """Remove a link under the daemon; seconds from asking the kernel for that until it has all of it again.

    With address, route and shaper. It is the kernel's own word (rtnetlink(7)) that is waited for: to ask it again and
    again takes the processor away from who repairs.
    """
    name = f"eth1.{vlan}"
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as events, RouteSocket() as sock:
        events.bind((0, RTMGRP_LINK | RTMGRP_TC | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE))
        events.settimeout(30)
        body = m.LINK_BODY.pack(0, 0, socket.if_nametoindex(name), 0, 0)
        started, index, missing = time.perf_counter(), 0, {"address", "route", "queue"}
        (answer,) = sock.execute([Request(m.RTM_DELLINK, 0, body)])
        assert not answer.errno, answer
        gone = False
        while missing:
            data = memoryview(events.recv(65536))
            for message, start, end in messages_in(data):
                if message == m.RTM_DELLINK and link_view(data, start, end).name == name:
                    gone = True
                elif gone and message == m.RTM_NEWLINK and link_view(data, start, end).name == name:
                    index = link_view(data, start, end).index
                elif index and (what := _about(index, message, data, start, end)) is not None:
                    missing.discard(what)
        taken = time.perf_counter() - started
    assert repaired(name), f"{name} is not as it was"
    return taken


def messages_in(data: memoryview) -> Iterator[tuple[int, int, int]]:
    """Each netlink message in a datagram: type, begin and end of its body."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        yield kind, at + 16, at + length
        at += (length + 3) & ~3


def _about(index: int, kind: int, data: memoryview, start: int, end: int) -> str | None:
    """What of a repaired link a message tells."""
    if kind == m.RTM_NEWADDR and m.ADDRESS_BODY.unpack_from(data, start)[4] == index:
        return "address"
    if kind == m.RTM_NEWROUTE and u32(m.RTA_OIF, index) in bytes(data[start:end]):
        return "route"
    if kind == m.RTM_NEWQDISC and m.TC_BODY.unpack_from(data, start)[1:3] == (index, m.leaf_handle(DATA)):
        return "queue"
    return None


def shown(*words: str) -> str:
    """What a command says."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def repaired(dev: str) -> bool:
    """Whether a link is there with its address, route and shaper."""
    address, route = shown("ip", "-4", "-o", "addr", "show", "dev", dev), shown("ip", "route", "show", "dev", dev)
    return bool(address and route) and "fq_codel dc1:" in shown("tc", "qdisc", "show", "dev", dev)


def unconfirmed(folder: Path, process: subprocess.Popen[bytes], *, kill: bool) -> float:
    """Take the last of ten virtual interfaces away for 5 s unless confirmed; seconds until it is back all the same."""
    path = "eth1.10"
    (folder / "order.yaml").write_text(order_text(9))
    words = [sys.executable, "-m", "dcedge", "apply", "--confirm", "5s"]
    # Its status is 1 here, as there is no FRR; that the path is cut is looked at.
    subprocess.run(words, env=places(folder), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = time.perf_counter()
    assert not repaired(path), "the operator's path was not cut"
    if kill:
        process.kill()
        process.wait()
    while not repaired(path):
        assert time.perf_counter() - started < 30, "the operator's path is not back"
        time.sleep(0.02)
    return time.perf_counter() - started


def running(report: Report, folder: Path) -> None:
    """The daemon itself: what nobody confirms at ten, the slowest of many repairs at 1,000.

    And at 4,000 memory and the longest hold of the event loop.
    """
    for kill in (False, True):
        with daemon(folder, 10) as process:
            report.add(f"unconfirmed-5s{'-killed' if kill else ''}", unconfirmed(folder, process, kill=kill))
    with daemon(folder, 1000):
        time.sleep(SETTLING_SECONDS)
        figures: list[float] = []
        until = time.monotonic() + FULL_PASS_SECONDS + SETTLING_SECONDS  # in there it looks at everything
        while time.monotonic() < until:
            figures.append(repair(1 + 37 * len(figures) % 1000) * 1000)
            time.sleep(0.5)
        report.add("repair-1000", max(figures), unit="ms")
        report.add("repair-1000-median", statistics.median(figures), unit="ms")
    held = folder / "held"
    with daemon(folder, 4000) as process:
        time.sleep(SETTLING_SECONDS)  # what its own changes made the kernel tell it is looked at after the first pass
        report.add("loop-hold-4000-apply", float(held.read_text()), unit="ms")
        time.sleep(4000 / LINKS_A_SECOND)
        held.unlink()
        time.sleep(FULL_PASS_SECONDS + SETTLING_SECONDS)  # its regular look at everything
        report.add("loop-hold-4000", float(held.read_text()), unit="ms")
        with urlopen("http://127.0.0.1:9478/metrics") as answer:
            answer.read()
        report.add("rss-4000", peak_rss_mb(process), unit="MB")


def main() -> None:
    """Run it all in one boot."""
    run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1p")
    for port in ("eth1", "eth1p"):
        run("ip", "link", "set", port, "up")
    report = Report("kernel")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in (single_changes, running, against_tools, scale):
            part(report, folder)
    report.write()


if __name__ == "__main__":
    main()
