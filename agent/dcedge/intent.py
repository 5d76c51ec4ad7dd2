"""The intent: all that should exist for an order and a runtime. Pure; the credentials come in as values.

What an unchanged part of the order asked for is taken over from the previous intent, object for object: a change of
one virtual interface among thousands costs what that one costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dcedge.bgp.render import derive_frr
from dcedge.bgp.resources import FrrBlock
from dcedge.credentials import CredentialError, Secret
from dcedge.firewall.derive import derive_firewall
from dcedge.kernel.derive import interface_resources, shared_resources
from dcedge.kernel.naming import interface_link
from dcedge.order.model import Credential, Order
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.resource import Key, Resource, State
from dcedge.store import Runtime


@dataclass(frozen=True, slots=True)
class Intent:
    """What should be in the kernel and in FRR.

    `keys` are the kernel objects that a virtual interface has for itself, `shared` the others; `owners` says by link
    whose it is. The virtual interfaces in `withheld` lack a
    usable credential: a session of theirs that runs stays as it is, a new one is shut.
    """

    order: Order | None
    interfaces: Mapping[str, ResolvedInterface]
    kernel: Mapping[Key, Resource]
    keys: Mapping[str, tuple[Key, ...]]
    shared: tuple[Key, ...]
    owners: Mapping[str, str]
    frr: Mapping[Key, FrrBlock]
    firewall: State
    withheld: Mapping[str, CredentialError]
    secrets: Mapping[Credential, Secret]
    drained: frozenset[str]


NOTHING = Intent(None, {}, {}, {}, (), {}, {}, {}, {}, {}, frozenset())


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
    fq_codel: bool,
    previous: Intent = NOTHING,
) -> Intent:
    """The intent for an order and a runtime; `previous` must come from the same kernel (`fq_codel`)."""
    interfaces = _resolve(order, previous)
    fresh = {name: i for name, i in interfaces.items() if previous.interfaces.get(name) is not i}
    kernel: dict[Key, Resource] = {}
    keys: dict[str, tuple[Key, ...]] = {}
    owners: dict[str, str] = {}
    if len(fresh) < len(interfaces):
        kernel, keys, owners = dict(previous.kernel), dict(previous.keys), dict(previous.owners)
        for name, was in previous.interfaces.items():
            if interfaces.get(name) is not was:
                del owners[interface_link(was)]
                for key in keys.pop(name):
                    del kernel[key]
        for key in previous.shared:
            del kernel[key]
    shared = {resource.key: resource for resource in shared_resources(interfaces.values(), withdrawn=runtime.withdrawn)}
    for key, resource in shared.items():
        before = previous.kernel.get(key)
        kernel[key] = before if before == resource else resource
    for name, interface in fresh.items():
        own = {resource.key: resource for resource in interface_resources(interface, fq_codel=fq_codel)}
        kernel.update(own)
        keys[name] = tuple(own)
        owners[interface_link(interface)] = name
    firewall = derive_firewall(interfaces.values(), order)
    firewall = {key: previous.firewall[key] if previous.firewall.get(key) == r else r for key, r in firewall.items()}
    unchanged: set[str] = set()
    if secrets == previous.secrets and order.router == (previous.order.router if previous.order else None):
        unchanged = interfaces.keys() - fresh.keys() - (runtime.drained ^ previous.drained)
    return Intent(
        order=order,
        interfaces=interfaces,
        kernel=kernel,
        keys=keys,
        shared=tuple(shared),
        owners=owners,
        frr=derive_frr(interfaces.values(), order.router, secrets, runtime.drained, unchanged, previous.frr),
        firewall=firewall,
        withheld={
            interface.name: problems[session.password]
            for interface in (interfaces.values() if problems else ())
            for session in interface.sessions
            if session.password is not None and session.password in problems
        },
        secrets=secrets,
        drained=runtime.drained,
    )


def changed_keys(before: Intent, now: Intent) -> set[Key]:
    """The kernel objects that one intent asks for differently from another."""
    keys = {key for key in (*before.shared, *now.shared) if before.kernel.get(key) is not now.kernel.get(key)}
    if now.interfaces is not before.interfaces:
        for name in before.interfaces.keys() | now.interfaces.keys():
            if before.interfaces.get(name) is not now.interfaces.get(name):
                keys.update(before.keys.get(name, ()), now.keys.get(name, ()))
    return keys


def _resolve(order: Order, previous: Intent) -> dict[str, ResolvedInterface]:
    """Every virtual interface resolved; those whose part of the order is the same object as before are taken over."""
    before = previous.order
    if before is None or before.router != order.router or not _same(order.connections, before.connections):
        return {name: resolve_interface(order, name) for name in order.virtual_interfaces}
    gateways = {
        name for name, gateway in order.virtual_gateways.items() if before.virtual_gateways.get(name) is gateway
    }
    was = before.virtual_interfaces
    return {
        name: previous.interfaces[name]
        if was.get(name) is vi and vi.virtual_gateway in gateways
        else resolve_interface(order, name)
        for name, vi in order.virtual_interfaces.items()
    }


def _same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return one.keys() == other.keys() and all(other[name] is value for name, value in one.items())
