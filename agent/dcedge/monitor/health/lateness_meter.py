"""How late this router itself is: how long the agent waits for a processor, though it is ready to run.

BFD, BGP and the probes run on the same processors. Where they come late, the far end is not to be blamed for what it
does then. Two things tell: the kernel counts the wait of who is ready to run (schedstats, proc(5)), and a short sleep
that takes longer shows what it cannot see, a virtual machine that is not run itself. The agent's own work counts for
neither.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from dcedge.order.field_types import Seconds

SCHEDSTAT = Path("/proc/self/schedstat")  # of the main thread: ran, waited (ns), time slices
LATE: Seconds = 0.25  # of a second: two of BFD's packets at 100 ms, nearly one at the usual 300 ms
REMEMBERED: Seconds = 120.0
_NAP: Seconds = 0.1


def read_wait() -> Seconds | None:
    """How long the main thread has waited for a processor since its start; None where the kernel does not count."""
    try:
        return int(SCHEDSTAT.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


class LatenessMeter:
    """The waits of the last minutes, a second at a time."""

    def __init__(self, read: Callable[[], Seconds | None] = read_wait) -> None:
        self._read = read
        self._overslept: Seconds = 0.0  # since the start
        self._last: tuple[Seconds, Seconds, Seconds] | None = None  # when; the wait and the oversleeping until then
        self._waits: deque[tuple[Seconds, Seconds]] = deque()  # the long ones: when, and the wait in a second

    def feed(self, now: Seconds) -> None:
        """Read the count, once a poll."""
        waited, overslept = self._read(), self._overslept
        if waited is None:
            waited = self._last[1] if self._last is not None else 0.0
        if self._last is not None:
            at, *before = self._last
            late = max(waited - before[0], overslept - before[1])
            wait = late / max(now - at, 1.0)  # a poll that comes late itself covers more than a second
            if wait >= LATE:
                self._waits.append((now, wait))
        self._last = now, waited, overslept
        while self._waits and now - self._waits[0][0] > REMEMBERED:
            self._waits.popleft()

    async def watch(self) -> None:
        """Sleep for short whiles, for good, and see how much longer that takes."""
        while True:
            began, worked = time.monotonic(), time.process_time()
            await asyncio.sleep(_NAP)
            late = time.monotonic() - began - _NAP - (time.process_time() - worked)
            self._overslept += max(late, 0.0)

    def worst(self, now: Seconds, within: Seconds) -> Seconds:
        """The longest wait in any second of the last so many; 0 where that is nothing to speak of."""
        return max((wait for at, wait in self._waits if now - at <= within), default=0.0)
