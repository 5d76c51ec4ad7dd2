"""The prober: how right it is against what netem does to a line (in the lab), and what it costs (natively).

`python -m tests.bench.probe lab`: the median error of the round trip at several delays, against fping on the same
line right after; and the loss that it finds where netem drops a share of the replies.
`python -m tests.bench.probe native`: its share of a processor at one probe a second a port, against Debian's
prometheus-smokeping-prober on the very same ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from statistics import median

from dcedge.order.field_types import Family
from dcedge.probe.icmp import EchoSocket
from dcedge.probe.prober import Prober
from dcedge.probe.stream import LOST_AFTER
from dcedge.probe.target import Target
from tests.bench.cases import Report
from tests.bench.ports import addresses, cpu_seconds, lay_ports
from tests.lab.netns import Namespace, Workspace, end, leave_on_signals
from tests.lab.wait import until

ROOT = Path(__file__).resolve().parents[2]
DELAYS_MS = (0, 1, 10, 50)
ROUNDS, PROBES_A_ROUND, INTERVAL_MS = 3, 100, 20
LOSSES_PERCENT = (0.1, 1.0, 10.0)
LOSS_PROBES, LOSS_STREAMS, LOSS_INTERVAL = 20_000, 100, 0.1
MANY, FEWER = 4000, 1000
SETTLE_SECONDS, MEASURE_SECONDS = 3, 20
SMOKEPING = "prometheus-smokeping-prober"
SMOKEPING_PORT = 19374


@dataclass(frozen=True)
class Line:
    """One port, its fibre, and netem on the cloud's end."""

    edge: Namespace
    cloud: Namespace

    def netem(self, how: str, *words: str) -> None:
        """Treat what the cloud sends so."""
        self.cloud.run("tc", "qdisc", how, "dev", "c0", "root", "netem", "limit", "100000", *words)

    def dropped(self) -> int:
        """How many packets netem has dropped by its own count."""
        shown = self.cloud.run("tc", "-s", "-j", "qdisc", "show", "dev", "c0").stdout
        drops: int = json.loads(shown)[0]["drops"]
        return drops

    def prober(self, streams: int, interval: float) -> Prober:
        """A prober with so many streams on this line."""

        def open_on_edge(family: Family, identifier: int, key: int) -> EchoSocket:
            return self.edge.call(EchoSocket, family, identifier, key)

        customer, cloud = map(ip_address, addresses(0))
        index = self.edge.call(socket.if_nametoindex, "e0")
        prober = Prober(open_on_edge)
        prober.set_targets(
            Target(f"v{n}", "c0", "ipv4", index, None, customer, cloud, interval) for n in range(streams)
        )
        return prober


async def our_round_trips(line: Line) -> list[float]:
    """Milliseconds of one round's probes."""
    prober = line.prober(1, INTERVAL_MS / 1000)
    prober.start()
    (stream,) = prober.streams["v0"]
    found: list[float] = []
    try:
        while len(found) < PROBES_A_ROUND:
            if stream.received > len(found):
                assert stream.received == len(found) + 1, "a round trip was overlooked"
                assert stream.rtt_last is not None
                found.append(stream.rtt_last * 1000)
            await asyncio.sleep(0.003)
    finally:
        prober.close()
    assert stream.lost == 0
    return found


def fping_round_trips(line: Line) -> list[float]:
    """Milliseconds of one round's probes, a report for each: it prints three digits, but tells netdata more."""
    every = INTERVAL_MS / 1000
    words = ("fping", "-N", "-Q", f"{every:g}", "-l", "-p", str(INTERVAL_MS), "-t", "1000", addresses(0)[1])
    said = line.edge.run("timeout", f"{PROBES_A_ROUND * every:g}", *words, check=False).stdout
    return [int(found) / 1e6 for found in re.findall(r"SET avg = (\d+)", said)]


def accuracy(report: Report, line: Line) -> None:
    """The round trip against netem's delay, which is all there is on this line but the kernel's own way."""
    for delay in DELAYS_MS:
        if delay:
            line.netem("replace", "delay", f"{delay}ms")
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS):
            ours += asyncio.run(our_round_trips(line))
            theirs += fping_round_trips(line)
        errors = [median(abs(rtt - delay) for rtt in found) * 1000 for found in (ours, theirs)]
        report.add(f"rtt-error-{delay}ms", errors[0], errors[1], "fping", "µs")


async def loss(line: Line, percent: float) -> tuple[int, int]:
    """How many probes were sent while netem dropped so many per cent, and how many we called lost."""
    prober = line.prober(LOSS_STREAMS, LOSS_INTERVAL)
    streams = [stream for streams in prober.streams.values() for stream in streams]
    line.netem("replace", "loss", f"{percent}%")
    prober.start()
    try:
        while True:
            sent = sum(stream.sent for stream in streams)
            if sent >= LOSS_PROBES:
                break
            await asyncio.sleep(0.01)
        await asyncio.to_thread(line.netem, "change", "loss", "0%")  # `change` keeps netem's count
        await asyncio.sleep(LOST_AFTER + 0.1)  # what is under way is judged within a second
    finally:
        prober.close()
    return sent, sum(stream.lost for stream in streams)


def losses(report: Report, line: Line) -> None:
    """Loss against what was injected, and against netem's own count of what it dropped."""
    for percent in LOSSES_PERCENT:
        with contextlib.suppress(AssertionError):
            line.cloud.run("tc", "qdisc", "del", "dev", "c0", "root")
        sent, lost = asyncio.run(loss(line, percent))
        report.add(f"loss-{percent:g}", 100 * lost / sent, percent, "injected by netem", "%")
        report.add(f"loss-{percent:g}-probes", lost, line.dropped(), "dropped by netem", "probes")


def lab() -> None:
    """The part that needs netem."""
    report = Report("probe-lab")
    with Workspace() as work:
        line = Line(work.namespace("edge"), work.namespace("cloud"))
        lay_ports(line.edge, line.cloud, [0])
        accuracy(report, line)
        losses(report, line)
    report.write()


def share(pid: int) -> float:
    """Its share of one processor over the time of measuring."""
    time.sleep(SETTLE_SECONDS)
    before, started = cpu_seconds(pid), time.monotonic()
    time.sleep(MEASURE_SECONDS)
    return (cpu_seconds(pid) - before) / (time.monotonic() - started)


def our_share(work: Workspace, edge: Namespace, count: int) -> float:
    """Ours, which must have had every reply."""
    log = work.folder / f"prober-{count}.log"
    process = edge.popen(sys.executable, "-m", "tests.bench.probing", str(count), log=log)
    try:
        found = share(process.pid)
    finally:
        end(process)
    said = json.loads(log.read_text())
    assert said["sent"] >= count * MEASURE_SECONDS, said
    assert said["lost"] == said["late"] == said["send_errors"] == 0, said
    return found


@contextlib.contextmanager
def smokeping(work: Workspace, edge: Namespace, count: int) -> Iterator[subprocess.Popen[bytes]]:
    """Debian's prober of the same targets at the same pace, with sockets that hear their own replies only."""
    subprocess.run([str(ROOT / "tests/lab/install-packages"), SMOKEPING], check=True, cwd=ROOT)
    edge.call(Path("/proc/sys/net/ipv4/ping_group_range").write_text, "0 2147483647")
    hosts = [addresses(n)[1] for n in range(count)]
    process = edge.popen(
        *(SMOKEPING, "--ping.interval=1s", f"--web.listen-address=127.0.0.1:{SMOKEPING_PORT}", *hosts),
        log=work.folder / "smokeping.log",
    )

    def shown() -> str:
        where = f"http://127.0.0.1:{SMOKEPING_PORT}/metrics"
        with contextlib.suppress(OSError), urllib.request.urlopen(where) as answer:
            text: str = answer.read().decode()
            return text
        return ""

    def replies() -> int:
        name = "smokeping_response_duration_seconds_count"
        counts = re.findall(rf"^{name}\S* (\S+)$", edge.call(shown), re.MULTILINE)
        return sum(float(count) > 0 for count in counts)

    try:
        until("the reference to probe every target", replies, 60, accept=lambda number: number >= count)
        yield process
    finally:
        end(process)


def native() -> None:
    """The part that needs a machine's real speed."""
    report = Report("probe-native")
    with Workspace() as work:
        edge, cloud = work.namespace("edge"), work.namespace("cloud")
        lay_ports(edge, cloud, range(MANY))
        report.add(f"cpu-{MANY}", our_share(work, edge, MANY), unit="of a core")
        ours = our_share(work, edge, FEWER)
        with smokeping(work, edge, FEWER) as process:
            report.add(f"cpu-{FEWER}", ours, share(process.pid), SMOKEPING, "of a core")
    report.write()


if __name__ == "__main__":
    leave_on_signals()
    {"lab": lab, "native": native}[sys.argv[1]]()
