"""One pass: observe, plan, execute, verify. Everything in here blocks; the daemon runs it in a worker thread.

Full passes are cheap and change nothing where nothing differs, so events, timers and verbs only ever ask for one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

from dcedge.bgp.config import FrrConfig
from dcedge.bgp.delta import blocks_of, delta
from dcedge.bgp.observe import observe_frr, remember, warnings
from dcedge.bgp.render import keep_unkeyed
from dcedge.bgp.resources import FrrBlock
from dcedge.bgp.vty import FrrClient
from dcedge.bgp.zebra import wait_for_addresses, wait_for_links
from dcedge.credentials import read_credentials
from dcedge.errors import FrrError
from dcedge.intent import Intent, credentials_of, derive
from dcedge.kernel import sysctl
from dcedge.kernel.capabilities import has_fq_codel
from dcedge.kernel.execute import Failure, KernelExecutor
from dcedge.kernel.netlink import RouteSocket
from dcedge.kernel.objects import RANK_ADDRESS, IpAddress, Link, Sysctl
from dcedge.kernel.observe import owned_state
from dcedge.kernel.view import KernelView, observe_kernel
from dcedge.order.model import Order
from dcedge.plan import Operation, Plan, plan
from dcedge.resource import Key, Resource, State
from dcedge.settings import Settings
from dcedge.store import Owned, Runtime, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there: the kernel's and FRR's side. `frr` is None where FRR does not answer; `frr_detail` says why."""

    view: KernelView
    kernel: State
    running: FrrConfig
    frr: Mapping[Key, FrrBlock] | None
    frr_detail: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a pass would do, and what it could not look at."""

    intent: Intent
    observed: Observed
    plan: Plan


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. Times in seconds; `failures` stand until a later pass succeeds."""

    finished: float  # wall clock
    duration: float
    intent: Intent
    view: KernelView
    done: Plan
    failures: tuple[Failure, ...]
    frr_available: bool
    frr_detail: str
    warnings: tuple[str, ...]  # what the operator's own configuration does that an order cannot mend

    @property
    def complete(self) -> bool:
        """Whether everything is as ordered now."""
        return not self.failures and self.frr_available and not self.intent.withheld


@dataclass(slots=True)
class Reconciler:
    """Takes one router to its order. Holds no state but its sockets."""

    settings: Settings
    store: Store
    frr: FrrClient
    sock: RouteSocket = field(default_factory=RouteSocket)
    fq_codel: bool = False

    def __post_init__(self) -> None:
        self.fq_codel = has_fq_codel(self.sock)

    def close(self) -> None:
        """Close the sockets."""
        self.sock.close()

    def intent(self, order: Order, runtime: Runtime) -> Intent:
        """The intent, with the credentials as they are on disk now."""
        secrets, problems = read_credentials(credentials_of(order), self.settings.credentials)
        return derive(order, runtime, secrets, problems, fq_codel=self.fq_codel)

    def preview(self, intent: Intent) -> Preview:
        """What a pass would do; changes nothing."""
        observed = self._observe(intent, self.store.owned())
        return Preview(intent, observed, _plan(intent, observed))

    def run(self, intent: Intent) -> PassResult:
        """One pass. What cannot be done is in the result; raises only where nothing can be observed."""
        started = time.monotonic()
        owned = self.store.owned()
        observed = self._observe(intent, owned)
        todo = _plan(intent, observed)
        failures: list[Failure] = []
        frr_detail = observed.frr_detail
        if todo:
            self._remember(intent, observed, todo, owned)
            failures, frr_detail = self._execute(todo, observed, frr_detail)
            observed, verified = self._verify(intent, todo, failures)
            failures += verified
        self._forget(intent, observed)
        for name, problem in intent.withheld.items():
            log.warning("bgp left as it is: %s", problem, extra={"virtual_interface": name})
        return PassResult(
            finished=time.time(),
            duration=time.monotonic() - started,
            intent=intent,
            view=observed.view,
            done=todo,
            failures=tuple(failures),
            frr_available=observed.frr is not None,
            frr_detail=frr_detail or observed.frr_detail,
            warnings=warnings(observed.running),
        )

    def _observe(self, intent: Intent, owned: Owned) -> Observed:
        view = observe_kernel(self.sock)
        kernel = owned_state(view, intent.kernel, owned.links)
        for resource in intent.kernel.values():
            if isinstance(resource, Sysctl) and (value := sysctl.read(resource.path)) is not None:
                kernel[resource.key] = Sysctl(resource.path, value)
        running = FrrConfig(frozenset())
        frr: Mapping[Key, FrrBlock] | None = None
        detail = ""
        try:
            running = self.frr.running_config()
            frr = observe_frr(running, blocks_of(intent.frr), owned.frr_lines)
        except FrrError as error:
            detail = str(error)
        return Observed(view, kernel, running, frr, detail)

    def _execute(self, todo: Plan, observed: Observed, frr_detail: str) -> tuple[list[Failure], str]:
        for operation in todo.operations:
            log.info(
                "%s %s: %s (%s)", operation.action, operation.key, operation.describe(), operation.reason,
                extra={"virtual_interface": ",".join(operation.affects[:3])},
            )  # fmt: skip
        failures: list[Failure] = []
        executor = KernelExecutor(self.sock, observed.view)
        for stage, stretch in groupby(todo.operations, key=_stage):
            operations = list(stretch)
            if stage == "frr":
                try:
                    self.frr.apply(delta(operations))
                except FrrError as error:
                    frr_detail = str(error)
                    failures += [Failure(operation, str(error), True) for operation in operations]
                continue
            if stage == "upon links" and observed.frr is not None:
                self._await_zebra(executor)
            failures += executor.execute(operations)
            if observed.frr is not None:
                self._have_zebra_list(executor, operations, failures)
        return failures, frr_detail

    def _await_zebra(self, executor: KernelExecutor) -> None:
        try:
            if not wait_for_links(self.frr, executor.created):
                log.warning("zebra does not know the new links yet; their addresses may be late to it")
        except FrrError as error:
            log.warning("zebra: %s", error)

    def _have_zebra_list(
        self, executor: KernelExecutor, operations: Iterable[Operation], failures: Iterable[Failure]
    ) -> None:
        failed = {failure.operation.key for failure in failures}
        made = {
            (operation.after.link, str(operation.after.interface)): operation.after
            for operation in operations
            if isinstance(operation.after, IpAddress) and operation.key not in failed
        }
        try:
            missing = wait_for_addresses(self.frr, made)
            if missing:
                log.warning("zebra missed %d new addresses; making them again", len(missing))
                executor.renew(made[place] for place in missing)
        except FrrError as error:
            log.warning("zebra: %s", error)

    def _verify(self, intent: Intent, done: Plan, failures: list[Failure]) -> tuple[Observed, list[Failure]]:
        """Look again: whatever was done and still differs, without an error of its own, is a failure too."""
        observed = self._observe(intent, self.store.owned())
        known = {failure.operation.key for failure in failures}
        attempted = {operation.key for operation in done.operations}
        return observed, [
            Failure(operation, f"was done but is not so: {operation.describe()}", True)
            for operation in _plan(intent, observed).operations
            if operation.key in attempted and operation.key not in known
        ]

    def _remember(self, intent: Intent, observed: Observed, todo: Plan, owned: Owned) -> None:
        """Write down what will be ours before it exists, so that a kill in the middle leaves nothing unknown."""
        for operation in todo.operations:
            if isinstance(operation.before, Sysctl) and isinstance(operation.after, Sysctl):
                owned = owned.with_sysctl(operation.before.path, operation.before.value)
        lines = owned.frr_lines
        if observed.frr is not None:
            lines = remember(lines, observed.running, blocks_of(intent.frr))
        self.store.save_owned(replace(owned, links=owned.links | _links(intent.kernel), frr_lines=lines))

    def _forget(self, intent: Intent, observed: Observed) -> None:
        """Once something is gone it is no longer ours: a later link of the same name may be anybody's."""
        owned = self.store.owned()
        links = _links(intent.kernel) | (owned.links & _links(observed.kernel))
        lines = owned.frr_lines
        if observed.frr is not None:
            lines &= observed.running.lines
        self.store.save_owned(replace(owned, links=links, frr_lines=lines))


def _plan(intent: Intent, observed: Observed) -> Plan:
    """Kernel and FRR in one plan; without FRR, the kernel's alone."""
    if observed.frr is None:
        return plan(intent.kernel, observed.kernel)
    wanted = keep_unkeyed(blocks_of(intent.frr), observed.frr, intent.withheld)
    return plan({**intent.kernel, **wanted}, {**observed.kernel, **observed.frr})


def _stage(operation: Operation) -> Literal["frr", "links", "upon links"]:
    """Which step of a pass an operation belongs to: FRR's, the links' (and all removal), or what stands on links."""
    if isinstance(operation.resource, FrrBlock):
        return "frr"
    return "upon links" if operation.after is not None and operation.resource.rank >= RANK_ADDRESS else "links"


def _links(state: State) -> frozenset[str]:
    return frozenset(r.name for r in state.values() if isinstance(r, Link) and r.tag is not None and not r.foreign)


def purge_intent(owned: Owned) -> Intent:
    """What should be when nothing is ordered: the settings as they were found, and nothing of ours."""
    kernel: dict[Key, Resource] = {}
    for path, value in owned.sysctl_before.items():
        setting = Sysctl(path, value)
        kernel[setting.key] = setting
    return Intent((), kernel, {}, {})
