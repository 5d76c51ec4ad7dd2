"""The intent: all that should exist for an order and a runtime. Pure; the credentials come in as values.

It is derived as a whole each time. What comes out as the previous intent has it is that one's own object, so that
others tell by identity what has changed; and a virtual interface of which nothing differs is not derived again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from operator import is_
from types import MappingProxyType
from typing import Generic, TypeVar, cast

from dcedge.firewall.derive import derive_firewall, reached_from
from dcedge.frr.bfd_waits import place_of
from dcedge.frr.render import derive_frr
from dcedge.frr.resources import FrrBlock
from dcedge.kernel.capabilities import Capabilities
from dcedge.kernel.derive import interface_resources, shared_resources
from dcedge.kernel.host import PLAIN_HOST, Host
from dcedge.kernel.naming import interface_link
from dcedge.kernel.port.cards import NO_CARDS, Cards
from dcedge.kernel.resource import KernelResource
from dcedge.order.credentials import CredentialError, Secret
from dcedge.order.model import Credential, Order, VirtualInterface
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.plan.resource import Key, Resource, State
from dcedge.reconcile.state.formats import Runtime

K = TypeVar("K")
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

    `own` are the kernel objects that a virtual interface has for itself, `shared` the others, `kernel` all of them;
    `owners` says by link whose it is. Of a virtual interface in `missing_credentials` a session that runs stays as it
    is, a new one is shut. FRR's part is derived when it is asked for, so that the kernel's need not wait for it.
    """

    order: Order | None
    runtime: Runtime
    interfaces: Mapping[str, ResolvedInterface]
    kernel: State
    own: Mapping[str, State]
    shared: State
    owners: Mapping[str, str]
    later_frr: Later[Mapping[Key, FrrBlock]]
    firewall: State
    missing_credentials: Mapping[str, CredentialError]
    secrets: Mapping[Credential, Secret]
    host: Host = PLAIN_HOST  # as it was when this was derived
    ports: Mapping[str, str] = field(default_factory=dict)  # own names, by the alternative ones of the order
    cards: Cards = NO_CARDS

    @property
    def frr(self) -> Mapping[Key, FrrBlock]:
        """FRR's part. Raises FrrRenderError."""
        return self.later_frr.get()


NOTHING = Intent(None, Runtime(), {}, {}, {}, {}, {}, Later(dict), {}, {}, {})


def credentials_of(order: Order) -> Iterable[Credential]:
    """Every credential the order refers to."""
    return (credential for vi in order.virtual_interfaces.values() for credential in _credentials(vi))


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
    host: Host = PLAIN_HOST,
    ports: Mapping[str, str] = MappingProxyType({}),
    previous: Intent = NOTHING,
) -> Intent:
    """The intent for an order and a runtime; `previous` must come from the same kernel."""
    interfaces = _resolved(order, ports, previous)
    unchanged = {name for name, now in interfaces.items() if previous.interfaces.get(name) is now}
    alike = unchanged if host == previous.host else ()
    own: dict[str, State] = {}
    for name, interface in interfaces.items():
        was = previous.own.get(name, {})
        own[name] = was if name in alike else _kept(_by_key(interface_resources(interface, kernel_has, host)), was)
    drained, everything = runtime.drained, interfaces.values()
    common = shared_resources(everything, kernel_has, host, withdrawn=runtime.withdrawn, drained=drained)
    shared = _kept(_by_key(common), previous.shared)

    def frr() -> Mapping[Key, FrrBlock]:
        same: Collection[str] = ()
        if secrets == previous.secrets and order.router == (previous.order.router if previous.order else None):
            same = unchanged - (drained ^ previous.runtime.drained)
            same -= _with_sessions(everything, runtime.bfd_waits ^ previous.runtime.bfd_waits)
        return derive_frr(everything, order.router, secrets, drained, same, previous.frr, bfd_waits=runtime.bfd_waits)

    guarded = _reached_as_before(order, interfaces, previous) & unchanged
    return Intent(
        order=order,
        runtime=runtime,
        interfaces=interfaces,
        kernel={key: resource for part in (*own.values(), shared) for key, resource in part.items()},
        own=own,
        shared=shared,
        owners={interface_link(interface): name for name, interface in interfaces.items()},
        later_frr=Later(frr),
        firewall=_kept(derive_firewall(everything, order, guarded, previous.firewall), previous.firewall),
        missing_credentials={
            interface.name: problems[session.password]
            for interface in (everything if problems else ())
            for session in interface.sessions
            if session.password is not None and session.password in problems
        },
        secrets=secrets,
        host=host,
        ports=ports,
    )


def _resolved(order: Order, ports: Mapping[str, str], previous: Intent) -> Mapping[str, ResolvedInterface]:
    """Every virtual interface; the previous mapping itself where all are as they were."""
    before = previous.order
    moved = before is None or order.connections != before.connections or ports != previous.ports
    if before is None or moved or order.router != before.router:
        unchanged: Collection[str] = ()
    else:
        unchanged = {
            name
            for name, vi in order.virtual_interfaces.items()
            if before.virtual_interfaces.get(name) is vi
            and before.virtual_gateways[vi.virtual_gateway] is order.virtual_gateways[vi.virtual_gateway]
        }
    now = {
        name: previous.interfaces[name] if name in unchanged else resolve_interface(order, name, ports)
        for name in order.virtual_interfaces
    }
    return _kept(now, previous.interfaces)


def _reached_as_before(order: Order, interfaces: Mapping[str, ResolvedInterface], previous: Intent) -> set[str]:
    """The virtual interfaces whose gateway may be reached from the same ones as before."""
    before = previous.order
    if before is None or order.router.isolation != before.router.isolation:
        return set()
    was = reached_from(before, previous.interfaces.values())
    now = reached_from(order, interfaces.values())
    return {name for name, vi in interfaces.items() if now[vi.virtual_gateway] == was.get(vi.virtual_gateway)}


def _by_key(resources: Iterable[Resource]) -> dict[Key, Resource]:
    return {resource.key: resource for resource in resources}


def _kept(now: Mapping[K, T], before: Mapping[K, T]) -> Mapping[K, T]:
    """The same values, as the objects from before where they are equal; `before` itself where all are."""
    kept = {key: before[key] if _equal(before.get(key), value) else value for key, value in now.items()}
    same = len(kept) == len(before) and all(map(is_, kept.values(), before.values()))
    return before if same else kept


def _with_sessions(interfaces: Iterable[ResolvedInterface], places: Collection[str]) -> set[str]:
    """The virtual interfaces that have one of these sessions."""
    if not places:
        return set()
    return {one.name for one in interfaces if any(place_of(one.vrf, s.cloud) in places for s in one.sessions)}


def changed_keys(before: Intent, now: Intent) -> set[Key]:
    """The kernel objects that one intent asks for differently from another."""
    changed = {key for key, resource in now.kernel.items() if before.kernel.get(key) is not resource}
    return changed | (before.kernel.keys() - now.kernel.keys())


def _equal(one: object, other: object) -> bool:
    """Whether two values are the same, with what the kernel does not show of them."""
    if one is other:
        return True
    if isinstance(one, KernelResource) and isinstance(other, KernelResource) and one.unseen != other.unseen:
        return False
    return one == other
