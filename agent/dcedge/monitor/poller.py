"""The daemon's look at counters, neighbours and sessions, about once a second: all verdicts and figures rest on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import ParamSpec, TypeVar

from dcedge.errors import FrrError, KernelError, StateError
from dcedge.frr.started import needed_daemons
from dcedge.frr.state import SessionState
from dcedge.frr.vty import FrrClient
from dcedge.kernel.counters import read_counters
from dcedge.kernel.host import not_forwarded
from dcedge.kernel.neighbours import read_neighbours
from dcedge.kernel.softnet import read_softnet
from dcedge.monitor.collect_facts import Place
from dcedge.monitor.forwarding_reader import ForwardingReader, astray
from dcedge.monitor.health.digest import read_digest_counts
from dcedge.monitor.health.facts import RouteFacts
from dcedge.monitor.health.history import HistoryFile
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.status_collector import Sample, StatusCollector
from dcedge.netlink.socket import RouteSocket
from dcedge.probe.prober import Prober
from dcedge.reconcile import clock
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.result import PassResult

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

POLL_SECONDS = 1.0
POLL_SHARE = 0.05  # of a processor at most goes into polling, however many sessions there are


class Poller:
    """Polls, and keeps what is known up to date. `polled` gets each sample, and the one before."""

    def __init__(
        self,
        in_force: OrderInForce,
        frr: FrrClient,
        last_pass: Callable[[], PassResult | None],
        collector: StatusCollector,
        prober: Prober,
    ) -> None:
        self._in_force = in_force
        self._frr = frr
        self._last_pass = last_pass
        self._collector = collector
        self._prober = prober
        self._history = HistoryFile(in_force.store.history)
        self._keeping: asyncio.Future[None] | None = None
        self._recalling = False  # until the file is read it is not written: what it has would be lost
        self.history_trouble = ""  # why verdicts are not kept over a restart
        self._socket = RouteSocket()
        self._forwarding = ForwardingReader(self._socket, frr.ask)
        self._turn = asyncio.Lock()  # polls share one netlink socket and one connection to FRR
        self._now = asyncio.Event()  # something happened that the next poll should not wait a second for
        self._work = 0.0  # processor seconds that the last poll took
        self.polled: Callable[[Sample | None, Sample], Awaitable[None]] | None = None
        self.last: Sample | None = None

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
        watching = asyncio.get_running_loop().create_task(self._collector.lateness.watch())
        try:
            await self._poll_again_and_again()
        finally:
            watching.cancel()

    async def _poll_again_and_again(self) -> None:
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
                self.last = sample = await asyncio.to_thread(self._working, self._poll_in_thread)
            except KernelError as error:
                log.error("poll failed: %s", error)
                return
            loaded, result = self._in_force.loaded, self._last_pass()
            if loaded is not None and result is not None:
                drained = self._in_force.runtime.drained
                streams = self._prober.streams
                update = self._collector.update
                await asyncio.to_thread(self._working, update, loaded.order, result, sample, streams, drained)
                self._keep_history_beside()
            if self.polled is not None:
                await self.polled(before, sample)

    async def recall_history(self) -> None:
        """Go on from the verdicts that an earlier run has kept. Polls do not wait for it."""
        self._recalling = True
        try:
            found = await asyncio.to_thread(self._history.read, clock.now())
            async with self._turn:
                self._collector.tracker.restore(found)
        except StateError as error:
            log.error("earlier verdicts cannot be read: %s", error)
        finally:
            self._recalling, self.history_trouble = False, ""

    def _keep_history_beside(self) -> None:
        """Nobody waits for the disk; what happens while it takes its time is written the next time."""
        if self._recalling:
            self.history_trouble = "earlier verdicts are still being read: new ones are not kept over a restart yet"
            return
        if self._keeping is not None and not self._keeping.done():
            return
        before, self._keeping = self._keeping, None
        if before is not None:
            before.result()  # an error is the poll's
        tracker = self._collector.tracker
        self._keeping = asyncio.ensure_future(asyncio.to_thread(self._keep_history, tracker.take_new()))

    def _keep_history(self, new: list[tuple[str, Transition]]) -> None:
        try:
            self._history.append(new, self._collector.tracker.histories)
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

    def _poll_in_thread(self) -> Sample:
        # What comes of a fault is read before its cause: a port that loses its carrier takes its sessions down at once,
        # and a session seen down beside a port seen up would have the cloud blamed.
        try:
            states = self._frr.sessions()
        except FrrError as error:
            return replace(self._sample_of_the_kernel(), frr_detail=str(error))
        sessions = {(s.vrf, str(s.peer)): s for s in states}
        if (result := self._last_pass()) is not None:
            self._frr.needed = needed_daemons(result.intent.interfaces.values())
        absent = "; ".join(self._frr.unavailable().values())
        routes, astray = self._routes(), self._astray(sessions)
        return replace(
            self._sample_of_the_kernel(),
            sessions=sessions,
            frr_detail=absent,
            frr_version=self._frr.version,
            frr_wedged=self._frr.wedged_others(),
            routes=routes,
            astray=astray,
        )

    def _sample_of_the_kernel(self) -> Sample:
        digests = read_digest_counts()
        neighbours = read_neighbours(self._socket) if self._asks_for_neighbours() else {}
        counters = read_counters(self._socket)
        off = not_forwarded()
        return Sample(clock.now(), counters, None, "", neighbours, digests, not_forwarded=off, softnet=read_softnet())

    def _routes(self) -> Mapping[str, tuple[RouteFacts, ...]]:
        """Where the gateways' prefixes lead; nothing while it cannot be told."""
        result = self._last_pass()
        try:
            return self._forwarding.observe(result.intent, result.indices) if result is not None else {}
        except FrrError:
            return {}

    def _astray(self, sessions: Mapping[Place, SessionState]) -> dict[Place, str | None]:
        result = self._last_pass()
        return astray(self._socket, result.intent.interfaces.values(), sessions, result.indices) if result else {}

    def _asks_for_neighbours(self) -> bool:
        """Whether anything depends on who answers ARP or neighbour discovery: there are thousands of them."""
        result = self._last_pass()
        return (result is not None and any(i.static for i in result.intent.interfaces.values())) or any(
            stream.silent for streams in self._prober.streams.values() for stream in streams
        )
