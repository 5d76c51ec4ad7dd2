"""Writes, beside the daemon's event loop, what the store owes: a disk that hangs holds up nothing but its own files."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf

from dcedge.errors import StateError
from dcedge.reconcile.state.owed_writes import Attempt, OwedWrites

RETRY_SECONDS = 2.0
GIVEN_UP_SECONDS = 10.0  # for what has to be on disk before anything else is done
PATIENCE_SECONDS = 1.5  # an answer waits no longer for the disk; then it says what a restart would forget

Written = Callable[[], Awaitable[None]]


async def written_at_once() -> None:
    """For who has the store write as it changes: nothing is left to wait for."""


class StateWriter:
    """One thread at a time writes, from `run`'s beginning to its end; before and after, whoever changes something."""

    def __init__(self, owed: OwedWrites) -> None:
        self._owed = owed
        self._wake = asyncio.Event()
        self._round = asyncio.Event()

    async def run(self) -> None:
        """Write what is owed as soon as it is, and again where that was not possible; without end."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._wake.set)

        self._owed.wake = wake
        try:
            while True:
                self._wake.clear()
                await asyncio.to_thread(self._owed.write)
                self._round.set()
                pause = RETRY_SECONDS if self._owed.reasons() else None
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause)
        finally:
            self._owed.wake = None

    async def written(self) -> None:
        """Wait until what is owed by now was tried, but no longer than a while: its troubles tell how that went."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self._owed.wake is not None and self._owed.untried and not self._owed.hangs:
                    self._wake.set()
                    self._round.clear()
                    await self._round.wait()

    async def close(self) -> None:
        """Write what is still owed when `run` has ended."""
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self._owed.write), PATIENCE_SECONDS)


class FirstOnDisk:
    """What has to be on disk before anything else is done, one at a time; a disk that hangs is given up."""

    def __init__(self) -> None:
        self._keeping: asyncio.Future[None] | None = None

    async def keep(self, keep: Callable[[Attempt], None], patience: float = inf, *, lacks: str) -> None:
        """Have it kept, in a thread, in so many seconds at most; what comes later does not count.

        Raises StateError where that cannot be; `lacks` says what that means.
        """
        if self._keeping is not None and not self._keeping.done():
            raise StateError(f"the state folder's disk does not answer: {lacks}")
        patience, attempt = min(patience, GIVEN_UP_SECONDS), Attempt()
        self._keeping = keeping = asyncio.ensure_future(asyncio.to_thread(keep, attempt))
        try:
            await asyncio.wait_for(asyncio.shield(keeping), patience)
        except (TimeoutError, asyncio.CancelledError) as error:
            given_up = attempt.give_up()
            keeping.add_done_callback(_hear)
            if isinstance(error, asyncio.CancelledError):
                raise
            if not given_up:  # it was done in that instant
                await keeping
                return
            raise StateError(f"the state folder's disk does not answer in {patience:.3g} s: {lacks}") from None


def _hear(kept: asyncio.Future[None]) -> None:
    """What came too late may fail."""
    if not kept.cancelled():
        kept.exception()
