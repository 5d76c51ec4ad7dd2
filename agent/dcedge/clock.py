"""Moments and durations that no change of the wall clock moves.

A moment is in seconds since 1970, as every timestamp here: the wall clock's as the process began, carried on by the
clock that nobody sets. Two moments of one process can be compared; what people read is put right by `wall_step`.
"""

from __future__ import annotations

import time

_BEGAN = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
STEP_SECONDS_MIN = 1.0  # what a clock is slewed by in a day, and not worth a word


def now() -> float:
    """This moment."""
    return _BEGAN + time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_step() -> float:
    """By how many seconds the wall clock has been set since the process began; 0 where it has only drifted."""
    step = time.time() - now()
    return step if abs(step) > STEP_SECONDS_MIN else 0.0
