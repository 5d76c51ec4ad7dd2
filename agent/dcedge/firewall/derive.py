"""The firewall's part of the intent. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from types import MappingProxyType

from dcedge.firewall.nft_table import COUNTERS
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
from dcedge.firewall.ruleset import clamp_chain, gateway_chain, reach_set
from dcedge.kernel.naming import interface_link
from dcedge.order.field_types import Prefix
from dcedge.order.model import AcceptedPrefix, Order
from dcedge.order.resolve import ResolvedInterface
from dcedge.plan.resource import Key, Resource, State


def derive_firewall(
    interfaces: Collection[ResolvedInterface],
    order: Order,
    unchanged: Collection[str] = (),
    before: State = MappingProxyType({}),
) -> dict[Key, Resource]:
    """The table, each virtual gateway's sources and each virtual interface's guard; nothing where there is none.

    A gateway may send from what it may announce (`accept`) and from what is routed to it (`static`).

    `unchanged` names the virtual interfaces for which nothing differs from when `before` was derived, `reached_from`
    their gateways included: what concerns only them is taken over from there.
    """
    if not interfaces:
        return {}
    members: dict[str, list[ResolvedInterface]] = {}
    for interface in interfaces:
        members.setdefault(interface.virtual_gateway, []).append(interface)
    table = FirewallTable(any(i.vrf is not None for i in interfaces), tuple(i.name for i in interfaces))
    state: dict[Key, Resource] = {table.key: table}
    reached = reached_from(order, interfaces)
    for name, behind in members.items():
        users = tuple(interface.name for interface in behind)
        sources = before.get(gateway_key(name)) if all(user in unchanged for user in users) else None
        if sources is None or sources.affects != users:
            static = (prefix for interface in behind for prefix in interface.static)
            sources = GatewaySources(name, _sources(behind[0].accept, static), users)
        state[sources.key] = sources
    for name, behind in members.items():
        of_gateway = tuple(_gateway_elements(name, reached[name], isolated=order.router.isolation))
        for interface in behind:
            key = guard_key(interface_link(interface))
            same = before.get(key) if interface.name in unchanged else None
            state[key] = same or _guard(interface, of_gateway)
    return state


def _guard(interface: ResolvedInterface, of_gateway: Iterable[Element]) -> Guard:
    return Guard(
        link=interface_link(interface),
        gateway=interface.virtual_gateway,
        elements=tuple(sorted((*of_gateway, *_own_elements(interface)))),
        subnets=merged(of_prefix(pair.customer.network) for pair in interface.addresses),
        affects=(interface.name,),
    )


def reached_from(order: Order, interfaces: Iterable[ResolvedInterface]) -> dict[str, set[str]]:
    """From which of the gateways in use each may be reached: itself, and both ways where either says `reaches`.

    The verdicts keep no state of connections, so answers need to be let through as the questions are.
    """
    result = {interface.virtual_gateway: {interface.virtual_gateway} for interface in interfaces}
    for name, found in result.items():
        for other in order.virtual_gateways[name].reaches:
            if other in result:
                found.add(other)
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


def _own_elements(interface: ResolvedInterface) -> Iterator[Element]:
    yield Element("mss", data=clamp_chain(interface.mtu))
    # STAMP is answered on a static virtual interface too.
    for peer in interface.addresses if interface.stamp else interface.sessions:
        yield Element("peers4" if peer.family == "ipv4" else "peers6", str(peer.cloud))
