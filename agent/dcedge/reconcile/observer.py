"""Observed state beside intended state: of everything, or of the dirty set.

Between passes it is remembered what was observed, so that an incremental pass observes little and compares with that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dcedge.firewall.nft import Firewall, FirewallError
from dcedge.kernel.resource import KernelResource
from dcedge.plan.diff import Operation
from dcedge.plan.resource import Key, Resource, State
from dcedge.reconcile.desired import NOTHING, Intent, changed_keys
from dcedge.reconcile.frr_sync import FrrSync
from dcedge.reconcile.kernel_sync import KernelSync
from dcedge.reconcile.operations import PassStep, is_wide, links_of, step_of
from dcedge.reconcile.result import DirtySet
from dcedge.reconcile.state.formats import Owned
from dcedge.reconcile.state.store import Store

_LINKS_MAX = 64  # with more dirty links than this, a full resync is cheaper


@dataclass(frozen=True, slots=True)
class FirewallObserved:
    """nftables' side: `state` is None where it cannot be had; `detail` says why."""

    state: State | None
    detail: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What should be, and what is, as far as it was observed."""

    intended: State
    observed: State


class Observer:
    """Observes the kernel, the firewall and FRR. `before_resync` is called before each full resync."""

    def __init__(
        self, store: Store, kernel: KernelSync, frr: FrrSync, firewall: Firewall, before_resync: Callable[[], None]
    ) -> None:
        self._store = store
        self._kernel = kernel
        self._frr = frr
        self._nftables = firewall
        self._before_resync = before_resync
        self._intent: Intent = NOTHING  # of the pass before
        self.firewall = FirewallObserved(None, "not queried yet")

    @property
    def last_intent(self) -> Intent:
        """What the pass before was to bring about."""
        return self._intent

    def pass_begins(self, intent: Intent) -> None:
        """From now on changes are those from this intent."""
        self._intent = intent

    def with_retries(self, dirty: DirtySet, failed: Iterable[Operation]) -> DirtySet:
        """The dirty set, and what belongs to failed operations that are tried again."""
        failed = list(failed)
        indices = self._kernel.observed.indices if self._kernel.observed is not None else {}
        steps = {step_of(operation) for operation in failed}
        links = {indices[name] for operation in failed for name in links_of(operation) if name in indices}
        return dirty | DirtySet(frozenset(links), bool(links), PassStep.FRR in steps, PassStep.FIREWALL in steps)

    def is_narrow(self, dirty: DirtySet) -> bool:
        """Whether a dirty set is of few links that few others feel, and of nothing else but the router's settings."""
        if dirty.frr or dirty.firewall or len(dirty.links) > _LINKS_MAX:
            return False
        return not self._touches_widely(dirty)

    def compare(self, intent: Intent, dirty: DirtySet | None, failed: Iterable[Operation]) -> Comparison:
        """Observe the dirty set; everything without one, and where it would not show the whole."""
        owned = self._store.owned()
        if dirty is None or self._kernel.observed is None or len(dirty.links) > _LINKS_MAX:
            return self.compare_everything(intent, owned)
        keys = changed_keys(self._intent, intent)
        if any(_changes_widely(key, self._intent, intent) for key in keys) or self._touches_widely(dirty):
            return self.compare_everything(intent, owned)
        for operation in failed:
            keys |= {operation.key, *(Key("link", name) for name in links_of(operation))}
        return self._compare_dirty(intent, owned, dirty, keys)

    def compare_everything(self, intent: Intent, owned: Owned, *, with_frr: bool = False) -> Comparison:
        """Observe all of the kernel and the firewall; FRR too where asked, or where something is deleted.

        FRR is told of a deletion first, so that its peer hears of it.
        """
        self.firewall = self._observe_firewall(intent)
        self._before_resync()
        self._kernel.observe(intent, owned)
        with_frr = with_frr or bool(self._kernel.seen.state.keys() - intent.kernel.keys())
        intended: list[State] = [intent.kernel]
        observed: list[State] = [self._kernel.seen.state]
        if with_frr:
            self._frr.observe(intent, owned)
            intended.append(self._frr.intended(intent))
            observed.append(self._frr.observed.blocks or {})
        if self.firewall.state is not None:
            intended.append(intent.firewall)
            observed.append(self.firewall.state)
        return Comparison(_together(intended), _together(observed))

    def port_under(self, resource: Resource, intent: Intent) -> str:
        """The name of the port that a resource depends on in the end; its own where it depends on none."""
        parent = resource.parent
        if parent is None and isinstance(resource, KernelResource) and resource.links:
            parent = Key("link", resource.links[0])
        while parent is not None and parent in intent.kernel:
            resource = intent.kernel[parent]
            parent = resource.parent
        return resource.key.name if parent is None else parent.name

    def _touches_widely(self, dirty: DirtySet) -> bool:
        """Whether something happened to a VRF, a bond or a bond's member, which many links feel."""
        seen = self._kernel.seen.state
        shared = [seen[key] for key in self._intent.shared if key in seen]
        names = {name for r in shared if isinstance(r, KernelResource) for name in r.felt_by_many}
        return any(self._kernel.seen.indices.get(name) in dirty.links for name in names)

    def _compare_dirty(self, intent: Intent, owned: Owned, dirty: DirtySet, keys: set[Key]) -> Comparison:
        links = dirty.links | self._newly_asked_of(keys)
        touched = self._kernel.observe_links(links, intent, owned, queues=dirty.queues)
        # The kernel deletes a link's children with it, so they must be in sight too.
        touched |= {key.name for key in keys if key.type == "link"}
        for name in touched:
            keys |= {Key("link", name), Key("port", name), Key("shaper", name), *self._kernel.seen.children(name)}
            keys.update(intent.own.get(intent.owners.get(name, ""), ()))
        if touched:
            keys |= self._kernel.observe_routes(intent, touched)
            keys |= self._kernel.observe_ingress(intent, touched)
        if dirty.settings:
            keys |= self._kernel.observe_settings(intent)
        now, seen = intent.kernel, self._kernel.seen.state
        intended: dict[Key, Resource] = {key: now[key] for key in keys if key in now}
        observed: dict[Key, Resource] = {key: seen[key] for key in keys if key in seen}
        if observed.keys() - intended.keys():
            self._frr.observe(intent, owned)
            intended |= self._frr.intended(intent)
            observed |= self._frr.observed.blocks or {}
        if dirty.firewall or intent.firewall is not self._intent.firewall:
            self.firewall = self._observe_firewall(intent)
            if self.firewall.state is not None:
                intended |= intent.firewall
                observed |= self.firewall.state
        return Comparison(intended, observed)

    def _newly_asked_of(self, keys: Iterable[Key]) -> set[int]:
        """The links of which a link-local address is asked for the first time: nobody has looked for it yet."""
        asked = {key.name for key in keys if key.type == "link-local" and key not in self._kernel.seen.state}
        return {self._kernel.seen.indices[name] for name in asked if name in self._kernel.seen.indices}

    def _observe_firewall(self, intent: Intent) -> FirewallObserved:
        try:
            return FirewallObserved(self._nftables.observe(intent.firewall), "")
        except FirewallError as error:
            return FirewallObserved(None, str(error))


def _together(states: list[State]) -> State:
    """Several states as one; a single one is not copied."""
    return states[0] if len(states) == 1 else {key: r for state in states for key, r in state.items()}


def _changes_widely(key: Key, before: Intent, now: Intent) -> bool:
    """Whether what the order asks for there differs in more than in whom it affects."""
    was, intended = before.kernel.get(key), now.kernel.get(key)
    if was is None or intended is None:
        return any(is_wide(resource) for resource in (was, intended) if resource is not None)
    return is_wide(intended) and bool(intended.changes_from(was))
