"""What a figure was measured on: commit, kernel, processors, how busy the machine was before."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CALLS = 100_000


@functools.cache
def kernel() -> str:
    """Its release, and whether it is User-Mode Linux, where system calls are slow."""
    user_mode = "User Mode" in Path("/proc/cpuinfo").read_text()
    return os.uname().release + (" (User-Mode Linux)" if user_mode else "")


@functools.cache
def processors() -> str:
    """How many this process may run on, and of which model."""
    found = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    model = Counter(found).most_common(1)[0][0] if found else os.uname().machine
    return f"{len(os.sched_getaffinity(0))} x {model}"


def commit() -> str:
    """The commit that is checked out, with `+` where files differ from it; `unknown` outside of a checkout."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD").strip()
        # What was measured before, and the page made of it, are no part of what is measured.
        others = (":!tests/bench/results", ":!docs/performance.md")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *others)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def load() -> float:
    """How many processes were running or waiting to run, over the last minute (proc_loadavg(5))."""
    return os.getloadavg()[0]


def system_call_us() -> float:
    """Microseconds of the cheapest system call as Python makes it: what whoever batches saves."""
    started = time.perf_counter()
    for _ in range(_CALLS):
        os.getppid()
    return (time.perf_counter() - started) / _CALLS * 1e6
