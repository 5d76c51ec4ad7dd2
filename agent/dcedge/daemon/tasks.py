"""Work that goes on beside the event loop for as long as the daemon runs: an error in one of them ends none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from prometheus_client import Counter

log = logging.getLogger(__name__)

BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 1.0, 8.0  # well below the 30 s after which systemd takes it for stuck


class Tasks:
    """The daemon's background tasks, by name; `failures` counts how often each has failed, by its label `task`."""

    def __init__(self, failures: Counter, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._failures = failures
        self._running: set[asyncio.Task[None]] = set()

    def keep(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a task that has no end; where it ends by an error it begins anew, after a while."""
        self._failures.labels(name)  # counts from 0
        self._start(self._again_and_again(name, work))

    def once(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a task to its end; the loop itself would hold it only weakly."""
        self._failures.labels(name)
        self._start(self._told(name, work))

    async def stop(self) -> None:
        """End them all."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _again_and_again(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        loop, pause = asyncio.get_running_loop(), BACKOFF_SECONDS
        while True:
            began = loop.time()
            if await self._told(name, work()):
                return
            pause = BACKOFF_SECONDS if loop.time() - began > BACKOFF_SECONDS_MAX else pause
            await self._sleep(pause)
            pause = min(pause * 2, BACKOFF_SECONDS_MAX)

    async def _told(self, name: str, work: Coroutine[Any, Any, None]) -> bool:
        """Whether it came to its end; an error is logged and counted."""
        try:
            await work
        except Exception:
            log.exception("the task %s failed", name)
            self._failures.labels(name).inc()
            return False
        return True
