"""What the outside sees of the daemon: status, metrics, page and control socket read from here, and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from dcedge.api.control.control_server import Command
from dcedge.api.metrics.instruments import DaemonMetrics, counts
from dcedge.api.plan import notes
from dcedge.daemon.commands import Commands
from dcedge.daemon.passes import PassRunner
from dcedge.frr.versions import version_warnings
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.last_hour import Hour
from dcedge.monitor.poller import Poller
from dcedge.monitor.snapshot import FrrSnapshot, OrderSnapshot, PassSnapshot, Snapshot, with_clock_set
from dcedge.monitor.status_collector import StatusCollector
from dcedge.probe.prober import Prober
from dcedge.probe.stamping import Stamping
from dcedge.reconcile import clock
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.queue import PassQueue
from dcedge.reconcile.reconciler import Reconciler
from dcedge.reconcile.result import PassResult


class Outlook:
    """Reads the daemon's parts. `more_notes` says what is wrong beside the data plane."""

    def __init__(
        self,
        in_force: OrderInForce,
        reconciler: Reconciler,
        queue: PassQueue,
        runner: PassRunner,
        poller: Poller,
        collector: StatusCollector,
        prober: Prober,
        stamping: Stamping,
        commands: Commands,
        metrics: DaemonMetrics,
        more_notes: Callable[[], Iterator[str]],
    ) -> None:
        self._in_force = in_force
        self._reconciler = reconciler
        self._queue = queue
        self._runner = runner
        self._poller = poller
        self._collector = collector
        self._prober = prober
        self._stamping = stamping
        self._commands = commands
        self._metrics = metrics
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
        snapshot = self._collector.snapshot(order, frr, self._passes(), file, prober, stamps)
        return with_clock_set(snapshot, clock.wall_step())

    def metrics(self) -> DaemonMetrics:
        """The daemon's own metrics."""
        return self._metrics

    def order_text(self) -> str:
        """The contents of the order in force."""
        assert self._in_force.loaded is not None
        return self._in_force.loaded.text

    def hour(self) -> Hour:
        """The last hour of every virtual interface."""
        return self._collector.hour

    def history(self, name: str) -> tuple[Transition, ...]:
        """The transitions of one virtual interface in the last day."""
        step = clock.wall_step()
        return tuple(replace(one, at=one.at + step) for one in self._collector.tracker.history(name))

    def urgent(self) -> bool:
        """Whether a pass is due or under way, which long answers must not slow down."""
        return self._runner.busy

    def commands(self) -> Mapping[str, Command]:
        """The changes that the control socket offers to root."""
        return self._commands.by_verb

    def _passes(self) -> PassSnapshot:
        beside = PassSnapshot(
            notes=tuple(self._beside()),
            state_files_unwritten=self._in_force.store.unwritten,
        )
        result = self._runner.result
        if result is None:
            return beside
        return replace(
            beside,
            finished=result.finished,
            duration=result.duration,
            operations=self._runner.operations,
            drift_repaired=tuple(counts(self._metrics.drift_repaired).items()),
            drift_suppressed=self._queue.suppressed(),
            failing=tuple(f"{f.operation.action} {f.operation.key}: {f.text}" for f in result.failures),
            notes=(
                *notes(result.intent, "", result.firewall_detail),
                *result.warnings,
                *self._frr_notes(result),
                *self._shaping_note(result),
                *self._queue.drift_notes(),
                *beside.notes,
            ),
        )

    def _beside(self) -> Iterator[str]:
        yield from self._in_force.store.troubles()
        if self._poller.history_trouble:
            yield self._poller.history_trouble
        if self._prober.trouble:
            yield self._prober.trouble
        yield from self._stamping.troubles
        if self._commands.transaction.rolling_back:
            yield "the previous order is in force, but not fully applied yet: it is retried"
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
                " configuration; traffic and sessions are not affected"
            )
        yield from version_warnings(poll.frr_version, result.intent.interfaces.values())

    def _shaping_note(self, result: PassResult) -> Iterator[str]:
        has = self._reconciler.kernel_has
        for queue in sorted({interface.queue for interface in result.intent.interfaces.values()}):
            if has.queue(queue) != queue:
                yield f"this kernel has no {queue}: shapers use pfifo instead, at most 50 ms deep"
