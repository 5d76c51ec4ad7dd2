"""How long a machine stands still: for how much of a span of time its processor was not there for this kernel.

The lab kernel is one process among the machine's; while that waits for its turn, nothing in there happens. A process
that goes before all others in this kernel, and only wants to be woken, is late by just that.

    python standstill.py

prints `ready`, then counts until SIGTERM and prints the seconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

STEP_SECONDS = 0.002
LATE_SECONDS = 0.001  # what a timer or this kernel's own work may take
PRIORITY = 50  # sched(7): the middle of the real-time priorities


class Standstill:
    """Counts while the body runs; `seconds` and their `share` of the time are known afterwards.

    The `counter` is a process of its own: a thread would wait for its turn with the interpreter, too.
    """

    def __enter__(self) -> Self:
        words = [sys.executable, "-I", "-S", str(Path(__file__))]
        self.seconds = self.share = 0.0
        self.counter = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self.counter.stdout is not None
        if self.counter.stdout.readline() != "ready\n":
            raise AssertionError(f"{__file__} did not start: status {self.counter.wait()}")
        self._began = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = time.monotonic() - self._began
        self.counter.terminate()
        said, _ = self.counter.communicate()
        if error is None:
            self.seconds = float(said)
            self.share = self.seconds / elapsed


def count() -> float:
    """The seconds by which this process was woken too late, until SIGTERM."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(PermissionError):  # a container may keep it from root: the count is higher then
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    print("ready", flush=True)
    late_seconds = 0.0
    while not stopping:
        began = time.monotonic()
        time.sleep(STEP_SECONDS)
        late = time.monotonic() - began - STEP_SECONDS
        if late > LATE_SECONDS:
            late_seconds += late
    return late_seconds


if __name__ == "__main__":
    print(count())
