"""One pass: observe, plan, execute, verify. Everything in here blocks; the daemon runs it in a worker thread.

The kernel's part comes first, FRR's (`frr_part.py`) after it: what is wrong with FRR holds up no repair in the kernel.

A full pass looks at everything; it is cheap, and changes nothing where nothing differs. A prompt one looks only where
something changed: at the links that the kernel spoke of, and at what the order asks for differently. Between passes
the reconciler remembers what it observed, so that a prompt pass plans against that.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import Literal

from dcedge import clock
from dcedge.bgp.daemons_file import DAEMONS_FILE
from dcedge.bgp.observe import warnings
from dcedge.bgp.resources import FrrBlock
from dcedge.bgp.started import Started, start_problems
from dcedge.bgp.vty import FrrClient
from dcedge.bgp.zebra import wait_for_addresses, wait_for_links
from dcedge.credentials import Secret, read_credentials
from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.fights import Fights
from dcedge.firewall.nft import Firewall, FirewallError
from dcedge.firewall.objects import FirewallTable, GatewaySources, Guard
from dcedge.frr_part import FrrPart
from dcedge.intent import NOTHING, Intent, changed_keys, credentials_of, derive
from dcedge.kernel.capabilities import capabilities
from dcedge.kernel.derive import SETTINGS
from dcedge.kernel.execute import Failure, KernelExecutor
from dcedge.kernel.netlink import RouteSocket
from dcedge.kernel.objects import (
    RANK_ADDRESS,
    WIDE_KINDS,
    Bond,
    Ingress,
    IpAddress,
    Link,
    Port,
    Route,
    Sysctl,
    Vrf,
)
from dcedge.kernel_part import KernelPart
from dcedge.order.model import Credential, Order
from dcedge.pass_queue import Scope
from dcedge.plan import Operation, Plan, log_fields, plan
from dcedge.resource import Key, Resource, State
from dcedge.settings import Settings
from dcedge.store import Owned, Runtime, Store

log = logging.getLogger(__name__)

_LINKS_MAX = 64  # more changed links than this are looked at with everything else
_LOGGED_OPERATIONS_MAX = 100


@dataclass(frozen=True, slots=True)
class FirewallObserved:
    """nftables' side: `state` is None where it cannot be had; `detail` says why."""

    state: State | None
    detail: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a pass would do, and what it could not look at."""

    intent: Intent
    plan: Plan
    frr_detail: str
    firewall_detail: str


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. Times in seconds; `failures` stand until a later pass succeeds."""

    finished: float  # wall clock
    executed: float  # from the start to the last acknowledgement; what follows is verification
    duration: float
    intent: Intent
    indices: Mapping[str, int]  # of links, by name
    done: Plan
    failures: tuple[Failure, ...]
    frr_available: bool
    frr_detail: str
    firewall_detail: str  # why the firewall is not in force, where it is not
    frr_unsaved: str  # why FRR would come up without its part as it is now, where it would
    changed_meanwhile: bool  # something else went wrong during the pass, and nobody will tell of it again
    warnings: tuple[str, ...]  # what the operator's own configuration does that an order cannot mend

    @property
    def complete(self) -> bool:
        """Whether everything is as ordered now."""
        return not self.failures and self.frr_available and not self.intent.withheld


class Reconciler:
    """Takes one router to its order, one caller at a time.

    `before_look` is called before each look at everything. `sock` and `firewall` are this network namespace's where
    none are given.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        frr: FrrClient,
        before_look: Callable[[], None] = lambda: None,
        *,
        sock: RouteSocket | None = None,
        firewall: Firewall | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.frr = frr
        self.sock = sock if sock is not None else RouteSocket()
        self.kernel_has = capabilities(self.sock)
        self._intent: Intent = NOTHING
        self.kernel = KernelPart(self.sock, store)
        self.frr_part = FrrPart(frr, store)
        self.firewall = firewall if firewall is not None else Firewall()
        self._firewall = FirewallObserved(None, "not asked yet")
        self._failures: dict[Key, Failure] = {}
        self._before_look = before_look
        self._unheard: dict[tuple[str, str], IpAddress] = {}  # by link and address/length
        self.fights = Fights()
        self.handed_over: Mapping[Credential, Secret] = {}  # by root, who can read what this process may not

    def next_release(self) -> float | None:
        """When something may be repaired again that is left alone now (monotonic); None where nothing is."""
        return self.fights.next_release(time.monotonic())

    def close(self) -> None:
        """Close the sockets."""
        self.sock.close()

    def intent(
        self, order: Order, runtime: Runtime, kept_secrets: Mapping[Credential, Secret] = MappingProxyType({})
    ) -> Intent:
        """The intent, with the credentials as they are on disk now; `kept_secrets` go before them."""
        wanted = set(credentials_of(order)) - kept_secrets.keys()
        secrets, problems = read_credentials(wanted, self.settings.credentials, self.handed_over)
        secrets = {**secrets, **kept_secrets}
        return derive(order, runtime, secrets, problems, kernel_has=self.kernel_has, previous=self._intent)

    def preview(self, intent: Intent) -> Preview:
        """What a pass would do; changes nothing."""
        owned = self.store.owned()
        self.kernel.look(intent, owned)
        self._firewall = self._observe_firewall(intent)
        frr = self.frr_part.look(intent, owned)
        return Preview(intent, self._plan_observed(intent, with_frr=True), frr.detail, self._firewall.detail)

    def run(self, intent: Intent, scope: Scope | None = None) -> PassResult:
        """One pass, over everything or (with a scope) where something changed.

        What cannot be done is in the result; raises KernelError where the kernel cannot be looked at.
        """
        try:
            return self._run(intent, scope)
        except BaseException:
            self.kernel.forget()  # what is remembered may not be so: the next pass looks at everything
            raise

    def _run(self, intent: Intent, scope: Scope | None) -> PassResult:
        started = time.monotonic()
        owned = self.store.owned()
        ordered = intent.order is not self._intent.order or intent.runtime != self._intent.runtime
        if ordered:
            self.fights.forget()
        if self.kernel.observed is None:
            scope = None  # nothing is known (any more): not of FRR either
        standing = {key: failure for key, failure in self._failures.items() if not _shows_at_links(failure.operation)}
        if scope is not None:
            scope = None if ordered and standing else self._with_failures(scope)
        looks = self.kernel.looks
        todo = self._without_fights(self._plan(intent, owned, scope))
        if self.kernel.looks > looks:
            standing = {}  # everything was looked at
        before, self._intent = self._intent, intent
        failures, touched = self._carry_out(intent, todo)
        executed = time.monotonic() - started
        changed_meanwhile = False
        if todo:
            left, changed_meanwhile = self._verify(intent, todo, failures, None if _is_wide(todo) else touched)
            failures += left
        if scope is None or scope.frr or touched.frr or intent.frr != before.frr:
            rest, more = self._run_frr(intent)
            failures, todo = failures + more, Plan(todo.operations + rest.operations)
        for operation in todo.operations:
            standing.pop(operation.key, None)
        self._failures = standing | {failure.operation.key: failure for failure in failures}
        if not ordered:
            self._note_repairs(todo)
        self._forget(intent)
        frr = self.frr_part.observed
        return PassResult(
            finished=clock.now(),
            executed=executed,
            duration=time.monotonic() - started,
            intent=intent,
            indices=dict(self.kernel.seen.indices),  # others read it while the next pass is under way
            done=todo,
            failures=tuple(self._failures.values()),
            frr_available=frr.blocks is not None,
            frr_detail=frr.detail,
            firewall_detail=self._firewall.detail,
            frr_unsaved=self.frr_part.unsaved,
            changed_meanwhile=changed_meanwhile,
            warnings=(*warnings(frr.running), *self._daemon_warnings(intent), *self.frr_part.warnings()),
        )

    def save_frr(self, intent: Intent) -> None:
        """Have FRR save what it runs with, if that is as ordered; changes nothing else."""
        self.frr_part.look(intent, self.store.owned())
        if not self.frr_part.plan(intent):
            self.frr_part.settle(intent, Plan(()), ())

    def _run_frr(self, intent: Intent) -> tuple[Plan, list[Failure]]:
        """FRR's part, which comes when the kernel's is done and never holds that up; what was done, what failed."""
        self._tell_zebra_again()
        self.frr_part.look(intent, self.store.owned())
        todo = self._without_fights(self.frr_part.plan(intent))
        failures, _ = self._carry_out(intent, todo)
        return todo, self.frr_part.settle(intent, todo, failures)

    def _daemon_warnings(self, intent: Intent) -> Iterator[str]:
        file = DAEMONS_FILE.parent / (self.settings.frr_pathspace or "") / DAEMONS_FILE.name
        yield from start_problems(intent.interfaces.values(), Started(self.frr.processes(), file))

    def _without_fights(self, todo: Plan) -> Plan:
        """The repairs, but for those that somebody else keeps undoing."""
        held = self.fights.held(time.monotonic())
        return Plan(tuple(operation for operation in todo.operations if operation.key not in held)) if held else todo

    def _note_repairs(self, done: Plan) -> None:
        succeeded = {o.key: self._device_of(o.resource) for o in done.operations if o.key not in self._failures}
        for key in self.fights.repaired(succeeded, time.monotonic()):
            log.error("somebody else keeps undoing %s: leaving it alone for a while", key)

    def _device_of(self, resource: Resource) -> int:
        """The index of the port that something rests on in the end; 0 where it rests on none."""
        parent = Key("link", resource.link) if isinstance(resource, Ingress) else resource.parent
        while parent is not None and parent in self._intent.kernel:
            resource = self._intent.kernel[parent]
            parent = resource.parent
        name = resource.key.name if parent is None else parent.name
        return self.kernel.seen.indices.get(name, 0)

    def _failed(self) -> list[Operation]:
        """What failed and is tried again with whatever pass comes next."""
        failed = (failure.operation for failure in self._failures.values())
        return [operation for operation in failed if _shows_at_links(operation)]

    def _with_failures(self, scope: Scope) -> Scope:
        indices = self.kernel.observed.indices if self.kernel.observed is not None else {}
        failed = self._failed()
        stages = {_stage(operation) for operation in failed}
        links = {indices[name] for operation in failed for name in _links_of(operation) if name in indices}
        return scope | Scope(frozenset(links), bool(links), "frr" in stages, "firewall" in stages)

    def _plan(self, intent: Intent, owned: Owned, scope: Scope | None) -> Plan:
        if scope is None or self.kernel.observed is None or len(scope.links) > _LINKS_MAX:
            return self._plan_everything(intent, owned)
        keys = changed_keys(self._intent, intent)
        if any(_changes_widely(key, self._intent, intent) for key in keys) or self._touches_widely(scope):
            return self._plan_everything(intent, owned)
        for operation in self._failed():
            keys |= {operation.key, *(Key("link", name) for name in _links_of(operation))}
        return self._plan_scope(intent, owned, scope, keys)

    def _touches_widely(self, scope: Scope) -> bool:
        """Whether something happened to a VRF, a bond or a bond's member, which many links feel."""
        shared = (self.kernel.seen.state.get(key) for key in self._intent.shared if key.kind in WIDE_KINDS)
        names = {name for r in shared if isinstance(r, Vrf | Bond) for name in (r.name, *getattr(r, "members", ()))}
        return any(self.kernel.seen.indices.get(name) in scope.links for name in names)

    def _plan_everything(self, intent: Intent, owned: Owned) -> Plan:
        self._firewall = self._observe_firewall(intent)
        self._before_look()
        self.kernel.look(intent, owned)
        goes = bool(self.kernel.seen.state.keys() - intent.kernel.keys())
        if goes:
            # What goes is first said to FRR, so that its peer hears of it.
            self.frr_part.look(intent, owned)
        return self._plan_observed(intent, with_frr=goes)

    def _plan_observed(self, intent: Intent, *, with_frr: bool) -> Plan:
        """All that differs in one plan, but for what cannot be looked at now."""
        wanted: list[State] = [intent.kernel]
        observed: list[State] = [self.kernel.seen.state]
        if with_frr:
            wanted.append(self.frr_part.wanted(intent))
            observed.append(self.frr_part.observed.blocks or {})
        if self._firewall.state is not None:
            wanted.append(intent.firewall)
            observed.append(self._firewall.state)
        return plan(_together(wanted), _together(observed))

    def _plan_scope(self, intent: Intent, owned: Owned, scope: Scope, keys: set[Key]) -> Plan:
        links = scope.links | self._newly_asked_of(keys)
        touched = self.kernel.look_at_links(links, intent, owned, queues=scope.queues)
        # A link that goes takes along what stands on it, so that must be in sight too.
        touched |= {key.name for key in keys if key.kind == "link"}
        for name in touched:
            keys |= {Key("link", name), Key("port", name), Key("shaper", name), *self.kernel.seen.upon(name)}
            keys.update(intent.own.get(intent.owners.get(name, ""), ()))
        if touched:
            keys |= self.kernel.look_at_routes(intent, touched)
            keys |= self.kernel.look_at_ingress(intent, touched)
        now, seen = intent.kernel, self.kernel.seen.state
        wanted: dict[Key, Resource] = {key: now[key] for key in keys if key in now}
        observed: dict[Key, Resource] = {key: seen[key] for key in keys if key in seen}
        if observed.keys() - wanted.keys():
            # What goes is first said to FRR, so that its peer hears of it.
            self.frr_part.look(intent, owned)
            wanted |= self.frr_part.wanted(intent)
            observed |= self.frr_part.observed.blocks or {}
        if scope.firewall or intent.firewall is not self._intent.firewall:
            self._firewall = self._observe_firewall(intent)
            if self._firewall.state is not None:
                wanted |= intent.firewall
                observed |= self._firewall.state
        return plan(wanted, observed)

    def _newly_asked_of(self, keys: Iterable[Key]) -> set[int]:
        """The links of which a link-local address is asked for the first time: nobody has looked for it yet."""
        asked = {key.name for key in keys if key.kind == "link-local" and key not in self.kernel.seen.state}
        return {self.kernel.seen.indices[name] for name in asked if name in self.kernel.seen.indices}

    def _observe_firewall(self, intent: Intent) -> FirewallObserved:
        try:
            return FirewallObserved(self.firewall.observe(intent.firewall), "")
        except FirewallError as error:
            return FirewallObserved(None, str(error))

    def _carry_out(self, intent: Intent, todo: Plan) -> tuple[list[Failure], Scope]:
        if not todo:
            return [], Scope()
        _log_operations(todo)
        self._remember(intent, todo, self.store.owned())
        return self._execute(todo)

    def _execute(self, todo: Plan) -> tuple[list[Failure], Scope]:
        """Carry the plan out; what failed, and where things changed."""
        failures: list[Failure] = []
        seen = self.kernel.seen
        executor = KernelExecutor(
            self.sock, seen.indices, seen.deletion_group_in_use, highest=self.kernel.highest_index
        )
        told: list[Operation] = []
        stretches = [(stage, list(stretch)) for stage, stretch in groupby(todo.operations, key=_stage)]
        following = [stage for stage, _ in stretches[1:]] + [""]
        for (stage, operations), then in zip(stretches, following, strict=True):
            if stage == "firewall":
                failures += self.firewall.execute(operations)
                continue
            if stage == "frr":
                refused = self.frr_part.execute(operations, told)
                told += operations if not refused else ()
                failures += refused
                continue
            if stage == "upon links":
                self._await_zebra(executor)
            failures += executor.execute(operations, more=(stage, then) == ("links", "upon links"))
            self._have_zebra_list(executor, operations, failures)
        if executor.created:
            self.kernel.highest_index = max(self.kernel.highest_index, *executor.created.values())
            self.store.save_highest_index(self.kernel.highest_index)
        links = {name for operation in todo.operations for name in _links_of(operation)}
        touched = {seen.indices[name] for name in links if name in seen.indices}
        # Known from now on, so that one which goes again before it was looked at is missed.
        seen.indices.update(executor.created)
        touched |= set(executor.created.values())
        stages = {_stage(operation) for operation in todo.operations}
        return failures, Scope(frozenset(touched), True, "frr" in stages, "firewall" in stages)

    def _tell_zebra_again(self) -> None:
        """Make those addresses again that zebra may not have heard of, as it was silent when they were made."""
        unheard, self._unheard = self._unheard, {}
        if not unheard or self.kernel.observed is None:
            return
        executor = KernelExecutor(self.sock, self.kernel.seen.indices, highest=self.kernel.highest_index)
        there = {place: address for place, address in unheard.items() if address.key in self.kernel.seen.state}
        self._have_listed(executor, there)

    def _await_zebra(self, executor: KernelExecutor) -> None:
        try:
            if not wait_for_links(self.frr, executor.created):
                log.warning("zebra does not know the new links yet; their addresses may be late to it")
        except FrrUnavailableError:
            return  # FRR's own part says so
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
        self._have_listed(executor, made)

    def _have_listed(self, executor: KernelExecutor, made: Mapping[tuple[str, str], IpAddress]) -> None:
        try:
            missing = wait_for_addresses(self.frr, made)
            if missing:
                log.warning("zebra missed %d new addresses; making them again", len(missing))
                executor.renew(made[place] for place in missing)
        except FrrUnavailableError:
            self._unheard |= made
        except FrrError as error:
            log.warning("zebra: %s", error)

    def _verify(
        self, intent: Intent, done: Plan, failures: list[Failure], scope: Scope | None
    ) -> tuple[list[Failure], bool]:
        """Look again: whatever was done and still differs, without an error of its own, is a failure too.

        Says also whether something else differs by now of which nobody will tell.
        """
        known = {failure.operation.key for failure in failures}
        attempted = {operation.key for operation in done.operations}
        looks = self.kernel.looks
        left = self._without_fights(self._plan(intent, self.store.owned(), scope)).operations
        # A look at everything lets go of what the kernel has told until then.
        changed_meanwhile = self.kernel.looks > looks and any(
            operation.key not in attempted and operation.key.kind != "link-local" for operation in left
        )
        remaining = [
            Failure(operation, f"was done but is not so: {operation.brief()}", True)
            for operation in left
            if operation.key in attempted and operation.key not in known
        ]
        return remaining, changed_meanwhile

    def _remember(self, intent: Intent, todo: Plan, owned: Owned) -> None:
        """Write down what will be ours before it exists, so that a kill in the middle leaves nothing unknown."""
        for operation in todo.operations:
            if isinstance(operation.before, Sysctl) and isinstance(operation.after, Sysctl):
                owned = owned.with_sysctl(operation.before.path, operation.before.value)
            if isinstance(operation.before, Port) and any(change.attribute == "MTU" for change in operation.changes):
                owned = owned.with_port_mtu(operation.before.name, operation.before.mtu_min)
        if any(_stage(operation) == "frr" for operation in todo.operations):
            owned = self.frr_part.remembered(intent, owned)
        made = {
            r.name for o in todo.operations if isinstance(r := o.after, Link) and r.tag is not None and not o.before
        }
        self.store.save_owned(replace(owned, links=owned.links | made))

    def _forget(self, intent: Intent) -> None:
        """Once something is gone it is no longer ours: a later link of the same name may be anybody's."""
        owned = self.store.owned()
        links = _links(self.kernel.seen.state)
        lines = owned.frr_lines
        if self.frr_part.observed.blocks is not None:
            lines &= self.frr_part.observed.running.lines
        self.store.save_owned(replace(owned, links=links, frr_lines=lines))


def _together(states: list[State]) -> State:
    """Several states as one; a single one is not copied."""
    return states[0] if len(states) == 1 else {key: r for state in states for key, r in state.items()}


def _is_wide(todo: Plan) -> bool:
    return any(operation.key.kind in WIDE_KINDS for operation in todo.operations)


def _changes_widely(key: Key, before: Intent, now: Intent) -> bool:
    """Whether what the order asks for there differs in more than in whom it affects."""
    if key.kind not in WIDE_KINDS:
        return False
    was, wanted = before.kernel.get(key), now.kernel.get(key)
    return was is None or wanted is None or bool(wanted.changes_from(was))


def _shows_at_links(operation: Operation) -> bool:
    """Whether a look at single links (or at FRR, or at the firewall) tells if an operation is still to be done."""
    if _stage(operation) in {"frr", "firewall"}:
        return True
    return operation.key.kind not in WIDE_KINDS and bool(_links_of(operation))


def _links_of(operation: Operation) -> set[str]:
    """The links that an operation is upon."""
    resource = operation.resource
    if isinstance(resource, Ingress):
        return {resource.link, resource.device}
    if isinstance(resource, Route):
        return {hop.link for hop in resource.hops}
    return {key.name for key in (operation.key, resource.parent) if key is not None and key.kind == "link"}


def _log_operations(todo: Plan) -> None:
    for operation in todo.operations[:_LOGGED_OPERATIONS_MAX]:
        log.info(
            "%s %s: %s (%s)", operation.action, operation.key, operation.brief(), operation.reason,
            extra=log_fields(operation),
        )  # fmt: skip
    more = Counter((operation.action, operation.key.kind) for operation in todo.operations[_LOGGED_OPERATIONS_MAX:])
    for (action, kind), count in sorted(more.items()):
        log.info("%s %d more of kind %s", action, count, kind)


def _stage(operation: Operation) -> Literal["firewall", "frr", "links", "upon links"]:
    """Which step of a pass an operation is of: the firewall, FRR, links (and all removal), or what stands on links."""
    if isinstance(operation.resource, (FirewallTable, GatewaySources, Guard)):
        return "firewall"
    if isinstance(operation.resource, FrrBlock):
        return "frr"
    return "upon links" if operation.after is not None and operation.resource.rank >= RANK_ADDRESS else "links"


def _links(state: State) -> frozenset[str]:
    return frozenset(r.name for r in state.values() if isinstance(r, Link) and r.tag is not None and not r.foreign)


def purge_intent(owned: Owned) -> Intent:
    """What should be when nothing is ordered: the settings as they were found, and nothing of ours.

    The daemon's user can write what is noted as owned: a setting that no order makes is left alone.
    """
    kernel: dict[Key, Resource] = {}
    for path, value in owned.sysctl_before.items():
        if path not in SETTINGS or type(value) is not int:
            log.error("%r is noted as a setting to put back, but dcedge never changes it: it is left alone", path)
            continue
        setting = Sysctl(path, value)
        kernel[setting.key] = setting
    for name, mtu in owned.port_mtu_before.items():
        port = Port(name, mtu, False, (), exact=True)
        kernel[port.key] = port
    return replace(NOTHING, kernel=kernel)
