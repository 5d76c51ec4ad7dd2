"""The firewall's part of the intent. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from types import MappingProxyType

from dcedge.firewall.objects import (
    ANY,
    NEVER_SOURCES,
    Element,
    FirewallTable,
    GatewaySources,
    Guard,
    gateway_key,
    guard_key,
)
from dcedge.firewall.ranges import Range, merged, minus, of_prefix
from dcedge.firewall.table import COUNTERS, clamp_chain, gateway_chain, reach_set
from dcedge.kernel.naming import interface_link
from dcedge.layered import changed
from dcedge.order.kinds import Prefix
from dcedge.order.model import AcceptedPrefix, Order
from dcedge.order.resolve import ResolvedInterface
from dcedge.order.roster import Roster
from dcedge.resource import Key, Resource, State

Change = tuple[Sequence[ResolvedInterface], Sequence[ResolvedInterface]]  # as they were, as they are


def derive_firewall(
    roster: Roster,
    order: Order,
    change: Change,
    before: State = MappingProxyType({}),
) -> State:
    """The table, each virtual gateway's sources and each virtual interface's guard; nothing where there is none.

    A gateway may send from what it may announce (`accept`) and from what is routed to it (`static`). All that the
    `change` does not concern is taken over from `before`, derived from an order with the same gateways.
    """
    if not roster.names:
        return {}
    gone, come = change
    touched = {interface.virtual_gateway: interface.accept for interface in (*gone, *come)}
    members = roster.grouped(lambda traits: traits.virtual_gateway)
    table = FirewallTable(any(traits.vrf is not None for traits in roster.groups), roster.names)
    state: dict[Key, Resource] = {table.key: table}
    static: dict[str, list[Prefix]] = {}
    for interface in roster.singular():
        static.setdefault(interface.virtual_gateway, []).extend(interface.static)
    for name in members.keys() & touched.keys():
        sources = GatewaySources(name, _sources(touched[name], static.get(name, ())), members[name])
        state[sources.key] = sources
    reached_from = _reached_from(order)
    of_gateway = {
        name: tuple(_gateway_elements(name, reached_from[name] & members.keys(), isolated=order.router.isolation))
        for name in members.keys() & touched.keys()
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
    return changed(before, (guard_key(interface_link(interface)) for interface in gone), state)


def concerns_all(roster: Roster, change: Change, before: State) -> bool:
    """Whether a gateway gets its first virtual interface, or loses its last: who may reach whom differs then."""
    has_any = {traits.virtual_gateway for traits in roster.groups}
    touched = {interface.virtual_gateway for interfaces in change for interface in interfaces}
    return any((name in has_any) != (gateway_key(name) in before) for name in touched)


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


def _sources(accept: Sequence[AcceptedPrefix] | None, static: Iterable[Prefix]) -> tuple[Range, ...]:
    if accept is None:
        return ANY
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
