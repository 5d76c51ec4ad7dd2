"""The intent: all that should exist for an order and a runtime. Pure; the credentials come in as values.

What an unchanged part of the order asked for is taken over from the previous intent, object for object: a change of
one virtual interface among thousands costs what that one costs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from operator import is_, is_not
from typing import Generic, TypeVar, cast

from dcedge.bgp.bfd import place_of
from dcedge.bgp.render import derive_frr
from dcedge.bgp.resources import FrrBlock
from dcedge.credentials import CredentialError, Secret
from dcedge.firewall.derive import Change, concerns_all, derive_firewall
from dcedge.kernel.capabilities import Capabilities
from dcedge.kernel.derive import interface_resources, shared_resources
from dcedge.kernel.naming import interface_link
from dcedge.kernel.objects import Port
from dcedge.kernel.sharing import NO_LOADS, Loads, shared_shapers
from dcedge.layered import changed
from dcedge.order.model import Credential, Order, VirtualInterface
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.order.roster import Roster
from dcedge.resource import Key, Resource, State
from dcedge.store import Runtime

T = TypeVar("T")


class Later(Generic[T]):
    """A value that is worked out when it is first asked for; what that takes is let go of then."""

    __slots__ = ("_make", "_value")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make: Callable[[], T] | None = make
        self._value: T | None = None

    def get(self) -> T:
        """The value."""
        if self._make is not None:
            self._value, self._make = self._make(), None
        return cast("T", self._value)


@dataclass(frozen=True, slots=True)
class Intent:
    """What should be in the kernel and in FRR.

    `keys` are the kernel objects that a virtual interface has for itself, `shared` the others; `owners` says by link
    whose it is. The virtual interfaces in `withheld` lack a usable credential: a session of theirs that runs stays as
    it is, a new one is shut. FRR's part is derived when it is asked for, so that the kernel's need not wait for it.
    `differing` are the virtual interfaces that are not as the order `since` had them.
    """

    order: Order | None
    runtime: Runtime
    interfaces: Mapping[str, ResolvedInterface]
    kernel: Mapping[Key, Resource]
    keys: Mapping[str, tuple[Key, ...]]
    shared: tuple[Key, ...]
    owners: Mapping[str, str]
    later_frr: Later[Mapping[Key, FrrBlock]]
    firewall: State
    withheld: Mapping[str, CredentialError]
    secrets: Mapping[Credential, Secret]
    loads: Loads
    roster: Roster
    credentials: Mapping[str, tuple[Credential, ...]]
    since: Order | None
    differing: Collection[str]

    @property
    def frr(self) -> Mapping[Key, FrrBlock]:
        """FRR's part. Raises FrrRenderError."""
        return self.later_frr.get()


NOTHING = Intent(None, Runtime(), {}, {}, {}, (), {}, Later(dict), {}, {}, {}, NO_LOADS, Roster(), {}, None, ())


def credentials_of(order: Order) -> Iterable[Credential]:
    """Every credential the order refers to."""
    return (credential for vi in order.virtual_interfaces.values() for credential in _credentials(vi))


def credentials_by_interface(
    order: Order, previous: Intent, differing: Collection[str]
) -> Mapping[str, tuple[Credential, ...]]:
    """What virtual interfaces refer to, by name, where they do."""
    found = {
        name: needed
        for name in differing
        if (vi := order.virtual_interfaces.get(name)) is not None and (needed := tuple(_credentials(vi)))
    }
    return changed(previous.credentials, (name for name in differing if name in previous.credentials), found)


def _credentials(vi: VirtualInterface) -> Iterable[Credential]:
    if vi.bgp is not None and vi.bgp.password is not None:
        yield vi.bgp.password
    for pair in vi.addresses:
        if pair.password is not None:
            yield pair.password


def derive(
    order: Order,
    runtime: Runtime,
    secrets: Mapping[Credential, Secret],
    problems: Mapping[Credential, CredentialError],
    *,
    kernel_has: Capabilities,
    previous: Intent = NOTHING,
    differing: Collection[str] | None = None,
) -> Intent:
    """The intent for an order and a runtime; `previous` must come from the same kernel.

    `differing`: what `differing_interfaces` says of the two, where it is known already.
    """
    if differing is None:
        differing = differing_interfaces(order, previous)
    gone = [previous.interfaces[name] for name in differing if name in previous.interfaces]
    come = [resolve_interface(order, name) for name in differing if name in order.virtual_interfaces]
    interfaces = changed(previous.interfaces, (was.name for was in gone), {now.name: now for now in come})
    listed = tuple(order.virtual_interfaces)
    if listed != previous.roster.names and listed != tuple(interfaces):
        interfaces = {name: interfaces[name] for name in listed}
    own = {now.name: {r.key: r for r in interface_resources(now, kernel_has)} for now in come}
    keys = changed(
        previous.keys, (was.name for was in gone), {name: tuple(resources) for name, resources in own.items()}
    )
    owners = changed(
        previous.owners, (interface_link(was) for was in gone), {interface_link(now): now.name for now in come}
    )
    goes = [key for was in gone for key in previous.keys[was.name]]
    comes = {key: resource for resources in own.values() for key, resource in resources.items()}
    loads = previous.loads.changed(gone, come) if differing else previous.loads
    roster = previous.roster.changed(gone, come, listed)
    crowded = loads.crowded()
    shared, firewall = previous.shared, previous.firewall
    if (
        runtime != previous.runtime
        or not _differ_in_rate_only(gone, come)
        or (differing and (crowded or previous.loads.crowded()))
    ):
        made = shared_resources(roster, kernel_has, withdrawn=runtime.withdrawn, drained=runtime.drained)
        trees = shared_shapers(interfaces.values() if crowded else (), kernel_has, crowded)
        resources: dict[Key, Resource] = {r.key: r for r in (*made, *trees)}
        goes += previous.shared
        for key, resource in resources.items():
            before = previous.kernel.get(key)
            comes[key] = before if before is not None and _equal(before, resource) else resource
        shared = tuple(resources)
        firewall = _firewall(order, roster, (gone, come), interfaces, previous)

    def frr() -> Mapping[Key, FrrBlock]:
        unchanged: Collection[str] = ()
        if secrets == previous.secrets and order.router == (previous.order.router if previous.order else None):
            unchanged = interfaces.keys() - set(differing) - (runtime.drained ^ previous.runtime.drained)
            unchanged -= _with_sessions(interfaces.values(), runtime.bfd_waits ^ previous.runtime.bfd_waits)
        return derive_frr(
            interfaces.values(),
            order.router,
            secrets,
            runtime.drained,
            unchanged,
            previous.frr,
            bfd_waits=runtime.bfd_waits,
        )

    return Intent(
        order=order,
        runtime=runtime,
        interfaces=interfaces,
        kernel=changed(previous.kernel, goes, comes),
        keys=keys,
        shared=shared,
        owners=owners,
        later_frr=Later(frr),
        firewall=firewall,
        withheld={
            interface.name: problems[session.password]
            for interface in (interfaces.values() if problems else ())
            for session in interface.sessions
            if session.password is not None and session.password in problems
        },
        secrets=secrets,
        loads=loads,
        roster=roster,
        credentials=credentials_by_interface(order, previous, differing),
        since=previous.order,
        differing=differing,
    )


def _with_sessions(interfaces: Iterable[ResolvedInterface], places: Collection[str]) -> set[str]:
    """The virtual interfaces that have one of these sessions."""
    if not places:
        return set()
    return {one.name for one in interfaces if any(place_of(one.vrf, s.cloud) in places for s in one.sessions)}


def _firewall(
    order: Order, roster: Roster, change: Change, interfaces: Mapping[str, ResolvedInterface], previous: Intent
) -> State:
    same_frame = previous.order is not None and _same_frame(order, previous.order)
    if same_frame and not concerns_all(roster, change, previous.firewall):
        return derive_firewall(roster, order, change, previous.firewall)
    return derive_firewall(roster, order, ((), tuple(interfaces.values())))


def changed_keys(before: Intent, now: Intent) -> set[Key]:
    """The kernel objects that one intent asks for differently from another."""
    keys = {key for key in (*before.shared, *now.shared) if before.kernel.get(key) is not now.kernel.get(key)}
    if now is before:
        return keys
    names: Collection[str] = now.differing
    if now.since is not before.order:
        names = before.interfaces.keys() | now.interfaces.keys()
    for name in names:
        if before.interfaces.get(name) is not now.interfaces.get(name):
            keys.update(before.keys.get(name, ()), now.keys.get(name, ()))
    return keys


def differing_interfaces(order: Order, previous: Intent) -> set[str]:
    """The virtual interfaces that are not, with all they refer to, the very same objects as before."""
    before = previous.order
    if order is before:
        return set()
    now = order.virtual_interfaces
    if before is None or not _same_frame(order, before):
        return now.keys() | previous.interfaces.keys()
    if order.digests.since is before.digests.mark:
        return set(order.digests.changed)
    was = before.virtual_interfaces
    # Nearly all of thousands are the same, so no statement is run for each; names are interned.
    in_order = len(now) == len(was) and all(map(is_, now, was))
    others = was.values() if in_order else map(was.get, now)
    differing = set(compress(now, map(is_not, now.values(), others)))
    if len(now) - len(differing - was.keys()) < len(was):
        differing |= was.keys() - now.keys()
    return differing


def _same_frame(one: Order, other: Order) -> bool:
    """Whether two orders differ in nothing but virtual interfaces."""
    return (
        one.router == other.router
        and _same(one.connections, other.connections)
        and _same(one.virtual_gateways, other.virtual_gateways)
    )


def _differ_in_rate_only(gone: Sequence[ResolvedInterface], come: Sequence[ResolvedInterface]) -> bool:
    return len(gone) == len(come) and all(
        one == replace(other, rate_bps=one.rate_bps, overhead=one.overhead, queue=one.queue, ingress=one.ingress)
        for one, other in zip(gone, come, strict=True)
    )


def _equal(one: Resource, other: Resource) -> bool:
    """Whether two resources are the same, with what the kernel does not show of them."""
    if isinstance(one, Port) and isinstance(other, Port) and one.needy != other.needy:
        return False
    return one == other


def _same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return one.keys() == other.keys() and all(other[name] is value for name, value in one.items())
