"""Moments and durations that no change of the wall clock moves.

A moment is in seconds since 1970, as every timestamp here: the wall clock's as the process began, carried on by the
clock that nobody sets. Two moments of one process can be compared; what people read is put right by `wall_step`.
"""

from __future__ import annotations

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BEGAN = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
STEP_SECONDS_MIN = 1.0  # what a clock is slewed by in a day, and not worth a word


def now() -> float:
    """This moment."""
    return _BEGAN + time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_step() -> float:
    """By how many seconds the wall clock has been set since the process began; 0 where it has only drifted."""
    step = time.time() - now()
    return step if abs(step) > STEP_SECONDS_MIN else 0.0


def since_boot() -> float:
    """Seconds since the boot, sleep included (CLOCK_BOOTTIME): unlike `now`, the same for every process."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """What the kernel calls this boot (random(4)): before another one, seconds since the boot meant something else."""
    return _BOOT_ID.read_text().strip()
