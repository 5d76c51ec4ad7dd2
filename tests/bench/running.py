"""The daemon under a watch: how soon it repairs and takes back, how long it holds its event loop, its memory.

It runs without FRR, on the port that tests/bench/kernel.py makes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.request import urlopen

from pyroute2.netlink import rtnl

from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.address.view import ADDRESS
from dcedge.kernel.link.view import link_view
from dcedge.kernel.queue.handles import leaf_handle
from dcedge.kernel.queue.shaping import DATA
from dcedge.kernel.route.view import ROUTE
from dcedge.netlink.descriptions import NETCONFA_IFINDEX_ALL, netconf_message, queue_message
from dcedge.netlink.event_receiver import messages_in
from dcedge.netlink.layout import HEADER, fields_struct
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket, open_socket
from dcedge.reconcile.drift import FORWARDING_REPAIRS
from dcedge.reconcile.queue import FULL_RESYNC_SECONDS
from dcedge_capture.port import attach_filter
from tests.bench.at_rest import wait_until_at_rest
from tests.bench.cases import Report
from tests.bench.orders import order_text

SETTLING_SECONDS = 10.0
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
FORWARDING_ROUNDS = 4
EVENT_BYTES = 4 << 20  # a word a link, twice
# In a message of netconf (linux/netconf.h): behind its header, the family in four bytes, and the attribute's header.
INDEX_AT = HEADER.size + 4 + 4
ALL_BITS = 0xFFFF_FFFF
_NETCONF = Reader(netconf_message, "NETCONFA_IFINDEX")
_QUEUE = fields_struct(queue_message, ("index", "handle"))


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

    In a folder that no daemon has used: without FRR a purge keeps the last good order, and another that has much less
    is refused at the start.

    `held` in the folder says for how many milliseconds its event loop was held at worst since that was taken away.
    """
    folder.mkdir()
    (folder / "order.yaml").write_text(order_text(count))
    environment = places(folder)
    dcedge = [sys.executable, "-m", "dcedge"]
    running = [sys.executable, "-m", "tests.bench.ticking", str(folder / "held")]
    process = subprocess.Popen(running, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while True:
            said = subprocess.run([*dcedge, "status", "--json"], env=environment, capture_output=True, check=False)
            status = json.loads(said.stdout) if said.returncode == 0 else {"pass": {"finished_at": None}}
            if status["pass"]["finished_at"] is not None and len(status["virtual_interfaces"]) == count:
                break
            assert time.monotonic() < deadline, said.stderr or "another order is in force"
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


def scrape() -> None:
    """Have the daemon write its metrics once."""
    with urlopen("http://127.0.0.1:9478/metrics") as answer:
        answer.read()


def repair(vlan: int) -> float:
    """Remove a link under the daemon; seconds from asking the kernel for that until it has all of it again.

    With address, route and shaper. It is the kernel's own word (rtnetlink(7)) that is waited for: to ask it again and
    again takes the processor away from who repairs.
    """
    name = f"eth1.{vlan}"
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as events, RouteSocket() as sock:
        events.bind((0, rtnl.RTMGRP_LINK | rtnl.RTMGRP_TC | rtnl.RTMGRP_IPV4_IFADDR | rtnl.RTMGRP_IPV4_ROUTE))
        events.settimeout(30)
        removal = m.delete_link(socket.if_nametoindex(name))
        started, index, missing = time.perf_counter(), 0, {"address", "route", "queue"}
        (answer,) = sock.execute([removal])
        assert not answer.errno, answer
        gone = False
        while missing:
            datagram = events.recv(65536)
            data = memoryview(datagram)
            for message, start, end in messages_in(datagram):
                if message == rtnl.RTM_DELLINK and link_view(data, start, end).name == name:
                    gone = True
                elif gone and message == rtnl.RTM_NEWLINK and link_view(data, start, end).name == name:
                    index = link_view(data, start, end).index
                elif index and (what := _about(index, message, data, start, end)) is not None:
                    missing.discard(what)
        taken = time.perf_counter() - started
    assert repaired(name), f"{name} is not as it was"
    return taken


def _about(index: int, kind: int, data: memoryview, start: int, end: int) -> str | None:
    """What of a repaired link a message tells."""
    if kind == rtnl.RTM_NEWADDR and ADDRESS.read(data, start, end)["index"] == index:
        return "address"
    if kind == rtnl.RTM_NEWROUTE and ROUTE.read(data, start, end).get("RTA_OIF") == index:
        return "route"
    if kind == rtnl.RTM_NEWQDISC and _QUEUE.unpack_from(data, start) == (index, leaf_handle(DATA)):
        return "queue"
    return None


def forwarding_back(vlan: int) -> float:
    """Switch IPv4 forwarding off under the daemon; seconds from that until the router forwards again.

    Writing it to /proc counts. The kernel tells first that all shall forward, and then of each link as it does
    (inet_forward_change, net/ipv4/devinet.c); of the link with this VLAN is waited for. What it tells of the others is
    kept from this socket: to read it takes the processor away from who repairs.
    """
    name = f"eth1.{vlan}"
    group = 1 << rtnl.RTNLGRP_IPV4_NETCONF - 1
    events = open_socket(socket.NETLINK_ROUTE, groups=group, buffer_bytes=EVENT_BYTES, timeout_seconds=30)
    with contextlib.closing(events):
        about = NETCONFA_IFINDEX_ALL, socket.if_nametoindex(name)
        hear_only(events, about)
        wanted = [*about, *about]  # off, and on again
        started = time.perf_counter()
        FORWARDING.write_text("0")
        while wanted:
            datagram = events.recv(65536)
            for message, start, end in messages_in(datagram):
                told = _NETCONF.read(memoryview(datagram), start, end).get("NETCONFA_IFINDEX")
                if message == rtnl.RTM_NEWNETCONF and wanted and told == wanted[0]:
                    wanted.pop(0)
        taken = time.perf_counter() - started
    settings = (FORWARDING, Path(f"/proc/sys/net/ipv4/conf/{name}/forwarding"))
    assert [setting.read_text() for setting in settings] == ["1\n"] * 2, f"{name} does not forward again"
    return taken


def hear_only(events: socket.socket, indices: Sequence[int]) -> None:
    """Have the kernel drop what it tells of other links than these: by the first attribute, which is the index.

    A classic BPF program (linux/filter.h), which loads numbers in the network's order.
    """
    load_word, equals, verdict = 0x20, 0x15, 0x06
    tests = [(equals, len(indices) - n, 0, socket.htonl(index & ALL_BITS)) for n, index in enumerate(indices)]
    program = ((load_word, 0, 0, INDEX_AT), *tests, (verdict, 0, 0, 0), (verdict, 0, 0, ALL_BITS))
    attach_filter(events, b"".join(struct.pack("=HBBI", *instruction) for instruction in program))


def all_forwarding_back(folder: Path, count: int) -> list[float]:
    """Milliseconds of many such repairs; after as many as the daemon takes for chance, its order is applied again."""
    figures: list[float] = []
    for _ in range(FORWARDING_ROUNDS):
        for _ in range(FORWARDING_REPAIRS):
            figures.append(forwarding_back(1 + 37 * len(figures) % count) * 1000)
            time.sleep(0.5)
        words = [sys.executable, "-m", "dcedge", "apply"]
        # Its status is 1 here, as there is no FRR.
        subprocess.run(words, env=places(folder), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
    return figures


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
    """The daemon itself: what nobody confirms at ten, the slowest of many repairs at 1,000, of links and of forwarding.

    At 50 and at 4,000 memory, at 4,000 the longest hold of the event loop besides.
    """
    for name in ("unconfirmed-5s", "unconfirmed-5s-killed"):
        with daemon(folder / name, 10) as process:
            report.add(name, unconfirmed(folder / name, process, kill=name.endswith("killed")))
    with daemon(repairing := folder / "1000", 1000):
        time.sleep(SETTLING_SECONDS)
        figures: list[float] = []
        until = time.monotonic() + FULL_RESYNC_SECONDS + SETTLING_SECONDS  # in there comes a full resync
        while time.monotonic() < until:
            figures.append(repair(1 + 37 * len(figures) % 1000) * 1000)
            time.sleep(0.5)
        report.add("repair-1000", max(figures), unit="ms")
        report.add("repair-1000-median", statistics.median(figures), unit="ms")
        figures = all_forwarding_back(repairing, 1000)
        report.add("forwarding-back-1000", max(figures), unit="ms")
        report.add("forwarding-back-1000-median", statistics.median(figures), unit="ms")
    with daemon(folder / "50", 50) as process:
        time.sleep(SETTLING_SECONDS)
        scrape()
        report.add("rss-50", peak_rss_mb(process), unit="MB")
    with daemon(scale := folder / "4000", 4000) as process:
        held = scale / "held"
        time.sleep(SETTLING_SECONDS)  # what its own changes made the kernel tell it is looked at after the first pass
        report.add("loop-hold-4000-apply", float(held.read_text()), unit="ms")
        wait_until_at_rest()
        held.unlink()
        time.sleep(FULL_RESYNC_SECONDS + SETTLING_SECONDS)  # its regular full resync
        report.add("loop-hold-4000", float(held.read_text()), unit="ms")
        scrape()
        report.add("rss-4000", peak_rss_mb(process), unit="MB")
