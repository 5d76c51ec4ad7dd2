"""Virtual interfaces that are ordered at all that their port's wire has, under full load, with the card as second hop.

What counts is that nothing waits in the card: pings, BFD, drops; and that nearly all of the wire is in use. Where this
kernel has no fq_codel, pings wait in the queue of the load, and only the rest is looked at.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass

from dcedge.units import format_rate
from tests.bench.cases import Report
from tests.bench.shaped_line import SECONDS
from tests.lab.netns import Workspace, end
from tests.lab.wait import until
from tests.lab.wired_line import WiredLine

HOST = "10.20.0.10"
HEADER_BYTES = 14 + 20 + 8  # Ethernet, IPv4, UDP
PAYLOADS = {64: 18, 512: 512 - 28, 1500: 1500 - 28}  # a frame of 64 bytes with FCS; IP packets of 512 and 1,500
OVERLOAD = 1.3
WRITE_SECONDS = 0.002  # what one write of the sender is of the wire: CoDel drops what comes in longer bursts
PLAIN_WRITE_SECONDS = 0.0005  # where the queue is a short plain one
UNCUT_BYTES = 2000  # a shorter super-packet is not cut into its frames, and counts as one
FRAMES_A_SECOND = {True: 120_000, False: 10_000}  # natively, and in the lab: what a sender fills a wire with besides
PINGS_A_SECOND = 100
WARM_UP_SECONDS, SETTLING_SECONDS = 2.0, 10.0


@dataclass(frozen=True)
class Seen:
    """What one load came to: the part of the wire in use, ms that pings waited, packets lost."""

    used: float
    added_p99: float
    bfd_lost: int
    dropped: int


def wire(report: Report, *, native: bool) -> None:
    """Each rate with the frames that a sender here can fill it with: untagged natively; tagged and QinQ in the lab."""
    kinds = (0,) if native else (1, 2)
    for mbps in (10, 100, 1000) if native else (10, 100):
        seen = []
        for tags in kinds:
            with Workspace() as work:
                line = WiredLine(work, mbps, tags)
                try:
                    line.start()
                    time.sleep(SETTLING_SECONDS)  # what the daemon does once it has started takes the lab's processor
                    seen += [
                        loaded(line, size) for size in PAYLOADS if frames_to_fill(line, size) < FRAMES_A_SECOND[native]
                    ]
                finally:
                    line.edge.stop_daemon()
        case = f"wire-{format_rate(mbps * 1e6)}" + ("-native" if native else "")
        if not native:
            report.add(f"{case}-p99", max(one.added_p99 for one in seen), unit="ms")
        report.add(f"{case}-bfd-lost", sum(one.bfd_lost for one in seen), unit="packets")
        report.add(f"{case}-card-dropped", sum(one.dropped for one in seen), unit="packets")
        report.add(f"{case}-used", min(one.used for one in seen), 1, "the wire")


def frames_to_fill(line: WiredLine, size: int) -> float:
    """Frames of a size that fill the wire, in a second."""
    inner_tags = max(0, line.tags - 1)
    return line.mbps * 1e6 / 8 / (PAYLOADS[size] + HEADER_BYTES + line.overhead + 4 * inner_tags)


def loaded(line: WiredLine, size: int) -> Seen:
    """Under UDP of one size, from the LAN: in super-packets, as that takes the sender least."""
    until("the cloud's host", lambda: pings(line, 0.05))
    idle = pings(line, 1)
    frames = frames_to_fill(line, size) * OVERLOAD
    least = UNCUT_BYTES // (PAYLOADS[size] + HEADER_BYTES) + 1
    at_once = max(least, int(frames * (WRITE_SECONDS if line.tags else PLAIN_WRITE_SECONDS)))
    words = (HOST, "5999", str(PAYLOADS[size]), str(frames * PAYLOADS[size] * 8), str(at_once))
    # In the lab one processor is sender, router, card and cloud: the sender comes last.
    sender = line.edge.host.popen("nice", "-n", "19", sys.executable, "-m", "tests.bench.datagrams", *words)
    try:
        time.sleep(WARM_UP_SECONDS)
        before, bfd_before, started = line.sent(), line.bfd_packets(), time.monotonic()
        waited = pings(line, SECONDS)
        after, bfd_after, took = line.sent(), line.bfd_packets(), time.monotonic() - started
        assert sender.poll() is None, "the sender ended by itself"
    finally:
        end(sender)
    sent, received = (now - then for now, then in zip(bfd_after, bfd_before, strict=True))
    seen = Seen(
        used=(after.wire_bytes - before.wire_bytes) * 8 / took / (line.mbps * 1e6),
        added_p99=waited[int(len(waited) * 0.99)] - idle[len(idle) // 2],
        bfd_lost=max(0, sent - received - 1),  # one may be on its way
        dropped=after.dropped - before.dropped,
    )
    print(f"    {line.mbps} Mbit/s, {line.tags} tags, {size} bytes: {seen}", file=sys.stderr)
    return seen


def pings(line: WiredLine, seconds: float) -> list[float]:
    """Round-trip times in ms from the LAN's host to the cloud's, in order of size."""
    count = str(int(seconds * PINGS_A_SECOND))
    said = line.edge.host.run("ping", "-n", "-i", str(1 / PINGS_A_SECOND), "-c", count, "-W", "2", HOST, check=False)
    return sorted(float(text) for text in re.findall(r"time=([\d.]+)", said.stdout))
