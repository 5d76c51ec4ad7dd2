"""The daemon's passes: made one at a time, in a worker thread, over what is in force; and what follows from each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TypeVar

from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.errors import KernelError
from dcedge.kernel.naming import interface_link
from dcedge.kernel.port.hardware import ports_of
from dcedge.logging.handlers import CollapsingHandler
from dcedge.plan.diff import Plan, log_fields
from dcedge.probe.prober import Arrangement, Prober
from dcedge.probe.stamping import Stamping, stamp_targets
from dcedge.probe.target import Target, budgets_of, targets_of
from dcedge.reconcile import memory
from dcedge.reconcile.desired import Intent
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.pass_log import LoggedPass, PassLog
from dcedge.reconcile.queue import PassQueue
from dcedge.reconcile.reconciler import Reconciler
from dcedge.reconcile.result import DirtySet, PassRequest, PassResult

log = logging.getLogger(__name__)

GIVING_WAY_SECONDS = 10.0  # so much later a full resync ends at most
T = TypeVar("T")


class PassRunner:
    """Makes passes; `result` is the last one's, without what it did. `ended` hears of each."""

    def __init__(
        self,
        in_force: OrderInForce,
        reconciler: Reconciler,
        queue: PassQueue,
        prober: Prober,
        stamping: Stamping,
        metrics: DaemonMetrics,
        log_handler: CollapsingHandler | None = None,
    ) -> None:
        self._in_force = in_force
        self._reconciler = reconciler
        self._queue = queue
        self._prober = prober
        self._stamping = stamping
        self._metrics = metrics
        self._log_handler = log_handler
        self._turn = asyncio.Lock()
        self._waiting = 0  # for their turn
        self._making: set[asyncio.Future[PassResult]] = set()
        self.ended: Callable[[PassResult], None] = lambda _: None
        self.log = PassLog()
        self.result: PassResult | None = None
        self.operations = 0  # of the last pass
        self.applied: float | None = None  # when an order was last carried out
        self.static_links: frozenset[int] = frozenset()  # the links and ports of static virtual interfaces
        self.ports: frozenset[int] = frozenset()  # of the order, the members of bonds too

    @property
    def busy(self) -> bool:
        """Whether a pass is due or under way."""
        return self._queue.pending or self._turn.locked()

    async def make(self, change: Callable[[], None] | None = None) -> PassResult:
        """The pass that is due now; with a `change` of what is in force, the one that carries that out.

        It goes on to its end though who asked for it goes away. Raises KernelError where the kernel cannot be looked
        at; it is made again then.
        """
        making = asyncio.ensure_future(self._make(change))
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        return await asyncio.shield(making)

    async def _make(self, change: Callable[[], None] | None) -> PassResult:
        async with self._own_turn():
            if change is not None:
                await asyncio.to_thread(change)
                self._queue.order_changed()
            request = self._queue.take()
            logged = self.log.began(request, self._queue.reasons)
            try:
                result = await asyncio.to_thread(self._pass_in_thread, request, asyncio.get_running_loop())
                await self._account(result, ordered=request.ordered)
                self.log.ended(logged, result)
            except BaseException:
                self._queue.failed(request)
                raise
            self._queue.ended(result)
        self.ended(result)
        return result

    @asynccontextmanager
    async def _own_turn(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()

    async def make_due(self) -> None:
        """The pass that is due now; what fails is told, and tried again."""
        try:
            result = await self.make()
        except KernelError as error:
            log.error("the pass failed: %s", error)
            return
        _tell_failures(result)

    def may_pause(self, intent: Intent) -> bool:
        """Whether a full resync for this intent may pause: nobody waits for its end, and the same is in force still.

        Else what is dirty may be so for what is in force by now.
        """
        loaded = self._in_force.loaded
        same = loaded is not None and loaded.order is intent.order and self._in_force.runtime == intent.runtime
        return same and not self._waiting

    def repaired_meanwhile(self, logged: LoggedPass, result: PassResult) -> None:
        """An incremental pass during a full resync, which tells of all else than what this one repaired."""
        self.log.ended(logged, result)
        self._count_repairs(result)
        _tell_failures(result)

    def _count_repairs(self, result: PassResult) -> None:
        for resource_type, count in Counter(key.type for key in result.repaired).items():
            self._metrics.drift_repaired.labels(resource_type).inc(count)

    def _pass_in_thread(self, request: PassRequest, loop: asyncio.AbstractEventLoop) -> PassResult:
        loaded = self._in_force.loaded
        assert loaded is not None
        with memory.building() if request.ordered else nullcontext():
            intent = self._reconciler.intent(
                loaded.order,
                self._in_force.runtime,
                self._in_force.secrets,
                reread_host=request.dirty is None or request.dirty.settings or request.ordered,
            )
            meanwhile = _Meanwhile(self, self._queue, intent, loop) if not request.ordered else None
            result = self._reconciler.run(intent, request, meanwhile)
        if request.dirty is None:
            memory.collect()
        return result

    async def _account(self, result: PassResult, *, ordered: bool) -> None:
        if self._log_handler is not None:
            self._log_handler.settle()
        before = self.result
        # Without what was done: an order's first pass does 20,000 operations, which are of no more use.
        self.result = replace(result, done=Plan(()))
        self.operations = len(result.done.operations)
        self._metrics.pass_duration.observe(result.duration)
        if ordered:
            self.applied = result.finished
        self._count_repairs(result)
        if not _has_same_links(before, result):
            await self._take_links(result, ordered=ordered)
        self._stamping.set_targets(
            target
            for interface in result.intent.interfaces.values()
            if interface.stamp and (index := result.indices.get(link := interface_link(interface))) is not None
            for target in stamp_targets(interface, link, index)
        )

    async def _take_links(self, result: PassResult, *, ordered: bool) -> None:
        """Probe and watch where the links are now."""
        self.static_links = frozenset(
            result.indices.get(name, 0)
            for interface in result.intent.interfaces.values()
            if interface.static
            for name in (interface_link(interface), interface.port)
        )
        self.ports = _ports(result)
        self._prober.adopt(await asyncio.to_thread(self._probes, result, ordered))

    def _probes(self, result: PassResult, ordered: bool) -> Arrangement | None:
        targets: list[Target] = []
        interfaces = result.intent.interfaces.values()
        for interface in interfaces:
            index = result.indices.get(interface_link(interface))
            if index is not None:
                targets += targets_of(interface, index)
        with memory.building() if ordered else nullcontext():
            return self._prober.arrange(targets, budgets_of(interfaces))


class _Meanwhile:
    """What becomes due during a full resync: asked for in its thread, answered by the event loop."""

    def __init__(self, runner: PassRunner, queue: PassQueue, intent: Intent, loop: asyncio.AbstractEventLoop) -> None:
        self._runner, self._queue, self._intent, self._loop = runner, queue, intent, loop
        self._until = time.monotonic() + GIVING_WAY_SECONDS
        self._logged: LoggedPass | None = None

    def take(self, accept: Callable[[DirtySet], bool]) -> PassRequest | None:
        """The incremental pass that is due now, if its dirty set is accepted."""
        if not self._queue.urgent() or time.monotonic() > self._until:
            return None
        return self._in_loop(lambda: self._take(accept))

    def ended(self, result: PassResult) -> None:
        """It has ended so."""
        self._in_loop(lambda: self._ended(result))

    def _take(self, accept: Callable[[DirtySet], bool]) -> PassRequest | None:
        request = self._queue.take_urgent(accept) if self._runner.may_pause(self._intent) else None
        if request is not None:
            self._logged = self._runner.log.began(request, self._queue.reasons)
        return request

    def _ended(self, result: PassResult) -> None:
        assert self._logged is not None
        self._queue.repaired_meanwhile(result)
        self._runner.repaired_meanwhile(self._logged, result)

    def _in_loop(self, call: Callable[[], T]) -> T:
        async def called() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result()


def _ports(result: PassResult) -> frozenset[int]:
    """The links that the order's connections are on."""
    order, own = result.intent.order, result.intent.ports
    names = ports_of(order) if order is not None else ()
    return frozenset(index for name in names if (index := result.indices.get(own.get(name, name))) is not None)


def _tell_failures(result: PassResult) -> None:
    for failure in result.failures:
        log.warning(
            "%s %s: %s", failure.operation.action, failure.operation.key, failure.text,
            extra=log_fields(failure.operation),
        )  # fmt: skip


def _has_same_links(before: PassResult | None, result: PassResult) -> bool:
    """Whether nothing has changed, since the last pass, in which links virtual interfaces have."""
    return (
        before is not None and before.intent.interfaces is result.intent.interfaces and before.indices == result.indices
    )
