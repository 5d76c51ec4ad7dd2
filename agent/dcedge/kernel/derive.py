"""The kernel's part of the intent: which links, addresses, shapers and sysctls an order asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dcedge.kernel.naming import ALIAS_PREFIX, alias, altname, interface_link, link_name
from dcedge.kernel.objects import IPV4_CONF, IPV6_CONF, IpAddress, Link, Port, Shaper, Sysctl
from dcedge.kernel.shaping import fq_codel_parameters, htb_parameters, pfifo_parameters
from dcedge.order.resolve import ResolvedInterface
from dcedge.resource import Key, Resource

FORWARDING = (Sysctl("net/ipv4/ip_forward", 1), Sysctl("net/ipv6/conf/all/forwarding", 1))


def derive_kernel(interfaces: Iterable[ResolvedInterface], *, fq_codel: bool) -> dict[Key, Resource]:
    """Every kernel object for these virtual interfaces; `fq_codel`: whether this kernel has it."""
    interfaces = list(interfaces)
    state: dict[Key, Resource] = {}
    if interfaces:
        state.update((sysctl.key, sysctl) for sysctl in FORWARDING)
    for port in _ports(interfaces):
        state[port.key] = port
    for interface in interfaces:
        for carrier in _carriers(interface, state):
            state[carrier.key] = carrier
        for resource in interface_resources(interface, fq_codel=fq_codel):
            state[resource.key] = resource
    return state


def _ports(interfaces: Iterable[ResolvedInterface]) -> Iterator[Port]:
    by_port: dict[str, list[ResolvedInterface]] = {}
    for interface in interfaces:
        by_port.setdefault(interface.port, []).append(interface)
    for name, on_it in by_port.items():
        yield Port(name, max(i.mtu for i in on_it), True, tuple(i.name for i in on_it))


def _carriers(interface: ResolvedInterface, state: dict[Key, Resource]) -> Iterator[Link]:
    """The links for the outer tags, each under the next; several virtual interfaces share one."""
    for depth in range(1, len(interface.tags)):
        outer = interface.tags[:depth]
        name = link_name(interface.port, outer)
        before = state.get(Key("link", name))
        shared = before if isinstance(before, Link) else None
        yield Link(
            name=name,
            below=link_name(interface.port, outer[:-1]),
            tag=outer[-1],
            alias=f"{ALIAS_PREFIX}connection:{interface.connection}",
            altname=None,
            mtu=max(interface.mtu, shared.mtu if shared else 0),
            up=True,
            conf4=IPV4_CONF,
            conf6=IPV6_CONF,
            affects=(*(shared.affects if shared else ()), interface.name),
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
