"""Answers that many may ask for at once and that are dear to make: made once, for all who ask within a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

FRESH_SECONDS = 1.0  # no more often does the daemon itself look
_KEPT = 4


class SharedAnswers:
    """Answers by what was asked for. They are made in a worker thread; one that fails is made anew for the next."""

    def __init__(self, fresh: float = FRESH_SECONDS) -> None:
        self._fresh = fresh
        self._answers: dict[Hashable, tuple[float, asyncio.Task[bytes]]] = {}

    async def get(self, asked: Hashable, make: Callable[[], bytes]) -> bytes:
        """The answer: what `make` returns, or did lately for the same question."""
        now = asyncio.get_running_loop().time()
        known = self._answers.get(asked)
        if known is None or now - known[0] >= self._fresh or _failed(known[1]):
            self._answers.pop(asked, None)  # the latest stands last
            known = self._answers[asked] = (now, asyncio.create_task(asyncio.to_thread(make)))
            while len(self._answers) > _KEPT:
                del self._answers[next(iter(self._answers))]
        # Whoever hangs up takes nothing away from the others who wait.
        return await asyncio.shield(known[1])


def _failed(task: asyncio.Task[bytes]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
