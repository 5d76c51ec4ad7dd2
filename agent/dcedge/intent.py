"""The intent: all that should exist for an order and a runtime. Pure; the credentials come in as values.

What an unchanged part of the order asked for is taken over from the previous intent, object for object: a change of
one virtual interface among thousands costs what that one costs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, cast

from dcedge.bgp.render import derive_frr
from dcedge.bgp.resources import FrrBlock
from dcedge.credentials import CredentialError, Secret
from dcedge.firewall.derive import derive_firewall
from dcedge.kernel.capabilities import Capabilities
from dcedge.kernel.derive import interface_resources, shared_resources
from dcedge.kernel.naming import interface_link
from dcedge.kernel.sharing import crowded_lines
from dcedge.order.model import Credential, Order
from dcedge.order.resolve import ResolvedInterface, resolve_interface
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

    @property
    def frr(self) -> Mapping[Key, FrrBlock]:
        """FRR's part. Raises FrrRenderError."""
        return self.later_frr.get()


NOTHING = Intent(None, Runtime(), {}, {}, {}, (), {}, Later(dict), {}, {}, {})


def credentials_of(order: Order) -> Iterable[Credential]:
    """Every credential the order refers to."""
    for vi in order.virtual_interfaces.values():
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
    differing = _differing(order, previous)
    interfaces = dict(previous.interfaces)
    kernel, keys, owners = dict(previous.kernel), dict(previous.keys), dict(previous.owners)
    for name in differing & previous.interfaces.keys():
        was = previous.interfaces[name]
        owners.pop(interface_link(was), None)
        for key in keys.pop(name):
            kernel.pop(key, None)
    for name in differing - order.virtual_interfaces.keys():
        interfaces.pop(name, None)
    for name in differing & order.virtual_interfaces.keys():
        interface = interfaces[name] = resolve_interface(order, name)
        own = {resource.key: resource for resource in interface_resources(interface, kernel_has)}
        kernel.update(own)
        keys[name] = tuple(own)
        owners[interface_link(interface)] = name
    if list(interfaces) != list(order.virtual_interfaces):
        interfaces = {name: interfaces[name] for name in order.virtual_interfaces}
    shared, firewall = previous.shared, previous.firewall
    if (
        runtime != previous.runtime
        or not all(_differs_in_rate_only(previous.interfaces.get(name), interfaces.get(name)) for name in differing)
        or (differing and (crowded_lines(interfaces.values()) or crowded_lines(previous.interfaces.values())))
    ):
        made = shared_resources(interfaces.values(), kernel_has, withdrawn=runtime.withdrawn, drained=runtime.drained)
        resources = {r.key: r for r in made}
        for key in previous.shared:
            kernel.pop(key, None)
        for key, resource in resources.items():
            before = previous.kernel.get(key)
            kernel[key] = before if before == resource else resource
        shared = tuple(resources)
        same_frame = previous.order is not None and _same_frame(order, previous.order)
        kept = interfaces.keys() - differing if same_frame else ()
        firewall = derive_firewall(interfaces.values(), order, kept, previous.firewall)
    unchanged: Collection[str] = ()
    if secrets == previous.secrets and order.router == (previous.order.router if previous.order else None):
        unchanged = interfaces.keys() - differing - (runtime.drained ^ previous.runtime.drained)
    return Intent(
        order=order,
        runtime=runtime,
        interfaces=interfaces,
        kernel=kernel,
        keys=keys,
        shared=shared,
        owners=owners,
        later_frr=Later(
            lambda: derive_frr(interfaces.values(), order.router, secrets, runtime.drained, unchanged, previous.frr)
        ),
        firewall=firewall,
        withheld={
            interface.name: problems[session.password]
            for interface in (interfaces.values() if problems else ())
            for session in interface.sessions
            if session.password is not None and session.password in problems
        },
        secrets=secrets,
    )


def changed_keys(before: Intent, now: Intent) -> set[Key]:
    """The kernel objects that one intent asks for differently from another."""
    keys = {key for key in (*before.shared, *now.shared) if before.kernel.get(key) is not now.kernel.get(key)}
    if now.interfaces is not before.interfaces:
        for name in before.interfaces.keys() | now.interfaces.keys():
            if before.interfaces.get(name) is not now.interfaces.get(name):
                keys.update(before.keys.get(name, ()), now.keys.get(name, ()))
    return keys


def _differing(order: Order, previous: Intent) -> set[str]:
    """The virtual interfaces that are not, with all they refer to, the very same objects as before."""
    before = previous.order
    now = order.virtual_interfaces
    if before is None or not _same_frame(order, before):
        return now.keys() | previous.interfaces.keys()
    was = before.virtual_interfaces
    return {name for name, vi in now.items() if was.get(name) is not vi} | (was.keys() - now.keys())


def _same_frame(one: Order, other: Order) -> bool:
    """Whether two orders differ in nothing but virtual interfaces."""
    return (
        one.router == other.router
        and _same(one.connections, other.connections)
        and _same(one.virtual_gateways, other.virtual_gateways)
    )


def _differs_in_rate_only(one: ResolvedInterface | None, other: ResolvedInterface | None) -> bool:
    if one is None or other is None:
        return False
    return one == replace(other, rate_bps=one.rate_bps, overhead=one.overhead, queue=one.queue, ingress=one.ingress)


def _same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return one.keys() == other.keys() and all(other[name] is value for name, value in one.items())
