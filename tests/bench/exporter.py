"""What a scrape costs, and what it costs the passes: the daemon on thousands of ports, natively.

Against Debian's prometheus-frr-exporter and prometheus-node-exporter together, on the same thousand ports and the same
FRR with a session on each.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from pyroute2.netlink.rtnl import RTM_DELADDR, RTM_NEWADDR, RTMGRP_IPV4_IFADDR

from dcedge.api.control.client import ControlClient
from dcedge.api.metrics.exposition import TEXT
from dcedge.errors import NotRunningError
from tests.bench.bgp import SECRET, Router, start_bird
from tests.bench.bgp import exporter as frr_exporter
from tests.bench.cases import Report
from tests.bench.metrics import REFERENCE, milliseconds, reference
from tests.bench.metrics import many as snapshot_of
from tests.bench.ports import addresses, cpu_seconds, lay_ports
from tests.lab.netns import Namespace, Workspace, end, execute, leave_on_signals
from tests.lab.wait import until

ROOT = Path(__file__).resolve().parents[2]
MANY, FEWER = 4000, 1000
SCRAPES, REFERENCE_ROUNDS = 15, 5
REPAIRS, REPAIR_ROUNDS = 10, 2
PAUSE_SECONDS = 1.5  # after a repair: its pass ends with a poll, which is not to be part of the next one's time
SCRAPE_INTERVAL_SECONDS, INTERVALS = 15.0, 4  # as Prometheus is often told to scrape
SERIES_MIN = 30  # a virtual interface
NODE_EXPORTER, NODE_PORT = "prometheus-node-exporter", 19100
FRR_EXPORTER = "prometheus-frr-exporter"
START_SECONDS = 120.0
_NLMSG = struct.Struct("=IHHII")


def order_text(count: int) -> str:
    """One untagged virtual interface a port, a gateway for two of them."""
    lines = ["router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}", "connections:"]
    lines += [f"  c{n}: {{provider: generic, port: e{n}, bandwidth: 1G}}" for n in range(count)]
    lines.append("virtual_gateways:")
    lines += [
        f"  g{g}: {{vpc: g{g}, asn: 64512, accept: [10.{g >> 8}.{g & 255}.0/24]}}" for g in range((count + 1) // 2)
    ]
    lines.append("virtual_interfaces:")
    for n in range(count):
        customer, cloud = addresses(n)
        lines.append(
            f"  v{n}: {{connection: c{n}, virtual_gateway: g{n // 2}, vlan: 0, bandwidth: 50M, "
            f"preference: {'backup' if n % 2 else 'primary'}, "
            f"addresses: [{{customer: {customer}/30, cloud: {cloud}}}], bgp: {{password: {{credential: k}}}}}}"
        )
    return "\n".join(lines) + "\n"


class Daemon:
    """`dcedge run` on the edge."""

    def __init__(self, work: Workspace, edge: Namespace, count: int, pathspace: str) -> None:
        self.folder = work.folder / f"daemon-{count}"
        self.folder.mkdir()
        self.edge = edge
        self.log = self.folder / "log"
        order, credentials = self.folder / "order.yaml", self.folder / "credentials"
        order.write_text(order_text(count))
        credentials.mkdir(mode=0o700)
        (credentials / "k").touch(mode=0o600)
        (credentials / "k").write_text(SECRET)
        self.client = ControlClient(self.folder / "control.sock")
        environment = os.environ | {
            "DCEDGE_ORDER": str(order),
            "DCEDGE_CREDENTIALS": str(credentials),
            "DCEDGE_SOCKET": str(self.folder / "control.sock"),
            "DCEDGE_STATE_DIR": str(self.folder / "state"),
            "DCEDGE_LISTEN": "127.0.0.1:9478",
            "DCEDGE_FRR_PATHSPACE": pathspace,
        }
        self.process = edge.popen(sys.executable, "-m", "dcedge", "run", log=self.log, environment=environment)
        until("the first pass", self.finished, START_SECONDS)

    def finished(self) -> Any:
        """When the last pass ended; nothing while none has."""
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        with contextlib.suppress(NotRunningError):
            return self.client.status()["pass"]["finished_at"]
        return None

    def scrape(self) -> tuple[float, bytes]:
        """Seconds of one scrape, and what came."""
        return self.edge.call(fetch, 9478)

    def stop(self) -> None:
        """End it."""
        end(self.process)


def fetch(port: int) -> tuple[float, bytes]:
    """Seconds that an exporter takes to give all it has, and that."""
    started = time.perf_counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        body: bytes = answer.read()
    return time.perf_counter() - started, body


def series_of(body: bytes, name: str) -> int:
    """How many series a virtual interface has."""
    return len(re.findall(rb'^\w+\{[^}]*virtual_interface="' + name.encode() + rb'"', body, re.MULTILINE))


class Repairs:
    """Takes addresses away and sees how long it takes until they are back."""

    def __init__(self, edge: Namespace) -> None:
        self._edge = edge
        self._next = 0
        self._socket = edge.call(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, RTMGRP_IPV4_IFADDR))
        self._socket.settimeout(30)

    def seconds(self) -> float:
        """Of one repair, on a port that has had none yet."""
        number, self._next = self._next, self._next + 1
        time.sleep(PAUSE_SECONDS)
        self._edge.ip(f"address del {addresses(number)[0]}/30 dev e{number}")
        while RTM_DELADDR not in self._heard():
            pass
        started = time.perf_counter()
        while RTM_NEWADDR not in self._heard():
            pass
        return time.perf_counter() - started

    def _heard(self) -> set[int]:
        data, at, kinds = self._socket.recv(65536), 0, set()
        while at + _NLMSG.size <= len(data):
            length, kind, *_ = _NLMSG.unpack_from(data, at)
            kinds.add(kind)
            at += (length + 3) & ~3
        return kinds

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


@contextlib.contextmanager
def scraped_in_a_loop(edge: Namespace) -> Iterator[None]:
    """Another process scrapes without a pause."""
    loop = "import urllib.request\nwhile True: urllib.request.urlopen('http://127.0.0.1:9478/metrics').read()"
    process = edge.popen(sys.executable, "-c", loop)
    try:
        time.sleep(1)
        yield
        assert process.poll() is None, "the scraping ended by itself"
    finally:
        end(process, signal.SIGKILL)


def many(report: Report, work: Workspace) -> None:
    """A scrape at thousands, and a repair meanwhile."""
    edge, cloud = work.namespace("many-edge"), work.namespace("many-cloud")
    lay_ports(edge, cloud, range(MANY), customer_addresses=False)
    daemon = Daemon(work, edge, MANY, "bench-none")
    try:
        time.sleep(5)  # until everything was probed and polled
        _, body = daemon.scrape()
        least = min(series_of(body, f"v{n}") for n in (0, MANY // 2, MANY - 1))
        assert least >= SERIES_MIN, f"only {least} series a virtual interface"
        report.add("series-a-virtual-interface", least, unit="series")
        # What the Collector's text would cost with as many series, without the way to the scraper.
        shown = snapshot_of(MANY, with_session=False)
        theirs = median(milliseconds(lambda: reference(shown, TEXT)) for _ in range(REFERENCE_ROUNDS))
        scrapes = median(daemon.scrape()[0] for _ in range(SCRAPES))
        report.add(f"scrape-{MANY}", 1000 * scrapes, theirs, REFERENCE, "ms")
        repairs = Repairs(edge)
        alone, beside = [], []
        for _ in range(REPAIR_ROUNDS):
            alone += [repairs.seconds() for _ in range(REPAIRS)]
            with scraped_in_a_loop(edge):
                beside += [repairs.seconds() for _ in range(REPAIRS)]
        repairs.close()
        report.add("reconcile-while-scraped", 1000 * median(beside), 1000 * median(alone), "not scraped", "ms")
        before, started = cpu_seconds(daemon.process.pid), time.monotonic()
        time.sleep(20)
        spent = cpu_seconds(daemon.process.pid) - before
        report.add(f"daemon-cpu-{MANY}", spent / (time.monotonic() - started), unit="of a core")
    finally:
        daemon.stop()


@contextlib.contextmanager
def node_exporter(work: Workspace, edge: Namespace) -> Iterator[None]:
    """Debian's node exporter on the edge, with what it collects by default."""
    subprocess.run([str(ROOT / "tests/lab/install-packages"), NODE_EXPORTER], check=True, cwd=ROOT)
    process = edge.popen(NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{NODE_PORT}", log=work.folder / "node.log")

    def listening() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", NODE_PORT), 1):
            return True
        return False

    try:
        until("the node exporter to listen", lambda: edge.call(listening))
        yield
    finally:
        end(process)


def fewer(report: Report, work: Workspace) -> None:
    """A scrape with a session a virtual interface, against the two exporters that tell as much.

    They read everything when they are scraped; we poll once a second, and a scrape finds what the last poll found. So
    what is compared is the processor's time over a scrape interval with one scrape in it, of whoever does the work:
    ours with all polls and probes of that time, and on both sides with what FRR spends on answering. How long the
    scraper waits is a case of its own, in which our polling is not.
    """
    router = Router(work, FEWER)
    edge, cloud = router.namespace, work.namespace("cloud")
    lay_ports(edge, cloud, range(FEWER), customer_addresses=False)
    start_bird(work, cloud, FEWER)
    router.empty()
    daemon = Daemon(work, edge, FEWER, router.frr.name)

    def established() -> int:
        return len(re.findall(rb"^dcedge_bgp_session_up\S* 1\.0$", daemon.scrape()[1], re.MULTILINE))

    names = f"{FRR_EXPORTER} + {NODE_EXPORTER}"
    try:
        until("every session in the metrics", established, START_SECONDS, accept=lambda number: number == FEWER)
        ours = median(daemon.scrape()[0] for _ in range(SCRAPES))
        our_work = work_a_scrape(edge, daemon.scrape)
    finally:
        daemon.stop()
    with frr_exporter(router) as scrape_frr, node_exporter(work, edge):
        body = edge.call(fetch, NODE_PORT)[1]
        assert body.count(b"\nnode_network_receive_bytes_total{") >= FEWER, body[-2000:]

        def scrape_both() -> float:
            return scrape_frr() + edge.call(fetch, NODE_PORT)[0]

        theirs = median(scrape_both() for _ in range(SCRAPES))
        their_work = work_a_scrape(edge, scrape_both)
    report.add(f"scrape-{FEWER}-vs-exporters", 1000 * our_work, 1000 * their_work, names, "ms of a core")
    report.add(f"scrape-{FEWER}-wait-vs-exporters", 1000 * ours, 1000 * theirs, names, "ms")


def work_a_scrape(edge: Namespace, scrape: Callable[[], object]) -> float:
    """Processor seconds, over a scrape interval with one scrape in it, of all processes on the edge; FRR's included."""
    pids = [int(pid) for pid in execute("ip", "netns", "pids", edge.name).stdout.split()]
    pids = [pid for pid in pids if pid != os.getpid()]  # this process has a thread there, which only waits
    before = sum(cpu_seconds(pid) for pid in pids)
    for _ in range(INTERVALS):
        due = time.monotonic() + SCRAPE_INTERVAL_SECONDS
        scrape()
        time.sleep(max(0.0, due - time.monotonic()))  # the rest of the interval, in which others go on
    return (sum(cpu_seconds(pid) for pid in pids) - before) / INTERVALS


def main() -> None:
    """Run it all."""
    leave_on_signals()
    report = Report("exporter")
    with Workspace() as work:
        many(report, work)
    with Workspace() as work:
        fewer(report, work)
    report.write()


if __name__ == "__main__":
    main()
