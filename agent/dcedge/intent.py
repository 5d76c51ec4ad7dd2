"""The intent: all that should exist for an order and a runtime. Pure; the credentials come in as values.

It is derived as a whole each time. What comes out as the previous intent has it is that one's own object, so that
others tell by identity what has changed; and a virtual interface of which nothing differs is not derived again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Generic, TypeVar, cast

from dcedge.bgp.bfd import place_of
from dcedge.bgp.render import derive_frr
from dcedge.bgp.resources import FrrBlock
from dcedge.credentials import CredentialError, Secret
from dcedge.firewall.derive import derive_firewall, reached_from
from dcedge.kernel.capabilities import Capabilities
from dcedge.kernel.derive import interface_resources, shared_resources
from dcedge.kernel.naming import interface_link
from dcedge.kernel.objects import Port
from dcedge.kernel.sharing import shared_shapers
from dcedge.order.model import Credential, Order, VirtualInterface
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.resource import Key, Resource, State
from dcedge.store import Runtime

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
    `owners` says by link whose it is. The virtual interfaces in `withheld` lack a usable credential: a session of
    theirs that runs stays as it is, a new one is shut. FRR's part is derived when it is asked for, so that the kernel's
    need not wait for it.
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
    withheld: Mapping[str, CredentialError]
    secrets: Mapping[Credential, Secret]

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
    previous: Intent = NOTHING,
) -> Intent:
    """The intent for an order and a runtime; `previous` must come from the same kernel."""
    interfaces = _resolved(order, previous)
    unchanged = {name for name, now in interfaces.items() if previous.interfaces.get(name) is now}
    own: dict[str, State] = {}
    for name, interface in interfaces.items():
        was = previous.own.get(name, {})
        own[name] = was if name in unchanged else _kept(_by_key(interface_resources(interface, kernel_has)), was)
    drained, everything = runtime.drained, interfaces.values()
    common = _by_key(shared_resources(everything, kernel_has, withdrawn=runtime.withdrawn, drained=drained))
    shared = _kept(common | _by_key(shared_shapers(everything, kernel_has)), previous.shared)

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
        withheld={
            interface.name: problems[session.password]
            for interface in (everything if problems else ())
            for session in interface.sessions
            if session.password is not None and session.password in problems
        },
        secrets=secrets,
    )


def _resolved(order: Order, previous: Intent) -> Mapping[str, ResolvedInterface]:
    """Every virtual interface; the previous mapping itself where all are as they were."""
    before = previous.order
    if before is None or order.router != before.router or order.connections != before.connections:
        unchanged: Collection[str] = ()
    else:
        unchanged = {
            name
            for name, vi in order.virtual_interfaces.items()
            if before.virtual_interfaces.get(name) is vi
            and before.virtual_gateways[vi.virtual_gateway] is order.virtual_gateways[vi.virtual_gateway]
        }
    now = {
        name: previous.interfaces[name] if name in unchanged else resolve_interface(order, name)
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
    if isinstance(one, Port) and isinstance(other, Port) and one.needy != other.needy:
        return False
    return one == other
