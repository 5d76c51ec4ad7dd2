"""The daemon: one event loop that waits for reasons to make a pass, and worker threads in which passes and polls run.

A pass is asked for at start, by SIGHUP, by an `apply`, by the kernel's word of a change, by FRR's return, after a
failure (with growing patience), and once a minute for whatever nobody told us of.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from dcedge import memory
from dcedge.bgp.bfd import BfdWaits, held_by_bfd, place_of, waits_for_bgp
from dcedge.bgp.closed import ClosedConnections
from dcedge.bgp.versions import version_warnings
from dcedge.bgp.vty import FrrClient
from dcedge.confirm import accept_again, kept_secrets, restored_secrets, roll_back, way_back
from dcedge.drain import quiet_bps, refuse_last_paths, select, undone
from dcedge.errors import (
    BusyError,
    DcedgeError,
    FrrError,
    GaveWayError,
    KernelError,
    OrderInvalidError,
    StateError,
)
from dcedge.expose.control_server import Command, Reply, start_control
from dcedge.expose.hour import Hour
from dcedge.expose.http import HttpEndpoint
from dcedge.expose.plan_document import applied_json, notes
from dcedge.expose.snapshot import FrrSnapshot, OrderSnapshot, PassSnapshot, Snapshot
from dcedge.facts import session_place
from dcedge.firewall.nft import FirewallEvents
from dcedge.hardware import HardwareReader, ports_of
from dcedge.health.digest import read_digest_counts
from dcedge.health.history import HistoryFile
from dcedge.health.static import StaticPaths, withheld_static
from dcedge.health.tracker import Transition
from dcedge.in_force import OrderInForce
from dcedge.kernel.counters import read_counters
from dcedge.kernel.events import EventSocket
from dcedge.kernel.naming import interface_link
from dcedge.kernel.neighbours import read_neighbours
from dcedge.kernel.netlink import RouteSocket
from dcedge.kernel_part import GiveWay
from dcedge.logs import CollapsingHandler
from dcedge.order.load import Loaded
from dcedge.picture import Picture, Poll, path_facts
from dcedge.plan import Plan, log_fields
from dcedge.probe.histogram import Histogram
from dcedge.probe.prober import Arrangement, Prober
from dcedge.probe.stamping import Stamping, stamp_targets
from dcedge.probe.target import Target, budgets_of, targets_of
from dcedge.reconcile import PassResult, Reconciler
from dcedge.store import Pending
from dcedge.supervision import PASS_SECONDS_MAX, Supervisor, status_line
from dcedge.wanted import Scope, Wanted

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

FULL_PASS_SECONDS = 60.0
DEBOUNCE_SECONDS = 0.01
RETRY_SECONDS, RETRY_SECONDS_MAX = 1.0, 30.0
POLL_SECONDS = 1.0
HARDWARE_SECONDS = 60.0
POLL_SHARE = 0.05  # of a processor at most goes into polling, however many sessions there are


class Service:
    """One router's daemon, which keeps it at the order in force until `close`."""

    def __init__(self, in_force: OrderInForce, told: CollapsingHandler | None = None) -> None:
        self.in_force = in_force
        self.settings = settings = in_force.settings
        self.store = in_force.store
        self._told = told
        self._events = EventSocket()
        # A mass of changes of our own makes events enough for another look at everything, which has just been taken.
        self.reconciler = Reconciler(settings, self.store, FrrClient(settings.frr_pathspace), self._events.forget)
        self.prober = Prober()
        self.stamping = Stamping()
        self.picture = Picture()
        self._history = HistoryFile(self.store.history)
        self._history_failed = False
        self._hardware = HardwareReader()
        self.result: PassResult | None = None
        self._operations = 0  # of the last pass
        self.poll: Poll | None = None
        self.applied: float | None = None
        self._runtime = self.store.runtime()
        self._durations = Histogram()
        self._repaired: Counter[str] = Counter()
        self._wanted = Wanted()
        self._pass = asyncio.Lock()
        self._in_line = 0  # commands that wait for a pass of their own
        self._polling = asyncio.Lock()  # polls share one netlink socket and one connection to FRR
        self._poll_now = asyncio.Event()  # something happened that the next poll should not wait a second for
        self._static_links: frozenset[int] = frozenset()  # the links and ports of static virtual interfaces
        self._static = StaticPaths(withheld=self._runtime.withdrawn)
        self._bfd = BfdWaits(waiting=self._runtime.bfd_waits)
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept: Loaded | None = None  # as the last good order
        self._looked = time.monotonic()  # when the last look at everything began
        self._new_order = True  # the next pass carries out an order: what it does is no drift
        self._poll_socket = RouteSocket()
        self._poll_work = 0.0  # processor seconds that the last poll took
        # What one client knows of a silent daemon, the other need not find out by waiting.
        self._poll_frr = FrrClient(settings.frr_pathspace, silent=self.reconciler.frr.silent)
        self._firewall_events = FirewallEvents()
        self._closed_connections = ClosedConnections.where_heard()
        self._heard_closed = 0.0  # when a connection's end last called for a poll (monotonic)
        self._supervisor = Supervisor()
        self._http = HttpEndpoint(self)

    def close(self) -> None:
        """Close every socket; what is in the kernel and in FRR stays."""
        self.prober.close()
        self.stamping.close()
        self._hardware.close()
        self._events.close()
        self._firewall_events.close()
        if self._closed_connections is not None:
            self._closed_connections.close()
        self._poll_socket.close()
        self._poll_frr.close()
        self.reconciler.frr.close()
        self.reconciler.close()

    def reload(self) -> None:
        """Read the order file again, soon (SIGHUP); a bad one changes nothing and is reported."""
        self._keep(self._reload_soon())

    async def _reload_soon(self) -> None:
        try:
            await self._read_order_again()
        except OrderInvalidError:
            return  # which is said already
        except BusyError as error:
            log.error("not reloading: %s", error)
            return
        self._wanted.ask(Scope())
        try:
            await self._serve_http()
        except DcedgeError as error:
            log.error("HTTP is served as before: %s", error)

    async def _reload_command(self, _: str, __: Mapping[str, str]) -> Reply:
        """Read the order file again and carry it out; what was done."""
        await self._read_order_again()
        done = applied_json(await self._make_pass_and_look())
        try:
            await self._serve_http()
        except DcedgeError as error:
            raise DcedgeError(f"the order is in force, but HTTP is served as before: {error}") from error
        return done

    async def _read_order_again(self) -> None:
        if self.store.pending() is not None:
            raise BusyError("an order waits for its confirmation: `dcedge confirm` or `dcedge rollback` first")
        try:
            self.in_force.take(await asyncio.to_thread(self.in_force.read_file))
        except OrderInvalidError as error:
            self.in_force.refuse(error)
            raise
        log.info("reloading: %s", self.settings.order)
        self._new_order = True

    async def _serve_http(self) -> None:
        """Serve HTTP as the order in force says. Raises DcedgeError, and then it is served as before."""
        assert self.in_force.loaded is not None
        agent = self.in_force.loaded.order.agent
        path = Path(agent.web_config) if agent.web_config is not None else None
        await self._http.serve_at(self.settings.listen or agent.listen, path, agent.hosts)

    async def _hand_over(self, body: str, _: Mapping[str, str]) -> Reply:
        """Take the passwords that root can read and this daemon cannot."""
        self.reconciler.handed_over = restored_secrets(json.loads(body))
        return {"credentials": len(self.reconciler.handed_over)}

    def commands(self) -> Mapping[str, Command]:
        """The changes that the control socket offers to root."""
        return {
            "apply": self._apply,
            "credentials": self._hand_over,
            "reload": self._reload_command,
            "confirm": self._confirm,
            "rollback": self._roll_back_command,
            "drain": self._drain,
            "undrain": self._undrain,
        }

    async def _apply(self, text: str, parameters: Mapping[str, str]) -> Reply:
        """Put an order's contents in force now; what was done. Raises OrderInvalidError, and then nothing changed."""
        if self.store.pending() is not None:
            raise BusyError("an order waits for its confirmation: `dcedge confirm` or `dcedge rollback` first")
        loaded = await asyncio.to_thread(self.in_force.read_text, text)
        accept_again(self.store, text)
        pending = None
        if "confirm" in parameters:
            before = self.in_force.loaded
            secrets = kept_secrets(self.result.intent) if self.result is not None else {}
            seconds = float(parameters["confirm"])
            pending = Pending.starting(text, before.text if before is not None else None, secrets, seconds)
            self.store.save_pending(pending)
        self.in_force.take(loaded)
        self._new_order = True
        result = await self._make_pass_and_look()
        answer = applied_json(result)
        if pending is None:
            return answer
        if result.failures:
            await self._roll_back(pending)
            return {**answer, "complete": False, "rolled_back": True}
        self._keep(self._await_confirmation())
        return {**answer, "confirm_seconds": pending.seconds_left}

    async def _confirm(self, _: str, __: Mapping[str, str]) -> Reply:
        """The pending order is what is wanted."""
        pending = self.store.pending()
        if pending is None:
            raise DcedgeError("nothing waits for a confirmation")
        self.store.save_last_good_order(pending.order)
        self.store.clear_pending()
        log.info("confirmed")
        self._wanted.ask(Scope(frr=True))  # what is confirmed is saved
        return {"confirmed": True}

    async def _await_confirmation(self) -> None:
        while (pending := self.store.pending()) is not None:
            if not pending.seconds_left:
                log.warning("the confirmation did not come")
                await self._roll_back(pending)
                return
            await asyncio.sleep(min(pending.seconds_left, POLL_SECONDS))

    async def _roll_back_command(self, _: str, __: Mapping[str, str]) -> Reply:
        """Go back to the order before, now."""
        return applied_json(await self._roll_back(way_back(self.store)))

    async def _roll_back(self, back: Pending) -> PassResult:
        if back.previous is None:
            raise DcedgeError("nothing was ordered before: stop the daemon and `dcedge purge`")
        async with self._turn():
            result = await asyncio.to_thread(roll_back, self.reconciler, back)
            self.in_force.take(await asyncio.to_thread(self.in_force.read_text, back.previous))
            self.in_force.problems = ("the last order was rolled back, the one before it is in force",)
            self._runtime = self.store.runtime()
            await self._account(result, ordered=True)
        await self._make_poll()
        return result

    async def _drain(self, body: str, parameters: Mapping[str, str]) -> Reply:
        """Move traffic away from virtual interfaces."""
        assert self.in_force.loaded is not None
        order = self.in_force.loaded.order
        chosen = select(order, json.loads(body))
        drained = self._runtime.drained | chosen
        if "force" not in parameters:
            refuse_last_paths(order, chosen - self._runtime.drained, drained, self.picture.carrying(order))
        return await self._set_drained(drained, chosen)

    async def _undrain(self, body: str, _: Mapping[str, str]) -> Reply:
        """Let virtual interfaces carry traffic again."""
        assert self.in_force.loaded is not None
        # What was drained and has left the order since would be drained again if it came back.
        chosen = select(self.in_force.loaded.order, json.loads(body), also=self._runtime.drained)
        return await self._set_drained(self._runtime.drained - chosen, chosen)

    async def _set_drained(self, drained: frozenset[str], chosen: frozenset[str]) -> Reply:
        changed = self._runtime.drained ^ drained
        self._runtime = replace(self._runtime, drained=drained)
        self.store.save_runtime(self._runtime)
        self._new_order = True
        result = await self._make_pass_and_look()
        interfaces = result.intent.interfaces
        failing = {name for failure in result.failures for name in failure.operation.affects}
        withheld = result.intent.withheld
        return {
            **applied_json(result),
            "virtual_interfaces": sorted(chosen),
            "changed": sorted(changed),
            "undone": undone(chosen, interfaces, failing, withheld, frr_available=result.frr_available),
            "static": sorted(name for name in chosen if name in interfaces and not interfaces[name].sessions),
            "quiet_bps": {name: round(quiet_bps(interfaces[name])) for name in chosen if name in interfaces},
        }

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something beside the loop; the loop itself holds tasks only weakly."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def urgent(self) -> bool:
        """Whether a pass is due or under way, which long answers must not slow down."""
        return self._wanted.pending or self._pass.locked()

    def snapshot(self) -> Snapshot:
        """All that the outside sees, now."""
        assert self.in_force.loaded is not None
        result = self.result
        up = self.poll is not None and self.poll.sessions is not None
        detail = (self.poll.frr_detail if self.poll else "") or (result.frr_detail if result else "")
        problems = self.in_force.problems
        file = OrderSnapshot(str(self.settings.order), self.applied, bool(problems), problems)
        version = self.poll.frr_version if self.poll else None
        frr = FrrSnapshot(up and (result is None or result.frr_available), detail, version)
        order, prober = self.in_force.loaded.order, self.prober.prober_stats()
        return self.picture.snapshot(order, frr, self.passes(), file, prober, self.stamping.stats())

    def hour(self) -> Hour:
        """The last hour of every virtual interface."""
        return self.picture.hour

    def history(self, name: str) -> tuple[Transition, ...]:
        """The transitions of one virtual interface in the last day."""
        return self.picture.tracker.history(name)

    def passes(self) -> PassSnapshot:
        """The passes so far."""
        result = self.result
        if result is None:
            return PassSnapshot()
        return PassSnapshot(
            finished=result.finished,
            duration=result.duration,
            operations=self._operations,
            durations=self._durations.read(),
            drift_repaired=tuple(sorted(self._repaired.items())),
            drift_contested=len(self.reconciler.fights.held(time.monotonic())),
            failing=tuple(f"{f.operation.action} {f.operation.key}: {f.text}" for f in result.failures),
            notes=(
                *notes(result.intent, "", result.firewall_detail),
                *result.warnings,
                *self._frr_notes(result),
                *self._shaping_note(),
                *self.reconciler.fights.told(time.monotonic()),
            ),
        )

    def _frr_notes(self, result: PassResult) -> Iterator[str]:
        poll = self.poll
        if poll is None:
            return
        for daemon in poll.frr_wedged:
            yield (
                f"{daemon} does not answer: until it does (or is killed), vtysh hangs and FRR cannot save its"
                " configuration; traffic and sessions are not concerned"
            )
        yield from version_warnings(poll.frr_version, result.intent.interfaces.values())

    def _shaping_note(self) -> tuple[str, ...]:
        if self.result is None:
            return ()
        ordered = {interface.queue for interface in self.result.intent.interfaces.values()}
        missing = sorted(queue for queue in ordered if self.reconciler.kernel_has.queue(queue) != queue)
        return tuple(
            f"this kernel has no {queue}: shapers queue with a plain pfifo, at most 50 ms" for queue in missing
        )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A command's turn to make a pass; a look at everything that is under way gives way to it."""
        self._in_line += 1
        try:
            await self._pass.acquire()
        finally:
            self._in_line -= 1
        try:
            yield
        except (KernelError, StateError):
            self._wanted.ask()  # what was to be looked at, and what was ordered, is still to be done
            raise
        finally:
            self._pass.release()

    def _gives_way(self) -> bool:
        """Whether a look at everything is to end now: a change waits for its repair, or a command. For any thread."""
        return self._wanted.pressing or self._in_line > 0

    async def _make_pass(self, give_way: GiveWay | None = None) -> PassResult | None:
        """A pass, by who has the turn; None where it gave way."""
        assert self.in_force.loaded is not None
        loaded, ordered = self.in_force.loaded, self._new_order
        self._new_order = False
        scope, began = self._wanted.take(ordered=ordered), time.monotonic()
        may_wait = scope is None and not ordered
        result = await asyncio.to_thread(self._pass_in_thread, loaded, scope, ordered, give_way if may_wait else None)
        if result is None:
            self._wanted.ask()
            return None
        if scope is None:
            self._looked = began
            self._wanted.looked()
        await self._account(result, ordered=ordered)
        return result

    async def _make_regular_pass(self) -> PassResult | None:
        """A pass that nobody waits for; None where it gave way to one that somebody does."""
        async with self._pass:
            return await self._make_pass(self._gives_way)

    async def _make_pass_and_look(self) -> PassResult:
        """A pass, and a look at what it led to, for whoever asks next."""
        async with self._turn():
            result = await self._make_pass()
        assert result is not None
        await self._make_poll()
        return result

    async def _account(self, result: PassResult, *, ordered: bool) -> None:
        if self._told is not None:
            self._told.settle()
        same_links = self._has_same_links(result)
        # Without what was done: an order's first pass does 20,000 operations, which are of no more use.
        self.result = replace(result, done=Plan(()))
        self._operations = len(result.done.operations)
        self._durations.observe(result.duration)
        if ordered:
            self.applied = result.finished
        else:
            failed = {failure.operation.key for failure in result.failures}
            self._repaired.update(o.key.kind for o in result.done.operations if o.key not in failed)
        if not same_links:
            await self._take_links(result, ordered=ordered)
        self.stamping.set_targets(
            target
            for interface in result.intent.interfaces.values()
            if interface.stamp and (index := result.indices.get(link := interface_link(interface))) is not None
            for target in stamp_targets(interface, link, index)
        )
        if result.changed_meanwhile:
            self._wanted.ask()

    def _has_same_links(self, result: PassResult) -> bool:
        """Whether nothing has changed, since the last pass, in which links virtual interfaces have."""
        before = self.result
        return (
            before is not None
            and before.intent.interfaces is result.intent.interfaces
            and before.indices == result.indices
        )

    async def _take_links(self, result: PassResult, *, ordered: bool) -> None:
        """Probe and watch where the links are now."""
        self._static_links = frozenset(
            result.indices.get(name, 0)
            for interface in result.intent.interfaces.values()
            if interface.static
            for name in (interface_link(interface), interface.port)
        )
        self.prober.adopt(await asyncio.to_thread(self._probes, result, ordered))

    def _pass_in_thread(
        self, loaded: Loaded, scope: Scope | None, ordered: bool, give_way: GiveWay | None
    ) -> PassResult | None:
        with memory.building() if ordered else nullcontext():
            intent = self.reconciler.intent(loaded.order, self._runtime)
            try:
                result = self.reconciler.run(intent, scope, give_way)
            except GaveWayError:
                return None
        if scope is None:
            memory.collect()
        if self.store.pending() is None and loaded is not self._kept:
            self.store.save_last_good_order(loaded.text)
            self._kept = loaded
        return result

    def _probes(self, result: PassResult, ordered: bool) -> Arrangement | None:
        targets: list[Target] = []
        interfaces = result.intent.interfaces.values()
        for interface in interfaces:
            index = result.indices.get(interface_link(interface))
            if index is not None:
                targets += targets_of(interface, index)
        with memory.building() if ordered else nullcontext():
            return self.prober.arrange(targets, budgets_of(interfaces))

    async def reconcile_forever(self) -> None:
        """Make a pass whenever one is wanted."""
        patience, broken = RETRY_SECONDS, False
        while True:
            result = self.result
            done = not broken and result is not None and result.complete and not result.frr_unsaved
            try:
                wait = FULL_PASS_SECONDS if done else patience
                await self._supervisor.watch(asyncio.wait_for(self._wanted.wait(), wait), wait + POLL_SECONDS)
                patience = RETRY_SECONDS
                await asyncio.sleep(DEBOUNCE_SECONDS)
                if time.monotonic() - self._looked > (FULL_PASS_SECONDS if done else RETRY_SECONDS_MAX):
                    self._wanted.ask()
            except TimeoutError:
                patience = min(patience * 2, RETRY_SECONDS_MAX)
                if not done and self._only_frr_waits():
                    self._wanted.ask(Scope(frr=True))
            try:
                result = await self._supervisor.watch(self._make_regular_pass(), PASS_SECONDS_MAX)
            except (KernelError, StateError) as error:
                log.error("the pass failed: %s", error)
                broken = True
                continue
            broken = False
            if result is None:
                continue  # to what it gave way to, first
            if result.complete:
                patience = RETRY_SECONDS
            if not self._polling.locked():
                self._keep(self._make_poll())  # beside the loop: a daemon of FRR's that is silent holds up no pass
            for failure in result.failures:
                log.warning(
                    "%s %s: %s", failure.operation.action, failure.operation.key, failure.text,
                    extra=log_fields(failure.operation),
                )  # fmt: skip

    def _only_frr_waits(self) -> bool:
        """Whether all that is left to do is FRR's, or waits for a credential; everything was looked at lately."""
        return (
            self.result is not None and not self.result.failures and time.monotonic() - self._looked < FULL_PASS_SECONDS
        )

    async def poll_forever(self) -> None:
        """Look at counters and sessions about once a second; a session that is not there calls for a pass.

        At once where the kernel speaks of a static virtual interface's port: nobody else notices a lost carrier there.
        """
        while True:
            self._poll_work = 0.0
            self._poll_now.clear()
            await self._make_poll()
            # To wait is no work: whether a daemon of FRR's is back is to be known soon.
            pause = max(POLL_SECONDS, self._poll_work / POLL_SHARE)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._poll_now.wait(), pause)

    async def _make_poll(self) -> None:
        async with self._polling:
            await self._poll_once()

    def _working(self, part: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a part of a poll, and note the processor's time that it takes."""
        started = time.thread_time()
        try:
            return part(*args, **kwargs)
        finally:
            self._poll_work += time.thread_time() - started

    async def _poll_once(self) -> None:
        before = self.poll
        try:
            self.poll = await asyncio.to_thread(self._working, self._poll_in_thread)
        except KernelError as error:
            log.error("polling: %s", error)
            return
        if self.in_force.loaded is not None and self.result is not None:
            await asyncio.to_thread(
                self._working,
                self.picture.update,
                self.in_force.loaded.order,
                self.result,
                self.poll,
                self.prober.streams,
                self._runtime.drained,
            )
            await asyncio.to_thread(self._keep_history)
            self._supervisor.status(lambda: status_line(self.snapshot()))
        self._judge_static_paths(self.poll)
        await self._judge_bfd(self.poll)
        was_up = before is not None and before.sessions is not None
        is_up = self.poll.sessions is not None
        if is_up and not was_up and before is not None:
            log.info("FRR answers")
            self._wanted.ask(Scope(frr=True))
        elif was_up and not is_up:
            log.warning("FRR does not answer: %s", self.poll.frr_detail)
        elif is_up and (self._lacks_sessions(self.poll) or (before is not None and _answers_again(before, self.poll))):
            # Restarted between two polls, or one of its daemons answers again.
            self._wanted.ask(Scope(frr=True))

    def _keep_history(self) -> None:
        tracker = self.picture.tracker
        try:
            self._history.append(tracker.take_new(), tracker.histories)
            self._history_failed = False
        except StateError as error:
            if not self._history_failed:
                log.error("verdicts are not kept over a restart: %s", error)
            self._history_failed = True

    def _recall_history(self) -> None:
        try:
            self.picture.tracker.restore(self._history.read(time.time()))
        except StateError as error:
            log.error("earlier verdicts cannot be read: %s", error)

    async def look_at_hardware_forever(self) -> None:
        """Ask the ports' drivers for speed, duplex and light: slow, so seldom, and beside everything else."""
        while True:
            if self.in_force.loaded is not None:
                ports = ports_of(self.in_force.loaded.order)
                self.picture.hardware = await asyncio.to_thread(self._hardware.read, ports)
            await asyncio.sleep(HARDWARE_SECONDS)

    def _judge_static_paths(self, poll: Poll) -> None:
        """Withdraw static routes whose path is dead, and put them back when it has been well for a while."""
        if self.result is None or not any(i.static for i in self.result.intent.interfaces.values()):
            return
        interfaces = self.result.intent.interfaces.values()
        facts = {interface.name: path_facts(interface, poll, self.result.indices) for interface in interfaces}
        self._static = withheld_static(interfaces, facts, self._static, time.monotonic())
        if self._static.withheld != self._runtime.withdrawn:
            for name in self._static.withheld ^ self._runtime.withdrawn:
                away = name in self._static.withheld
                log.warning(
                    "%s: its static routes are %s", name, "withdrawn: the path is dead" if away else "back",
                    extra={"virtual_interface": name},
                )  # fmt: skip
            self._runtime = replace(self._runtime, withdrawn=self._static.withheld)
            self.store.save_runtime(self._runtime)
            self._wanted.ask(Scope())

    async def _judge_bfd(self, poll: Poll) -> None:
        """Set sessions up without BFD that FRR leaves Idle for it, and have it join them when they are up."""
        if self.result is None or poll.sessions is None:
            return
        # As ever so often: what follows goes over every session that is ordered.
        if not self._bfd.waiting and not any(map(held_by_bfd, poll.sessions.values())):
            self._bfd = BfdWaits()
            return
        ordered = {
            place_of(interface.vrf, session.cloud)
            for interface in self.result.intent.interfaces.values()
            for session in interface.sessions
            if session.bfd
        }
        silent = {
            place_of(interface.vrf, stream.destination)
            for interface in self.result.intent.interfaces.values()
            for stream in self.prober.streams.get(interface.name, ())
            if stream.silent
        }
        self._bfd = waits_for_bgp(poll.sessions.values(), ordered, silent, self._bfd, time.monotonic())
        for state in self._bfd.stuck:
            try:
                await asyncio.to_thread(self._poll_frr.start_session, state)
            except FrrError as error:
                log.warning("BGP session %s cannot be started: %s", place_of(state.vrf, state.peer), error)
        if self._bfd.waiting != self._runtime.bfd_waits:
            for place in sorted(self._bfd.waiting - self._runtime.bfd_waits):
                log.warning(
                    "BGP session %s: FRR %s leaves it idle while BFD is down, so BFD joins it when it is up",
                    place, self._poll_frr.version or "",
                )  # fmt: skip
            self._runtime = replace(self._runtime, bfd_waits=self._bfd.waiting)
            self._wanted.ask(Scope(frr=True))
            try:
                self.store.save_runtime(self._runtime)
            except StateError as error:
                log.error("which sessions wait with BFD is not kept over a restart: %s", error)

    def _lacks_sessions(self, poll: Poll) -> bool:
        """Whether FRR has lost what it was given: it was restarted between two polls."""
        if self.result is None or poll.sessions is None or not self.result.frr_available:
            return False
        return any(
            session_place(session, interface.vrf) not in poll.sessions
            for interface in self.result.intent.interfaces.values()
            for session in interface.sessions
        )

    def _poll_in_thread(self) -> Poll:
        counters = read_counters(self._poll_socket)
        neighbours = read_neighbours(self._poll_socket) if self._asks_for_neighbours() else {}
        digests = read_digest_counts()
        try:
            states = self._poll_frr.sessions()
        except FrrError as error:
            return Poll(time.time(), counters, None, str(error), neighbours, digests)
        absent = "; ".join(self._poll_frr.unavailable().values())
        sessions = {(s.vrf, str(s.peer)): s for s in states}
        version, wedged = self._poll_frr.version, self._poll_frr.wedged_others()
        return Poll(time.time(), counters, sessions, absent, neighbours, digests, version, wedged)

    def _asks_for_neighbours(self) -> bool:
        """Whether anything depends on who answers ARP or neighbour discovery: there are thousands of them."""
        interfaces = self.result.intent.interfaces.values() if self.result is not None else ()
        return any(i.static for i in interfaces) or any(
            stream.silent for streams in self.prober.streams.values() for stream in streams
        )

    def on_event(self) -> None:
        """The kernel said that something changed."""
        changed = self._events.changed()
        if changed is None:
            self.reconciler.kernel.start_over()
            self._wanted.ask()
        elif changed.links:
            self._wanted.ask(Scope(changed.links, changed.queues))
            if changed.links & self._static_links:
                self._poll_now.set()

    def on_firewall_event(self) -> None:
        """nftables' rules changed."""
        if self._firewall_events.changed():
            self._wanted.ask(Scope(firewall=True))

    def on_closed_connection(self) -> None:
        """A TCP connection was closed: FRR is asked why at once where it was BGP's, though not for each of many."""
        assert self._closed_connections is not None
        now = time.monotonic()
        if self._closed_connections.any_of_bgp() and now - self._heard_closed > POLL_SECONDS:
            self._heard_closed = now
            self._poll_now.set()

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        assert self.in_force.loaded is not None
        async with AsyncExitStack() as stack:
            # The control socket first: until a pass has been made it says so, which beats "not running".
            await stack.enter_async_context(start_control(self.settings.socket, self))
            stack.push_async_callback(self._http.close)
            await self._serve_http()
            self.prober.start()
            await asyncio.to_thread(self._recall_history)
            await self._first_pass()
            heard: list[tuple[EventSocket | FirewallEvents | ClosedConnections, Callable[[], None]]] = [
                (self._events, self.on_event),
                (self._firewall_events, self.on_firewall_event),
            ]
            if self._closed_connections is not None:
                heard.append((self._closed_connections, self.on_closed_connection))
            for events, listener in heard:
                loop.add_reader(events.fileno(), listener)
                stack.callback(loop.remove_reader, events.fileno())
            self._supervisor.ready()
            async with asyncio.TaskGroup() as tasks:
                running: list[Coroutine[Any, Any, None]] = [
                    self.reconcile_forever(),
                    self.poll_forever(),
                    self.look_at_hardware_forever(),
                ]
                started = [tasks.create_task(coroutine) for coroutine in running]
                await stop.wait()
                self._supervisor.stopping()
                for task in started:
                    task.cancel()

    async def _first_pass(self) -> None:
        try:
            pending = self.store.pending()
            if pending is not None and not pending.seconds_left and pending.previous is not None:
                result = await self._roll_back(pending)
            else:
                result = await self._make_pass_and_look()
        except (KernelError, StateError) as error:
            log.error("the first pass failed: %s", error)
            return
        self._keep(self._await_confirmation())
        log.info("%d operations done, %d failed", len(result.done.operations), len(result.failures))


def _answers_again(before: Poll, now: Poll) -> bool:
    """Whether nothing of FRR's hangs any more that did."""
    return bool((before.frr_detail and not now.frr_detail) or (before.frr_wedged and not now.frr_wedged))
