"""A state folder that takes nothing from before the start to the end: what that costs a start, and a repair.

Twenty virtual interfaces, against a start whose state folder is well, of the same run.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.cases import Report
from tests.bench.orders import order_text
from tests.bench.running import places, repair, shown
from tests.lab.small_disk import SmallDisk

COUNT = 20
START_SECONDS_MAX = 60.0
STARTS = 3
REPAIRS = 15
REPAIR_PAUSE_SECONDS = 0.7


def all_up() -> bool:
    """Whether every link has its shaper and an address with its route."""
    queues = shown("tc", "qdisc", "show").count("fq_codel dc1:")
    routes = shown("ip", "-4", "route", "show", "scope", "link").count("dev eth1.")
    return queues == routes == COUNT


@contextlib.contextmanager
def started(folder: Path, prepare: Callable[[SmallDisk], None]) -> Iterator[float]:
    """A daemon whose state folder is as `prepare` leaves it; seconds from its start until all is up."""
    (folder / "order.yaml").write_text(order_text(COUNT))
    environment = places(folder)
    disk = SmallDisk(Path(environment["DCEDGE_STATE_DIR"]))
    try:
        prepare(disk)
        began = time.perf_counter()
        running = [sys.executable, "-m", "dcedge", "run"]
        process = subprocess.Popen(running, env=environment, stderr=subprocess.DEVNULL)
        try:
            while not all_up():
                assert time.perf_counter() - began < START_SECONDS_MAX, "it does not come up"
                time.sleep(0.02)
            yield time.perf_counter() - began
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        disk.mend()
        purge = [sys.executable, "-m", "dcedge", "purge"]
        subprocess.run(purge, env=environment, check=False, stdout=subprocess.DEVNULL)
    finally:
        disk.unmount()


def slowest_start(folder: Path, prepare: Callable[[SmallDisk], None]) -> float:
    """Seconds that the slowest of some starts takes."""
    figures: list[float] = []
    for _ in range(STARTS):
        with started(folder, prepare) as seconds:
            figures.append(seconds)
    return max(figures)


def state_folder(report: Report, folder: Path) -> None:
    """Starts with a state folder that is well, full, read-only; and repairs with one that is full."""
    well = slowest_start(folder, lambda _: None)
    for name, prepare in (("full", SmallDisk.fill), ("read-only", SmallDisk.make_read_only)):
        report.add(f"start-state-{name}", slowest_start(folder, prepare), well, "a start with it well")
    with started(folder, SmallDisk.fill):
        figures: list[float] = []
        for number in range(REPAIRS):
            time.sleep(REPAIR_PAUSE_SECONDS)
            figures.append(repair(1 + number) * 1000)
    report.add("repair-state-full", max(figures), unit="ms")
