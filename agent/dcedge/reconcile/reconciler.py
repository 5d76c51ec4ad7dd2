"""One pass: observe, plan, execute, verify. Everything in here blocks; the daemon runs it in a worker thread.

The kernel's part comes first, FRR's (`frr_sync.py`) after it: what is wrong with FRR holds up no repair in the kernel.

A full resync observes everything; it is cheap, and changes nothing where nothing differs. An incremental pass observes
the dirty set alone: the links that the kernel's events named, and what the order asks for differently.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

from dcedge.firewall.nft import Firewall
from dcedge.frr.daemons_file import DAEMONS_FILE
from dcedge.frr.observe import warnings
from dcedge.frr.start_file import forwarding_warnings
from dcedge.frr.started import Started, start_problems
from dcedge.frr.vty import FrrClient
from dcedge.kernel import proc_sys
from dcedge.kernel.capabilities import capabilities
from dcedge.kernel.context import Failure
from dcedge.kernel.culprit import Culprits
from dcedge.kernel.host import Host, is_accept_ra
from dcedge.kernel.link.resource import Link
from dcedge.kernel.link.view import carrier_changes
from dcedge.kernel.port.cards import PortCards
from dcedge.kernel.port.hardware import ports_of
from dcedge.kernel.port.names import port_names
from dcedge.kernel.port.resource import Port
from dcedge.kernel.port.speeds import PortSpeeds
from dcedge.kernel.resource import KernelResource
from dcedge.kernel.sysctl.derive import ACCEPT_REDIRECTS, IPV4_FORWARDING, SETTINGS
from dcedge.kernel.sysctl.resource import Sysctl
from dcedge.netlink.socket import RouteSocket
from dcedge.order.credentials import Secret, read_credentials
from dcedge.order.model import Credential, Order
from dcedge.plan.diff import Operation, Plan, plan
from dcedge.plan.resource import Key, Resource, State
from dcedge.reconcile import clock
from dcedge.reconcile.desired import NOTHING, Intent, credentials_of, derive
from dcedge.reconcile.drift import PortState
from dcedge.reconcile.execution import Execution
from dcedge.reconcile.frr_sync import FrrSync
from dcedge.reconcile.kernel_sync import KernelSync
from dcedge.reconcile.observer import Comparison, Observer
from dcedge.reconcile.operations import is_wide, retried, shows_at_links
from dcedge.reconcile.result import DirtySet, Meanwhile, PassRequest, PassResult, Preview
from dcedge.reconcile.state.formats import Owned, Runtime
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings

log = logging.getLogger(__name__)

FULL_RESYNC = PassRequest(ordered=True)


class Reconciler:
    """Takes one router to its order, one caller at a time.

    `before_resync` is called before each full resync. `sock`, `firewall` and `speeds` are this network
    namespace's where none are given.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        frr: FrrClient,
        before_resync: Callable[[], None] = lambda: None,
        *,
        sock: RouteSocket | None = None,
        firewall: Firewall | None = None,
        speeds: PortSpeeds | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.frr = frr
        self.sock = sock if sock is not None else RouteSocket()
        self.kernel_has = capabilities(self.sock)
        self._cards = PortCards(self.sock)
        self._speeds = speeds if speeds is not None else PortSpeeds(self.sock)
        firewall = firewall if firewall is not None else Firewall()
        self.kernel = KernelSync(self.sock, store)
        self.frr_sync = FrrSync(frr, store)
        self._observer = Observer(store, self.kernel, self.frr_sync, firewall, before_resync)
        self._execution = Execution(store, self.kernel, self.frr_sync, firewall)
        self.handed_over: Mapping[Credential, Secret] = {}  # by root, who can read what this process may not

    def close(self) -> None:
        """Close the sockets."""
        self.sock.close()
        self._speeds.close()

    def intent(
        self,
        order: Order,
        runtime: Runtime,
        kept_secrets: Mapping[Credential, Secret] = MappingProxyType({}),
        *,
        reread_host: bool = True,
    ) -> Intent:
        """The intent, with the credentials as they are on disk now; `kept_secrets` go before them.

        Without `reread_host` the router is taken to be as it was before. Raises KernelError.
        """
        intended = set(credentials_of(order)) - kept_secrets.keys()
        secrets, problems = read_credentials(intended, self.settings.credentials, self.handed_over)
        secrets = {**secrets, **kept_secrets}
        previous = self._observer.last_intent
        known = self.kernel.observed.indices if self.kernel.observed is not None else {}
        ports = port_names(self.sock, ports_of(order), known, previous.ports)
        host, cards = previous.host, previous.cards
        if reread_host:
            own = {name: ports.get(name, name) for name in ports_of(order)}
            speeds = {name: speed for name, speed in previous.host.speeds.items() if name in own.values()}
            speeds |= self._speeds.read(own.values())
            owned = self.store.owned()
            host = replace(Host.read(self.sock, owned.sysctl_before), speeds=speeds)
            cards = self._cards.compare(own, known, owned.cards)
        ports |= {other.port: other.stand_in for other in cards.others}
        intent = derive(
            order, runtime, secrets, problems, kernel_has=self.kernel_has, host=host, ports=ports, previous=previous
        )
        return replace(intent, cards=cards)

    def preview(self, intent: Intent) -> Preview:
        """What a pass would do; changes nothing."""
        compared = self._observer.compare_everything(intent, self.store.owned(), with_frr=True)
        return Preview(
            intent,
            _plan(compared),
            self.frr_sync.observed.detail,
            self._observer.firewall.detail,
            (*self.kernel.in_the_way, *_kernel_warnings(intent, self.kernel.seen.state)),
        )

    def run(self, intent: Intent, request: PassRequest = FULL_RESYNC, meanwhile: Meanwhile | None = None) -> PassResult:
        """One pass: a full resync or (with a dirty set) an incremental one.

        A full resync that is to bring about nothing new gives way to others `meanwhile`. What cannot be done is in the
        result; raises KernelError where the kernel cannot be observed.
        """
        try:
            return self._run(intent, request, meanwhile)
        except BaseException:
            self.kernel.forget()  # what is remembered may not be so: the next pass is a full resync
            raise

    def save_frr(self, intent: Intent) -> None:
        """Have FRR save what it runs with, if that is as ordered; changes nothing else."""
        self.frr_sync.observe(intent, self.store.owned())
        if not self.frr_sync.plan(intent):
            self.frr_sync.settle(intent, Plan(()), ())

    def _run(self, intent: Intent, request: PassRequest, meanwhile: Meanwhile | None = None) -> PassResult:
        started = time.monotonic()
        before, resyncs = self._observer.last_intent, self.kernel.resyncs
        anew = intent.order is not before.order or intent.runtime != before.runtime
        suppressed = frozenset() if anew else request.suppressed
        failed = retried(failure.operation for failure in request.failures)
        standing = {f.operation.key: f for f in request.failures if not shows_at_links(f.operation)}
        dirty = self._dirty_set(request, failed, full=anew and bool(standing))
        with self._giving_way(intent, None if anew or self.kernel.observed is None else meanwhile):
            compared = self._observer.compare(intent, dirty, failed)
        todo = _without(suppressed, _plan(compared))
        if self.kernel.resyncs > resyncs:
            standing = {}  # everything was observed
        self._observer.pass_begins(intent)
        failures, touched = self._execution.carry_out(intent, todo)
        executed = time.monotonic() - started
        changed_meanwhile = False
        if todo:
            repaired = dirty is not None and dirty.settings and not anew
            wide = any(is_wide(operation.resource, repaired=repaired) for operation in todo.operations)
            dirty_now = None if wide else touched | DirtySet(settings=repaired)
            left, changed_meanwhile = self._left(intent, todo, dirty_now, failed, suppressed)
            failures += _not_so(left, todo, failures, Culprits(self.sock))
        if dirty is None or dirty.frr or touched.frr or intent.frr != before.frr:
            rest, more = self._run_frr(intent, suppressed)
            failures, todo = failures + more, Plan(todo.operations + rest.operations)
        for operation in todo.operations:
            standing.pop(operation.key, None)
        failed_now = standing | {failure.operation.key: failure for failure in failures}
        self._forget_what_is_gone(intent)
        frr = self.frr_sync.observed
        return PassResult(
            finished=clock.now(),
            executed=executed,
            duration=time.monotonic() - started,
            intent=intent,
            indices=dict(self.kernel.seen.indices),  # others read it while the next pass is under way
            done=todo,
            failures=tuple(failed_now.values()),
            frr_available=frr.blocks is not None,
            frr_detail=frr.detail,
            firewall_detail=self._observer.firewall.detail,
            frr_unsaved=self.frr_sync.saving.unsaved,
            changed_meanwhile=changed_meanwhile,
            warnings=(
                *_kernel_warnings(intent, self.kernel.seen.state),
                *warnings(frr.running),
                *self._daemon_warnings(intent),
                *self.frr_sync.warnings(),
            ),
            anew=anew,
            repaired={} if anew else self._repaired(intent, todo, failed_now),
        )

    @contextmanager
    def _giving_way(self, intent: Intent, meanwhile: Meanwhile | None) -> Iterator[None]:
        """While everything is observed, others' passes are made between two questions, for the same intent."""
        nobody = self.kernel.give_way

        def give_way() -> None:
            request = meanwhile.take(self._observer.is_narrow) if meanwhile is not None else None
            if meanwhile is None or request is None:
                return
            self.kernel.give_way = nobody
            meanwhile.ended(self._run(intent, request))
            self.kernel.give_way = give_way

        self.kernel.give_way = give_way
        try:
            yield
        finally:
            self.kernel.give_way = nobody

    def _dirty_set(self, request: PassRequest, failed: Iterable[Operation], *, full: bool) -> DirtySet | None:
        """What this pass observes; None: everything, as where nothing is known (any more), not of FRR either."""
        if request.dirty is None or full or self.kernel.observed is None:
            return None
        return self._observer.with_retries(request.dirty, failed)

    def _run_frr(self, intent: Intent, suppressed: frozenset[Key]) -> tuple[Plan, list[Failure]]:
        """FRR's part, which comes when the kernel's is done and never holds that up; what was done, what failed."""
        self._execution.announce_missed_addresses()
        self.frr_sync.observe(intent, self.store.owned())
        todo = _without(suppressed, self.frr_sync.plan(intent))
        failures, _ = self._execution.carry_out(intent, todo)
        return todo, self.frr_sync.settle(intent, todo, failures)

    def _left(
        self,
        intent: Intent,
        done: Plan,
        dirty: DirtySet | None,
        failed: Iterable[Operation],
        suppressed: frozenset[Key],
    ) -> tuple[Plan, bool]:
        """Observe again: what differs still, and whether something else does by now for which no event will come."""
        attempted = {operation.key for operation in done.operations}
        resyncs = self.kernel.resyncs
        left = _without(suppressed, _plan(self._observer.compare(intent, dirty, failed)))
        # A full resync drops the events that the kernel has sent until then.
        changed_meanwhile = self.kernel.resyncs > resyncs and any(
            operation.key not in attempted and operation.key.type != "link-local" for operation in left.operations
        )
        return left, changed_meanwhile

    def _repaired(self, intent: Intent, done: Plan, failed: Mapping[Key, Failure]) -> dict[Key, PortState]:
        """What was repaired, each with the port under it as it is now: what stands on it goes with its carrier."""
        states: dict[str, PortState] = {}
        repaired = {}
        for operation in done.operations:
            if operation.key in failed:
                continue
            port = self._observer.port_under(operation.resource, intent)
            if port not in states:
                index = self.kernel.seen.indices.get(port, 0)
                states[port] = PortState(index, carrier_changes(self.sock, index) if index else 0)
            itself = operation.key.name == port  # whoever sets it down and down again undoes what is ordered
            repaired[operation.key] = replace(states[port], carrier_changes=0) if itself else states[port]
        return repaired

    def _daemon_warnings(self, intent: Intent) -> Iterator[str]:
        file = DAEMONS_FILE.parent / (self.settings.frr_pathspace or "") / DAEMONS_FILE.name
        yield from start_problems(intent.interfaces.values(), Started(self.frr.processes(), file), self.frr_sync.others)
        versions = {pair.customer.version for one in intent.interfaces.values() for pair in one.addresses}
        yield from forwarding_warnings(file.parent, versions)

    def _forget_what_is_gone(self, intent: Intent) -> None:
        """Once something is gone it is no longer ours: a later link of the same name may be anybody's."""
        owned = self.store.owned()
        lines = owned.frr_lines
        if self.frr_sync.observed.blocks is not None:
            lines &= self.frr_sync.observed.running.lines
        links = _our_links(self.kernel.seen.state)
        ports = {
            name: found for name, found in owned.ports_found.items() if Key("link", name) in self.kernel.seen.state
        }
        ordered = ports_of(intent.order) if intent.order is not None else ()
        cards = {name: card for name, card in owned.cards.items() if name in ordered}
        cards.update(intent.cards.as_ordered)
        self.store.save_owned(replace(owned, links=links, frr_lines=lines, ports_found=ports, cards=cards))


def _plan(compared: Comparison) -> Plan:
    return plan(compared.intended, compared.observed)


def _without(suppressed: frozenset[Key], todo: Plan) -> Plan:
    """A plan without the suppressed repairs."""
    if not suppressed:
        return todo
    return Plan(tuple(operation for operation in todo.operations if operation.key not in suppressed))


def _not_so(left: Plan, done: Plan, failures: Iterable[Failure], culprits: Culprits) -> list[Failure]:
    """Whatever was done and still differs, without an error of its own, is a failure too."""
    known = {failure.operation.key for failure in failures}
    attempted = {operation.key for operation in done.operations}
    return [
        Failure(
            operation,
            culprits.altname_taken(operation.resource) or f"was acknowledged, but had no effect: {operation.brief()}",
            True,
        )
        for operation in left.operations
        if operation.key in attempted and operation.key not in known
    ]


def _kernel_warnings(intent: Intent, state: State) -> Iterator[str]:
    """What others have set that stops traffic of ours."""
    yield from map(str, intent.cards.others)
    yield from intent.host.for_all.warnings()
    for key, intended in intent.kernel.items():
        there = state.get(key)
        if there is not None and isinstance(intended, KernelResource):
            yield from intended.warnings(there, intent.host.for_all)


def _our_links(state: State) -> frozenset[str]:
    return frozenset(r.name for r in state.values() if isinstance(r, Link) and r.tag is not None and not r.foreign)


def purge_intent(owned: Owned) -> Intent:
    """What should be when nothing is ordered: the settings as they were found, and nothing of ours.

    The daemon's user can write what is noted as owned: a setting that no order makes is left alone. So is one that went
    with its link.
    """
    kernel: dict[Key, Resource] = {}
    settings = dict(owned.sysctl_before)
    redirects = settings.pop(ACCEPT_REDIRECTS, None)
    for path, value in settings.items():
        if not (path in SETTINGS or is_accept_ra(path)) or type(value) is not int:
            log.error("the state file has %r as a setting to restore, but dcedge never changes it: ignored", path)
            continue
        if proc_sys.read(path) is None:
            continue
        setting = Sysctl(path, value)
        if path == IPV4_FORWARDING.path and redirects in {0, 1}:
            setting = replace(setting, along=(ACCEPT_REDIRECTS, redirects))
        kernel[setting.key] = setting
    for name, mtu in owned.port_mtu_before.items():
        port = Port(name, mtu, False, (), exact=True)
        kernel[port.key] = port
    return replace(NOTHING, kernel=kernel)
