"""Carrying a plan out, step by step: firewall, FRR where something goes, links, and what depends on links."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from dcedge.firewall.nft import Firewall
from dcedge.kernel import proc_sys
from dcedge.kernel.context import Failure
from dcedge.kernel.execute import KernelExecutor
from dcedge.kernel.link.resource import Found, Link
from dcedge.kernel.link.sysctls import IPV6_CONF
from dcedge.kernel.naming import ALIAS_PREFIX
from dcedge.kernel.port.resource import Port
from dcedge.kernel.sysctl.derive import ACCEPT_REDIRECTS, IPV4_FORWARDING
from dcedge.kernel.sysctl.resource import Sysctl
from dcedge.plan.diff import Operation, Plan
from dcedge.reconcile.desired import Intent
from dcedge.reconcile.frr_sync import FrrSync
from dcedge.reconcile.kernel_sync import KernelSync
from dcedge.reconcile.operations import PassStep, links_made, links_of, log_operations, step_of
from dcedge.reconcile.result import DirtySet
from dcedge.reconcile.state.formats import Owned
from dcedge.reconcile.state.store import Store
from dcedge.reconcile.zebra_sync import ZebraSync


class Execution:
    """Changes the router. What will be ours is written down before it is made."""

    def __init__(self, store: Store, kernel: KernelSync, frr: FrrSync, firewall: Firewall) -> None:
        self._store = store
        self._kernel = kernel
        self._frr = frr
        self._firewall = firewall
        self._zebra = ZebraSync(frr.client)

    def carry_out(self, intent: Intent, todo: Plan) -> tuple[list[Failure], DirtySet]:
        """Carry a plan out; what failed, and where things changed."""
        if not todo:
            return [], DirtySet()
        log_operations(todo)
        self._remember(intent, todo)
        executor = self._executor()
        failures = self._take_steps(executor, todo)
        if executor.created:
            self._kernel.note_indices(executor.created.values())
            self._store.save_highest_index(self._kernel.highest_index)
        return failures, self._touched(executor, todo)

    def announce_missed_addresses(self) -> None:
        """Make those addresses again that zebra may have missed, as it was silent when they were made."""
        missed = self._zebra.take_missed()
        if missed and self._kernel.observed is not None:
            there = {place: one for place, one in missed.items() if one.key in self._kernel.seen.state}
            self._zebra.announce(self._executor(), there)

    def _executor(self) -> KernelExecutor:
        seen = self._kernel.seen
        return KernelExecutor(
            self._kernel.sock,
            seen.indices,
            seen.deletion_group_in_use,
            vrfs_emptied=self._zebra.await_no_routes,
            highest=self._kernel.highest_index,
        )

    def _take_steps(self, executor: KernelExecutor, todo: Plan) -> list[Failure]:
        failures: list[Failure] = []
        told: list[Operation] = []  # to FRR, so far
        stretches = [(step, list(stretch)) for step, stretch in groupby(todo.operations, key=step_of)]
        following = [step for step, _ in stretches[1:]] + [None]
        for (step, operations), then in zip(stretches, following, strict=True):
            if step is PassStep.FIREWALL:
                failures += self._firewall.execute(operations)
                continue
            if step is PassStep.FRR:
                refused = self._frr.execute(operations, told)
                told += operations if not refused else ()
                failures += refused
                continue
            if step is PassStep.ON_LINKS:
                self._zebra.await_links(executor)
            failures += executor.execute(operations, more=(step, then) == (PassStep.LINKS, PassStep.ON_LINKS))
            self._zebra.await_addresses(executor, operations, failures)
        return failures

    def _touched(self, executor: KernelExecutor, todo: Plan) -> DirtySet:
        indices = self._kernel.seen.indices
        links = {name for operation in todo.operations for name in links_of(operation)}
        touched = {indices[name] for name in links if name in indices}
        # Known from now on, so that one which goes again before it was looked at is missed.
        indices.update(executor.created)
        touched |= set(executor.created.values())
        steps = {step_of(operation) for operation in todo.operations}
        return DirtySet(frozenset(touched), True, PassStep.FRR in steps, PassStep.FIREWALL in steps)

    def _remember(self, intent: Intent, todo: Plan) -> None:
        """Write down what will be ours before it exists, so that a kill in the middle leaves nothing unknown."""
        owned = self._store.owned()
        for operation in todo.operations:
            before = operation.before
            if isinstance(before, Sysctl) and isinstance(operation.after, Sysctl):
                owned = owned.with_sysctl(before.path, before.value)
                if before.key == IPV4_FORWARDING.key and (redirects := proc_sys.read(ACCEPT_REDIRECTS)) is not None:
                    owned = owned.with_sysctl(ACCEPT_REDIRECTS, redirects)
            if isinstance(before, Port) and any(change.attribute == "MTU" for change in operation.changes):
                found = owned.ports_found.get(before.name)
                owned = owned.with_port_mtu(before.name, before.mtu_min if found is None else found.mtu)
        ports = [o.before for o in todo.operations if isinstance(o.before, Link) and _becomes_ours(o.before, o)]
        owned = owned.with_ports(
            {port.name: _found(port, owned) for port in ports if port.name not in owned.ports_found}
        )
        if any(step_of(operation) is PassStep.FRR for operation in todo.operations):
            owned = self._frr.remembered(intent, owned)
        self._store.save_owned(replace(owned, links=owned.links | links_made(todo)))


def _becomes_ours(port: Link, operation: Operation) -> bool:
    """Whether a port of others becomes an untagged virtual interface's now."""
    return port.tag is None and operation.after is not None and not port.alias.startswith(ALIAS_PREFIX)


def _found(port: Link, owned: Owned) -> Found:
    """What a port is like; its MTU is the one that it had before any order changed it."""
    read = ((name, proc_sys.read(f"net/ipv6/conf/{port.name}/{name}")) for name, _ in IPV6_CONF)
    conf6 = tuple((name, value) for name, value in read if value is not None)
    return Found(port.alias, owned.port_mtu_before.get(port.name, port.mtu), port.conf4, conf6, port.up)
