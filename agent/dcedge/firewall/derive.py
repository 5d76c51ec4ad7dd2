"""The firewall's part of the intent. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from types import MappingProxyType

from dcedge.firewall.objects import ANY, NEVER_SOURCES, Element, FirewallTable, GatewaySources, Guard, guard_key
from dcedge.firewall.ranges import Range, merged, minus, of_prefix
from dcedge.firewall.table import COUNTERS, clamp_chain, gateway_chain, reach_set
from dcedge.kernel.naming import interface_link
from dcedge.order.model import Order
from dcedge.order.resolve import ResolvedInterface
from dcedge.resource import Key, Resource, State


def derive_firewall(
    interfaces: Iterable[ResolvedInterface],
    order: Order,
    unchanged: Collection[str] = (),
    before: State = MappingProxyType({}),
) -> dict[Key, Resource]:
    """The table, each virtual gateway's sources and each virtual interface's guard; nothing where there is none.

    A gateway may send from what it may announce (`accept`) and from what is routed to it (`static`). The guards of the
    virtual interfaces in `unchanged` are taken over from `before`, derived from an order with the same gateways, unless
    a gateway has got its first virtual interface since, or lost its last.
    """
    by_gateway: dict[str, list[ResolvedInterface]] = {}
    for interface in interfaces:
        by_gateway.setdefault(interface.virtual_gateway, []).append(interface)
    state: dict[Key, Resource] = {}
    if not by_gateway:
        return state
    everyone = [interface for group in by_gateway.values() for interface in group]
    table = FirewallTable(any(i.vrf is not None for i in everyone), tuple(i.name for i in everyone))
    state[table.key] = table
    reached_from = _reached_from(order)
    if {key.name for key in before if key.kind == "sources"} != by_gateway.keys():
        unchanged = ()
    for name, group in by_gateway.items():
        gateway = GatewaySources(name, _sources(group), tuple(interface.name for interface in group))
        state[gateway.key] = gateway
        shared = tuple(_gateway_elements(name, reached_from[name] & by_gateway.keys(), isolated=order.router.isolation))
        for interface in group:
            link = interface_link(interface)
            kept = before.get(guard_key(link)) if interface.name in unchanged else None
            if kept is not None:
                state[kept.key] = kept
                continue
            guard = Guard(
                link=link,
                gateway=name,
                elements=tuple(sorted((*shared, *_own_elements(interface)))),
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


def _own_elements(interface: ResolvedInterface) -> Iterator[Element]:
    yield Element("mss", data=clamp_chain(interface.mtu))
    # STAMP is answered on a static virtual interface too.
    for peer in interface.addresses if interface.stamp else interface.sessions:
        yield Element("peers4" if peer.family == "ipv4" else "peers6", str(peer.cloud))
