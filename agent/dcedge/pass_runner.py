"""The daemon's passes: made one at a time, in a worker thread, over what is in force; and what follows from each."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from dcedge import memory
from dcedge.errors import KernelError
from dcedge.in_force import OrderInForce
from dcedge.kernel.naming import interface_link
from dcedge.logs import CollapsingHandler
from dcedge.pass_queue import PassEnd, PassQueue, PassRequest
from dcedge.plan import Plan, log_fields
from dcedge.probe.histogram import Histogram
from dcedge.probe.prober import Arrangement, Prober
from dcedge.probe.stamping import Stamping, stamp_targets
from dcedge.probe.target import Target, budgets_of, targets_of
from dcedge.reconcile import PassResult, Reconciler

log = logging.getLogger(__name__)


class PassRunner:
    """Makes passes; `result` is the last one's, without what it did. `ended` hears of each."""

    def __init__(
        self,
        in_force: OrderInForce,
        reconciler: Reconciler,
        queue: PassQueue,
        prober: Prober,
        stamping: Stamping,
        told: CollapsingHandler | None = None,
    ) -> None:
        self._in_force = in_force
        self._reconciler = reconciler
        self._queue = queue
        self._prober = prober
        self._stamping = stamping
        self._told = told
        self._turn = asyncio.Lock()
        self._making: set[asyncio.Future[PassResult]] = set()
        self.ended: Callable[[PassResult], None] = lambda _: None
        self.result: PassResult | None = None
        self.operations = 0  # of the last pass
        self.applied: float | None = None  # when an order was last carried out
        self.durations = Histogram()
        self.repaired: Counter[str] = Counter()
        self.static_links: frozenset[int] = frozenset()  # the links and ports of static virtual interfaces

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
        async with self._turn:
            if change is not None:
                await asyncio.to_thread(change)
                self._queue.order_changed()
            request = self._queue.take()
            try:
                result = await asyncio.to_thread(self._pass_in_thread, request)
                await self._account(result, ordered=request.ordered)
            except BaseException:
                self._queue.failed(request)
                raise
            self._queue.ended(self._end_of(result))
        self.ended(result)
        return result

    async def make_due(self) -> None:
        """The pass that is due now; what fails is told, and tried again."""
        try:
            result = await self.make()
        except KernelError as error:
            log.error("the pass failed: %s", error)
            return
        for failure in result.failures:
            log.warning(
                "%s %s: %s", failure.operation.action, failure.operation.key, failure.text,
                extra=log_fields(failure.operation),
            )  # fmt: skip

    def _end_of(self, result: PassResult) -> PassEnd:
        return PassEnd(
            complete=result.complete and not result.frr_unsaved,
            only_frr_waits=not result.failures,
            look_again=result.changed_meanwhile,
            release_at=self._reconciler.next_release(),
        )

    def _pass_in_thread(self, request: PassRequest) -> PassResult:
        loaded = self._in_force.loaded
        assert loaded is not None
        with memory.building() if request.ordered else nullcontext():
            intent = self._reconciler.intent(loaded.order, self._in_force.runtime, self._in_force.secrets)
            result = self._reconciler.run(intent, request.scope)
        if request.scope is None:
            memory.collect()
        return result

    async def _account(self, result: PassResult, *, ordered: bool) -> None:
        if self._told is not None:
            self._told.settle()
        before = self.result
        # Without what was done: an order's first pass does 20,000 operations, which are of no more use.
        self.result = replace(result, done=Plan(()))
        self.operations = len(result.done.operations)
        self.durations.observe(result.duration)
        if ordered:
            self.applied = result.finished
        else:
            failed = {failure.operation.key for failure in result.failures}
            self.repaired.update(o.key.kind for o in result.done.operations if o.key not in failed)
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


def _has_same_links(before: PassResult | None, result: PassResult) -> bool:
    """Whether nothing has changed, since the last pass, in which links virtual interfaces have."""
    return (
        before is not None and before.intent.interfaces is result.intent.interfaces and before.indices == result.indices
    )
