"""What a poll leads to: static routes withdrawn or back, BFD left out or joined, a pass where FRR lacks something."""

from __future__ import annotations

import asyncio
import logging
import time

from dcedge.errors import FrrError
from dcedge.frr.bfd_waits import BfdWaits, held_by_bfd, place_of, waits_for_bgp
from dcedge.frr.state import SessionState
from dcedge.frr.vty import FrrClient
from dcedge.monitor.collect_facts import session_place
from dcedge.monitor.health.static import StaticPaths, withdrawn_static
from dcedge.monitor.status_collector import Sample, path_facts
from dcedge.probe.prober import Prober
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.queue import PassQueue
from dcedge.reconcile.result import DirtySet, PassResult

log = logging.getLogger(__name__)


class Consequences:
    """Changes what is true now, and asks for the passes that carry it out."""

    def __init__(self, in_force: OrderInForce, queue: PassQueue, prober: Prober, frr: FrrClient) -> None:
        self._in_force = in_force
        self._queue = queue
        self._prober = prober
        self._frr = frr
        self._static = StaticPaths(withdrawn=in_force.runtime.withdrawn)
        self._bfd = BfdWaits(waiting=in_force.runtime.bfd_waits)

    async def heed(self, before: Sample | None, sample: Sample, result: PassResult | None) -> None:
        """Draw the consequences of a sample, `result` being what the last pass left."""
        if result is not None:
            await self._judge_static_paths(sample, result)
            await self._judge_bfd(sample, result)
        self._notice_frr(before, sample, result)

    async def _judge_static_paths(self, sample: Sample, result: PassResult) -> None:
        """Withdraw static routes whose path is dead, and put them back when it has been well for a while."""
        interfaces = result.intent.interfaces.values()
        if not any(interface.static for interface in interfaces):
            return
        facts = {interface.name: path_facts(interface, sample, result.indices) for interface in interfaces}
        self._static = withdrawn_static(interfaces, facts, self._static, time.monotonic())
        changed = self._static.withdrawn ^ self._in_force.runtime.withdrawn
        for name in changed:
            away = name in self._static.withdrawn
            log.warning(
                "%s: its static routes are %s", name, "withdrawn: the path is dead" if away else "restored",
                extra={"virtual_interface": name},
            )  # fmt: skip
        if changed:
            await asyncio.to_thread(self._in_force.note, withdrawn=self._static.withdrawn)
            self._queue.ask(DirtySet(), "static routes withdrawn or restored")

    async def _judge_bfd(self, sample: Sample, result: PassResult) -> None:
        """Set sessions up without BFD that FRR leaves Idle for it, and have it join them when they are up."""
        if sample.sessions is None:
            return
        # As ever so often: what follows goes over every session that is ordered.
        if not self._bfd.waiting and not any(map(held_by_bfd, sample.sessions.values())):
            self._bfd = BfdWaits()
            return
        interfaces = result.intent.interfaces.values()
        ordered = {place_of(i.vrf, session.cloud) for i in interfaces for session in i.sessions if session.bfd}
        silent = {
            place_of(interface.vrf, stream.destination)
            for interface in interfaces
            for stream in self._prober.streams.get(interface.name, ())
            if stream.silent
        }
        self._bfd = waits_for_bgp(sample.sessions.values(), ordered, silent, self._bfd, time.monotonic())
        await asyncio.to_thread(self._start, self._bfd.stuck)
        known = self._in_force.runtime.bfd_waits
        if self._bfd.waiting == known:
            return
        for place in sorted(self._bfd.waiting - known):
            log.warning(
                "BGP session %s: FRR %s keeps it in Idle while BFD is down, so BFD is added once BGP is established",
                place, sample.frr_version or "",
            )  # fmt: skip
        await asyncio.to_thread(self._in_force.note, bfd_waits=self._bfd.waiting)
        self._queue.ask(DirtySet(frr=True), "BFD added to or removed from sessions")

    def _start(self, stuck: tuple[SessionState, ...]) -> None:
        for state in stuck:
            try:
                self._frr.start_session(state)
            except FrrError as error:
                log.warning("BGP session %s cannot be started: %s", place_of(state.vrf, state.peer), error)

    def _notice_frr(self, before: Sample | None, sample: Sample, result: PassResult | None) -> None:
        was_up = before is not None and before.sessions is not None
        is_up = sample.sessions is not None
        if is_up and not was_up and before is not None:
            log.info("FRR answers")
            self._queue.ask(DirtySet(frr=True), "FRR answers again")
        elif was_up and not is_up:
            log.warning("FRR does not answer: %s", sample.frr_detail)
        elif is_up and (_lacks_sessions(sample, result) or (before is not None and _answers_again(before, sample))):
            self._queue.ask(
                DirtySet(frr=True), "FRR was restarted between two polls, or one of its daemons answers again"
            )


def _lacks_sessions(sample: Sample, result: PassResult | None) -> bool:
    """Whether FRR has lost what it was given: it was restarted between two polls."""
    if result is None or sample.sessions is None or not result.frr_available:
        return False
    return any(
        session_place(session, interface.vrf) not in sample.sessions
        for interface in result.intent.interfaces.values()
        for session in interface.sessions
    )


def _answers_again(before: Sample, now: Sample) -> bool:
    """Whether nothing of FRR's hangs any more that did."""
    return bool((before.frr_detail and not now.frr_detail) or (before.frr_wedged and not now.frr_wedged))
