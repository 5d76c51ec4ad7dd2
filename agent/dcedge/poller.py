"""The daemon's look at counters, neighbours and sessions, about once a second: all verdicts and figures rest on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from dcedge import clock
from dcedge.bgp.vty import FrrClient
from dcedge.errors import FrrError, KernelError, StateError
from dcedge.health.digest import read_digest_counts
from dcedge.health.history import HistoryFile
from dcedge.in_force import OrderInForce
from dcedge.kernel.counters import read_counters
from dcedge.kernel.neighbours import read_neighbours
from dcedge.kernel.netlink import RouteSocket
from dcedge.pass_runner import PassRunner
from dcedge.picture import Picture, Poll
from dcedge.probe.prober import Prober

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

POLL_SECONDS = 1.0
POLL_SHARE = 0.05  # of a processor at most goes into polling, however many sessions there are


class Poller:
    """Polls, and keeps the picture up to date. `polled` hears of each poll, and of the one before."""

    def __init__(
        self, in_force: OrderInForce, frr: FrrClient, runner: PassRunner, picture: Picture, prober: Prober
    ) -> None:
        self._in_force = in_force
        self._frr = frr
        self._runner = runner
        self._picture = picture
        self._prober = prober
        self._history = HistoryFile(in_force.store.history)
        self.history_trouble = ""  # why verdicts are not kept over a restart
        self._socket = RouteSocket()
        self._turn = asyncio.Lock()  # polls share one netlink socket and one connection to FRR
        self._now = asyncio.Event()  # something happened that the next poll should not wait a second for
        self._work = 0.0  # processor seconds that the last poll took
        self.polled: Callable[[Poll | None, Poll], Awaitable[None]] | None = None
        self.last: Poll | None = None

    def close(self) -> None:
        """Close the sockets."""
        self._socket.close()
        self._frr.close()

    def soon(self) -> None:
        """Do not wait for the next poll's time."""
        self._now.set()

    @property
    def busy(self) -> bool:
        """Whether a poll is under way."""
        return self._turn.locked()

    async def poll_forever(self) -> None:
        """Poll about once a second, or when told that something happened."""
        while True:
            self._work = 0.0
            self._now.clear()
            await self.poll()
            # To wait is no work: whether a daemon of FRR's is back is to be known soon.
            pause = max(POLL_SECONDS, self._work / POLL_SHARE)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), pause)

    async def poll(self) -> None:
        """One poll, and what follows from it."""
        async with self._turn:
            before = self.last
            try:
                self.last = poll = await asyncio.to_thread(self._working, self._poll_in_thread)
            except KernelError as error:
                log.error("polling: %s", error)
                return
            loaded, result = self._in_force.loaded, self._runner.result
            if loaded is not None and result is not None:
                drained = self._in_force.runtime.drained
                streams = self._prober.streams
                update = self._picture.update
                await asyncio.to_thread(self._working, update, loaded.order, result, poll, streams, drained)
                await asyncio.to_thread(self._keep_history)
            if self.polled is not None:
                await self.polled(before, poll)

    def recall_history(self) -> None:
        """Go on from the verdicts that an earlier run has kept."""
        try:
            self._picture.tracker.restore(self._history.read(clock.now()))
        except StateError as error:
            log.error("earlier verdicts cannot be read: %s", error)

    def _keep_history(self) -> None:
        tracker = self._picture.tracker
        try:
            self._history.append(tracker.take_new(), tracker.histories)
            self.history_trouble = ""
        except StateError as error:
            if not self.history_trouble:
                log.error("verdicts are not kept over a restart: %s", error)
            self.history_trouble = f"{error}: verdicts are not kept over a restart"

    def _working(self, part: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a part of a poll, and note the processor's time that it takes."""
        started = time.thread_time()
        try:
            return part(*args, **kwargs)
        finally:
            self._work += time.thread_time() - started

    def _poll_in_thread(self) -> Poll:
        counters = read_counters(self._socket)
        neighbours = read_neighbours(self._socket) if self._asks_for_neighbours() else {}
        digests = read_digest_counts()
        try:
            states = self._frr.sessions()
        except FrrError as error:
            return Poll(clock.now(), counters, None, str(error), neighbours, digests)
        absent = "; ".join(self._frr.unavailable().values())
        sessions = {(s.vrf, str(s.peer)): s for s in states}
        version, wedged = self._frr.version, self._frr.wedged_others()
        return Poll(clock.now(), counters, sessions, absent, neighbours, digests, version, wedged)

    def _asks_for_neighbours(self) -> bool:
        """Whether anything depends on who answers ARP or neighbour discovery: there are thousands of them."""
        result = self._runner.result
        return (result is not None and any(i.static for i in result.intent.interfaces.values())) or any(
            stream.silent for streams in self._prober.streams.values() for stream in streams
        )
