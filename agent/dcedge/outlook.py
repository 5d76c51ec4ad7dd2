"""What the outside sees of the daemon: status, metrics, page and control socket read from here, and change nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from dcedge import clock
from dcedge.bgp.versions import version_warnings
from dcedge.commands import Commands
from dcedge.expose.control_server import Command
from dcedge.expose.hour import Hour
from dcedge.expose.plan_document import notes
from dcedge.expose.snapshot import FrrSnapshot, OrderSnapshot, PassSnapshot, Snapshot, with_clock_set
from dcedge.health.tracker import Transition
from dcedge.in_force import OrderInForce
from dcedge.pass_runner import PassRunner
from dcedge.picture import Picture
from dcedge.poller import Poller
from dcedge.probe.prober import Prober
from dcedge.probe.stamping import Stamping
from dcedge.reconcile import PassResult, Reconciler
from dcedge.tasks import Tasks


class Outlook:
    """Reads the daemon's parts. `more_notes` says what is wrong beside the data plane."""

    def __init__(
        self,
        in_force: OrderInForce,
        reconciler: Reconciler,
        runner: PassRunner,
        poller: Poller,
        picture: Picture,
        prober: Prober,
        stamping: Stamping,
        commands: Commands,
        tasks: Tasks,
        more_notes: Callable[[], Iterator[str]],
    ) -> None:
        self._in_force = in_force
        self._reconciler = reconciler
        self._runner = runner
        self._poller = poller
        self._picture = picture
        self._prober = prober
        self._stamping = stamping
        self._commands = commands
        self._tasks = tasks
        self._more_notes = more_notes

    def snapshot(self) -> Snapshot:
        """All that the outside sees, now."""
        assert self._in_force.loaded is not None
        result, poll = self._runner.result, self._poller.last
        up = poll is not None and poll.sessions is not None
        detail = (poll.frr_detail if poll else "") or (result.frr_detail if result else "")
        problems = self._in_force.problems
        path, differs = str(self._in_force.settings.order), self._in_force.file_differs
        file = OrderSnapshot(path, self._runner.applied, bool(problems), problems, differs)
        frr = FrrSnapshot(up and (result is None or result.frr_available), detail, poll.frr_version if poll else None)
        order, prober, stamps = self._in_force.loaded.order, self._prober.prober_stats(), self._stamping.stats()
        snapshot = self._picture.snapshot(order, frr, self._passes(), file, prober, stamps)
        return with_clock_set(snapshot, clock.wall_step())

    def order_text(self) -> str:
        """The contents of the order in force."""
        assert self._in_force.loaded is not None
        return self._in_force.loaded.text

    def hour(self) -> Hour:
        """The last hour of every virtual interface."""
        return self._picture.hour

    def history(self, name: str) -> tuple[Transition, ...]:
        """The transitions of one virtual interface in the last day."""
        step = clock.wall_step()
        return tuple(replace(one, at=one.at + step) for one in self._picture.tracker.history(name))

    def urgent(self) -> bool:
        """Whether a pass is due or under way, which long answers must not slow down."""
        return self._runner.busy

    def commands(self) -> Mapping[str, Command]:
        """The changes that the control socket offers to root."""
        return self._commands.by_verb

    def _passes(self) -> PassSnapshot:
        beside = PassSnapshot(
            notes=tuple(self._beside()),
            task_failures=tuple(sorted(self._tasks.failures.items())),
            state_files_unwritten=self._in_force.store.unwritten,
        )
        result = self._runner.result
        if result is None:
            return beside
        now = time.monotonic()
        return replace(
            beside,
            finished=result.finished,
            duration=result.duration,
            operations=self._runner.operations,
            durations=self._runner.durations.read(),
            drift_repaired=tuple(sorted(self._runner.repaired.items())),
            drift_contested=len(self._reconciler.fights.held(now)),
            failing=tuple(f"{f.operation.action} {f.operation.key}: {f.text}" for f in result.failures),
            notes=(
                *notes(result.intent, "", result.firewall_detail),
                *result.warnings,
                *self._frr_notes(result),
                *self._shaping_note(result),
                *self._reconciler.fights.told(now),
                *beside.notes,
            ),
        )

    def _beside(self) -> Iterator[str]:
        yield from self._in_force.store.troubles()
        if self._poller.history_trouble:
            yield self._poller.history_trouble
        if self._commands.transaction.rolling_back:
            yield "the previous order is in force, and not everywhere yet: it is tried again"
        if self._in_force.file_differs and not self._in_force.problems:
            yield f"the order in force differs from {self._in_force.settings.order}: see `dcedge plan`"
        yield from self._more_notes()

    def _frr_notes(self, result: PassResult) -> Iterator[str]:
        poll = self._poller.last
        if poll is None:
            return
        for daemon in poll.frr_wedged:
            yield (
                f"{daemon} does not answer: until it does (or is killed), vtysh hangs and FRR cannot save its"
                " configuration; traffic and sessions are not concerned"
            )
        yield from version_warnings(poll.frr_version, result.intent.interfaces.values())

    def _shaping_note(self, result: PassResult) -> Iterator[str]:
        has = self._reconciler.kernel_has
        for queue in sorted({interface.queue for interface in result.intent.interfaces.values()}):
            if has.queue(queue) != queue:
                yield f"this kernel has no {queue}: shapers queue with a plain pfifo, at most 50 ms"
