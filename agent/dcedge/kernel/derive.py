"""The kernel's part of the intent: which links, addresses, shapers and sysctls an order asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dcedge.kernel.naming import ALIAS_PREFIX, alias, altname, interface_link, link_name
from dcedge.kernel.objects import IPV4_CONF, IPV6_CONF, IpAddress, Link, Port, Shaper, Sysctl
from dcedge.kernel.shaping import fq_codel_parameters, htb_parameters, pfifo_parameters
from dcedge.order.resolve import ResolvedInterface, Tag
from dcedge.resource import Resource

FORWARDING = (Sysctl("net/ipv4/ip_forward", 1), Sysctl("net/ipv6/conf/all/forwarding", 1))


def shared_resources(interfaces: Iterable[ResolvedInterface]) -> Iterator[Resource]:
    """What virtual interfaces have in common: forwarding, ports, the links for outer tags."""
    interfaces = list(interfaces)
    if interfaces:
        yield from FORWARDING
    yield from _ports(interfaces)
    yield from _carriers(interfaces)


def _ports(interfaces: Iterable[ResolvedInterface]) -> Iterator[Port]:
    by_port: dict[str, list[ResolvedInterface]] = {}
    for interface in interfaces:
        by_port.setdefault(interface.port, []).append(interface)
    for name, on_it in by_port.items():
        yield Port(name, max(i.mtu for i in on_it), True, tuple(i.name for i in on_it))


def _carriers(interfaces: Iterable[ResolvedInterface]) -> Iterator[Link]:
    """The links for the outer tags, each under the next; several virtual interfaces share one."""
    carried: dict[tuple[str, tuple[Tag, ...]], list[ResolvedInterface]] = {}
    for interface in interfaces:
        for depth in range(1, len(interface.tags)):
            carried.setdefault((interface.port, interface.tags[:depth]), []).append(interface)
    for (port, tags), on_it in carried.items():
        yield Link(
            name=link_name(port, tags),
            below=link_name(port, tags[:-1]),
            tag=tags[-1],
            alias=f"{ALIAS_PREFIX}connection:{on_it[0].connection}",
            altname=None,
            mtu=max(interface.mtu for interface in on_it),
            up=True,
            conf4=IPV4_CONF,
            conf6=IPV6_CONF,
            affects=tuple(interface.name for interface in on_it),
        )


def interface_resources(interface: ResolvedInterface, *, fq_codel: bool) -> Iterator[Resource]:
    """The objects that one virtual interface has for itself."""
    name = interface_link(interface)
    affects = (interface.name,)
    yield Link(
        name=name,
        below=link_name(interface.port, interface.tags[:-1]) if interface.tags else None,
        tag=interface.tags[-1] if interface.tags else None,
        alias=alias(interface.name),
        altname=altname(interface.name),
        mtu=interface.mtu,
        up=interface.admin != "down",
        conf4=IPV4_CONF,
        conf6=IPV6_CONF,
        affects=affects,
    )
    for pair in interface.addresses:
        yield IpAddress(name, pair.customer, affects)
    if interface.rate_bps is not None:
        size = fq_codel_parameters if fq_codel and interface.queue == "fq_codel" else pfifo_parameters
        yield Shaper(
            name,
            htb_parameters(interface.rate_bps, interface.mtu),
            size(interface.rate_bps, interface.mtu),
            affects,
        )
