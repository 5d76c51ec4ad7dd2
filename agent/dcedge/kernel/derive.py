"""The kernel's part of the intent: which links, addresses, shapers and sysctls an order asks for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from dcedge.kernel import messages as m
from dcedge.kernel.capabilities import EVERYTHING, Capabilities
from dcedge.kernel.classify import Classifier, control_classifier
from dcedge.kernel.limits import LIMITS, kernel_limits
from dcedge.kernel.naming import CONNECTION_ALIAS, alias, altname, ingress_device, interface_link, link_name, vrf_tables
from dcedge.kernel.objects import (
    IPV4_CONF,
    IPV6_CONF,
    Bond,
    Hop,
    Ingress,
    IpAddress,
    Link,
    LinkLocal,
    Port,
    Route,
    Shaper,
    Sysctl,
    Vrf,
)
from dcedge.kernel.shaping import interface_tree
from dcedge.order.kinds import Prefix
from dcedge.order.model import Bond as BondOrder
from dcedge.order.resolve import ResolvedInterface, Tag
from dcedge.resource import Resource

FORWARDING = (Sysctl("net/ipv4/ip_forward", 1), Sysctl("net/ipv6/conf/all/forwarding", 1))
SETTINGS = LIMITS | {setting.path for setting in FORWARDING}  # all that any order sets by itself

# zebra takes the top byte of a kernel route's metric for its distance, and eBGP has 20. What is below it takes for the
# metric, by which alone it tells two kernel routes to one prefix apart.
DISTANCE_SHIFT = 24
DISTANCE_PREFERRED, DISTANCE_BEFORE_BGP, DISTANCE_BEHIND_BGP, DISTANCE_BACKUP, DISTANCE_DRAINED = 15, 18, 205, 210, 250


def shared_resources(
    interfaces: Collection[ResolvedInterface],
    kernel: Capabilities = EVERYTHING,
    *,
    withdrawn: frozenset[str] = frozenset(),
    drained: frozenset[str] = frozenset(),
) -> Iterator[Resource]:
    """What virtual interfaces have in common: forwarding, limits, VRFs, ports, the links for outer tags, static routes.

    The static routes of the virtual interfaces in `withdrawn` are left out, those of the ones in `drained` rank last.
    """
    if interfaces:
        yield from FORWARDING
        yield from kernel_limits(sum(len(i.addresses) for i in interfaces), sum(i.keys for i in interfaces))
    yield from _vrfs(interfaces)
    yield from _bonds(interfaces)
    yield from _ports(interfaces)
    yield from _carriers(interfaces, kernel)
    static = [i for i in interfaces if i.static and i.admin != "down" and i.name not in withdrawn]
    if static:
        yield from _routes(static, _Bgp.of(interfaces, drained), drained)


def _vrfs(interfaces: Iterable[ResolvedInterface]) -> Iterator[Vrf]:
    users: dict[str, list[str]] = {}
    for interface in interfaces:
        if interface.vrf is not None:
            users.setdefault(interface.vrf, []).append(interface.name)
    for name, table in vrf_tables(users).items():
        yield Vrf(name, table, tuple(users[name]))


def _bonds(interfaces: Iterable[ResolvedInterface]) -> Iterator[Bond]:
    made: dict[str, tuple[BondOrder, list[str]]] = {}
    for interface in interfaces:
        if interface.bond is not None:
            made.setdefault(interface.port, (interface.bond, []))[1].append(interface.name)
    for name, (bond, users) in made.items():
        yield Bond(name, tuple(sorted(bond.members)), bond.lacp_rate, bond.min_links, tuple(users))


def _routes(static: Iterable[ResolvedInterface], bgp: _Bgp, drained: frozenset[str]) -> Iterator[Route]:
    """The static routes; those of one rank to one prefix are one route that shares the traffic."""
    ways: dict[tuple[Prefix, str | None, int], list[tuple[Hop, str]]] = {}
    for interface in static:
        distance = DISTANCE_DRAINED if interface.name in drained else bgp.static_distance(interface)
        metric = distance << DISTANCE_SHIFT | distance
        link = interface_link(interface)
        for prefix in interface.static:
            for pair in interface.addresses:
                if pair.customer.version == prefix.version:
                    way = Hop(link, pair.cloud), interface.name
                    ways.setdefault((prefix, interface.vrf, metric), []).append(way)
    for (prefix, vrf, metric), found in ways.items():
        found.sort(key=lambda way: (way[0].link, way[0].gateway.packed))
        users = tuple(dict.fromkeys(name for _, name in found))
        yield Route(prefix, vrf, metric, tuple(hop for hop, _ in found), users)


@dataclass(frozen=True, slots=True)
class _Bgp:
    """The gateways that have BGP, on what path soever; on one that is not drained; on one that is no backup besides."""

    anywhere: frozenset[str]
    undrained: frozenset[str]
    preferred: frozenset[str]

    @classmethod
    def of(cls, interfaces: Iterable[ResolvedInterface], drained: frozenset[str]) -> _Bgp:
        speaking = [interface for interface in interfaces if interface.sessions and interface.admin != "down"]
        undrained = [interface for interface in speaking if interface.name not in drained]
        return cls(
            frozenset(interface.virtual_gateway for interface in speaking),
            frozenset(interface.virtual_gateway for interface in undrained),
            frozenset(interface.virtual_gateway for interface in undrained if interface.preference != "backup"),
        )

    def static_distance(self, interface: ResolvedInterface) -> int:
        """Where a virtual interface's static routes rank among its gateway's.

        A backup ranks behind everything, but before BGP where all of that is drained. Any other ranks before BGP,
        unless a virtual interface that is no backup itself speaks it: that knows more than a static route does.
        """
        gateway = interface.virtual_gateway
        if interface.preference == "backup":
            only_drained = gateway in self.anywhere - self.undrained
            return DISTANCE_BEFORE_BGP if only_drained else DISTANCE_BACKUP
        return DISTANCE_BEHIND_BGP if gateway in self.preferred else DISTANCE_PREFERRED


def _ports(interfaces: Iterable[ResolvedInterface]) -> Iterator[Port]:
    on_it: dict[str, list[ResolvedInterface]] = {}
    for interface in interfaces:
        on_it.setdefault(interface.port, []).append(interface)
    for name, users in on_it.items():
        mtu = max(user.mtu for user in users)
        needy = tuple(user.name for user in users if user.mtu == mtu)
        yield Port(name, mtu, True, tuple(user.name for user in users), needy)


def _carriers(interfaces: Iterable[ResolvedInterface], kernel: Capabilities) -> Iterator[Link]:
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
            alias=CONNECTION_ALIAS + on_it[0].connection,
            altname=None,
            mtu=max(interface.mtu for interface in on_it),
            up=True,
            conf4=IPV4_CONF,
            conf6=IPV6_CONF,
            affects=tuple(interface.name for interface in on_it),
            control_pcp=m.CONTROL_PCP if kernel.skbedit else 0,
            depth=len(tags),
        )


def interface_resources(interface: ResolvedInterface, kernel: Capabilities) -> Iterator[Resource]:
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
        master=interface.vrf,
        control_pcp=m.CONTROL_PCP if kernel.skbedit and interface.tags else 0,
        depth=len(interface.tags),
    )
    for pair in interface.addresses:
        yield IpAddress(name, pair.customer, affects)
    if any(pair.customer.version == 6 for pair in interface.addresses):
        yield LinkLocal(name, affects)
    tree = interface_tree(
        interface.shaped_bps,
        interface.mtu,
        interface.overhead,
        kernel.queue(interface.queue),
        _classifier(interface, kernel),
    )
    yield Shaper(name, tree, affects)
    if interface.ingress:
        theirs = control_classifier((pair.cloud for pair in interface.addresses), m.CONTROL_HANDLE, 0)
        yield Ingress(name, ingress_device(name), replace(tree, classifier=theirs), True, affects)


def _classifier(interface: ResolvedInterface, kernel: Capabilities) -> Classifier:
    """What sorts out a virtual interface's control packets, and marks them for the devices below."""
    mark = m.CONTROL_HANDLE if kernel.skbedit and interface.tags else 0
    return control_classifier((pair.customer.ip for pair in interface.addresses), m.CONTROL_HANDLE, mark)
