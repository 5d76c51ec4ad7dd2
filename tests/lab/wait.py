"""Bounded waiting that says what it last saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 60.0  # the lab kernel has one slow processor, which others may have in part


class WaitError(AssertionError):
    """What was awaited did not come in time; the text holds what was seen last."""


def until(
    what: str,
    probe: Callable[[], T],
    timeout: float = PATIENCE_SECONDS,
    *,
    accept: Callable[[T], object] = bool,
) -> T:
    """Call `probe` until `accept` likes what it returns (anything true, unless told), and return that.

    Raises WaitError after `timeout` seconds, with the value seen last.
    """
    deadline = time.monotonic() + timeout
    pause = 0.02
    while True:
        seen = probe()
        if accept(seen):
            return seen
        if time.monotonic() > deadline:
            raise WaitError(f"waited {timeout:g} s for {what}; last seen: {seen!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.3)
