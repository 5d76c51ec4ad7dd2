"""What the exposition costs: our text against prometheus_client's `generate_latest` of the Collector of the same table.

In this process, without a daemon: at 4,000 virtual interfaces without and with a BGP session each, in both formats,
with figures as large as they are after weeks. Both texts have to be equal.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from dcedge.api.metrics.collector import SnapshotCollector
from dcedge.api.metrics.exposition import OPENMETRICS, TEXT, ExpositionFormat, gzipped
from dcedge.api.metrics.text import END, render
from dcedge.monitor.snapshot import Snapshot, VirtualInterfaceSnapshot
from dcedge.probe.histogram import Histogram
from tests.bench.cases import Report
from tests.unit.expose.scene import COUNTERS, SHAPER, probe, session, snapshot, up

MANY, ROUNDS = 4000, 5
REFERENCE = "generate_latest of the Collector"


def virtual_interface(number: int, chance: random.Random, *, with_session: bool) -> VirtualInterfaceSnapshot:
    """One with weeks of traffic and probes behind it."""
    name = f"v{number}"
    counters = replace(
        COUNTERS,
        receive_bytes=chance.randrange(10**14),
        receive_packets=chance.randrange(10**11),
        transmit_bytes=chance.randrange(10**14),
        transmit_packets=chance.randrange(10**11),
    )
    shaper = replace(SHAPER, sent_bytes=chance.randrange(10**14), sent_packets=chance.randrange(10**11))
    histogram = Histogram()
    for _ in range(50):
        histogram.observe(chance.uniform(0.001, 0.006))
    for bucket, count in enumerate(histogram.counts):
        histogram.counts[bucket] = count * chance.randrange(1, 50_000)
    measured = probe(name)._replace(
        sent=chance.randrange(3_000_000), histogram=histogram.read(), jitter=chance.uniform(0, 0.001)
    )
    sessions = (session()._replace(uptime=chance.uniform(0, 3e6)),) if with_session else ()
    return up(name)._replace(counters=counters, shaper=shaper, probes=(measured,), sessions=sessions)


def many(count: int, *, with_session: bool) -> Snapshot:
    """A router with so many."""
    chance = random.Random(1)
    return snapshot(*(virtual_interface(number, chance, with_session=with_session) for number in range(count)))


def ours(shown: Snapshot, wanted: ExpositionFormat) -> bytes:
    """The text of the table."""
    return b"".join(render(shown, wanted.encoder))


def reference(shown: Snapshot, wanted: ExpositionFormat) -> bytes:
    """What prometheus_client makes of it."""
    return wanted.encoder(SnapshotCollector(lambda: shown)).removesuffix(END)


def milliseconds(work: Callable[[], object]) -> float:
    """Of one run, with what was garbage before out of the way."""
    gc.collect()
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def series(text: bytes) -> int:
    """How many samples a virtual interface has."""
    return text.count(f'virtual_interface="v{MANY // 2}"'.encode())


def measure(report: Report, name: str, shown: Snapshot, wanted: ExpositionFormat) -> None:
    """One case: both by turns, since a machine is not always as fast."""
    text = ours(shown, wanted)
    assert text == reference(shown, wanted), "the texts differ"
    report.add(f"series-{name}", series(text), unit="series")
    mine, theirs = [], []
    for _ in range(ROUNDS):
        mine.append(milliseconds(lambda: ours(shown, wanted)))
        theirs.append(milliseconds(lambda: reference(shown, wanted)))
    report.add(f"render-{name}", median(mine), median(theirs), REFERENCE, "ms")


def main() -> None:
    """Run it all."""
    report = Report("metrics")
    shown = many(MANY, with_session=False)
    measure(report, f"{MANY}-text", shown, TEXT)
    measure(report, f"{MANY}-openmetrics", shown, OPENMETRICS)
    plain = median(milliseconds(lambda: ours(shown, TEXT)) for _ in range(ROUNDS))
    packed = median(milliseconds(lambda: list(gzipped(render(shown, TEXT.encoder)))) for _ in range(ROUNDS))
    report.add(f"gzip-{MANY}-text", packed, plain, "unpacked", "ms")
    measure(report, f"{MANY}-with-sessions-text", many(MANY, with_session=True), TEXT)
    report.write()


if __name__ == "__main__":
    main()
