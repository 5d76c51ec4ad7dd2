"""The firewall's part of the intent. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from types import MappingProxyType

from dcedge.firewall.objects import ANY, NEVER_SOURCES, Element, FirewallTable, GatewaySources, Guard, guard_key
from dcedge.firewall.ranges import Range, merged, minus, of_prefix
from dcedge.firewall.table import COUNTERS, clamp_chain, gateway_chain, reach_set
from dcedge.kernel.naming import interface_link
from dcedge.order.model import Order
from dcedge.order.resolve import ResolvedInterface
from dcedge.resource import Key, Resource, State

Change = tuple[Sequence[ResolvedInterface], Sequence[ResolvedInterface]]  # as they were, as they are


def derive_firewall(
    interfaces: Iterable[ResolvedInterface],
    order: Order,
    change: Change | None = None,
    before: State = MappingProxyType({}),
) -> dict[Key, Resource]:
    """The table, each virtual gateway's sources and each virtual interface's guard; nothing where there is none.

    A gateway may send from what it may announce (`accept`) and from what is routed to it (`static`). Given the
    `change`, all that it does not concern is taken over from `before`, derived from an order with the same gateways.
    """
    interfaces = list(interfaces)
    if not interfaces:
        return {}
    gateways = dict.fromkeys([interface.virtual_gateway for interface in interfaces])
    kept = dict(before)
    if change is not None and {name for kind, name in before if kind == "sources"} == gateways.keys():
        gone, come = change
        for interface in gone:
            kept.pop(guard_key(interface_link(interface)), None)
    else:
        # A gateway has got its first virtual interface, or lost its last: who may reach whom differs.
        kept, gone, come = {}, (), interfaces
    names = tuple([interface.name for interface in interfaces])
    table = FirewallTable(any(i.vrf is not None for i in interfaces), names)
    state: dict[Key, Resource] = {**kept, table.key: table}
    reached_from = _reached_from(order)
    touched = {interface.virtual_gateway for interface in (*gone, *come)}
    for name in gateways.keys() & touched:
        group = [interface for interface in interfaces if interface.virtual_gateway == name]
        sources = GatewaySources(name, _sources(group), tuple([interface.name for interface in group]))
        state[sources.key] = sources
    isolated = order.router.isolation
    of_gateway = {
        name: tuple(_gateway_elements(name, reached_from[name] & gateways.keys(), isolated=isolated))
        for name in gateways.keys() & touched
    }
    for interface in come:
        name = interface.virtual_gateway
        guard = Guard(
            link=interface_link(interface),
            gateway=name,
            elements=tuple(sorted((*of_gateway[name], *_own_elements(interface)))),
            subnets=merged(of_prefix(pair.customer.network) for pair in interface.addresses),
            affects=(interface.name,),
        )
        state[guard.key] = guard
    return state


def _reached_from(order: Order) -> dict[str, set[str]]:
    """From which gateways each may be reached: itself, and both ways where either says `reaches`.

    The verdicts keep no state of connections, so answers need to be let through as the questions are.
    """
    result = {name: {name} for name in order.virtual_gateways}
    for name, gateway in order.virtual_gateways.items():
        for other in gateway.reaches:
            result[name].add(other)
            result[other].add(name)
    return result


def _sources(group: list[ResolvedInterface]) -> tuple[Range, ...]:
    accept = group[0].accept
    if accept is None:
        return ANY
    static = (prefix for interface in group for prefix in interface.static)
    return minus((of_prefix(p) for p in (*(accepted.prefix for accepted in accept), *static)), NEVER_SOURCES)


def _gateway_elements(name: str, reached_from: Iterable[str], *, isolated: bool) -> Iterator[Element]:
    yield Element("links")
    yield Element("from", data=gateway_chain(name))
    for counter in COUNTERS:
        yield Element(counter)
    if isolated:
        yield Element("isolated")
    for other in reached_from:
        yield Element(reach_set(other))


@lru_cache
def _clamp(mtu: int) -> Element:
    return Element("mss", data=clamp_chain(mtu))


def _own_elements(interface: ResolvedInterface) -> Iterator[Element]:
    yield _clamp(interface.mtu)
    # STAMP is answered on a static virtual interface too.
    for peer in interface.addresses if interface.stamp else interface.sessions:
        yield Element("peers4" if peer.family == "ipv4" else "peers6", sys.intern(str(peer.cloud)))
