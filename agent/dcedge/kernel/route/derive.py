"""The static routes that an order asks for, and where they rank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dcedge.kernel.naming import interface_link
from dcedge.kernel.ordered import Ordered
from dcedge.kernel.route.resource import Hop, Route
from dcedge.order.field_types import Prefix
from dcedge.order.resolve import ResolvedInterface

# zebra takes the top byte of a kernel route's metric for its distance, and eBGP has 20. What is below it takes for the
# metric, by which alone it tells two kernel routes to one prefix apart.
DISTANCE_SHIFT = 24
DISTANCE_PREFERRED, DISTANCE_BEFORE_BGP, DISTANCE_BEHIND_BGP, DISTANCE_BACKUP, DISTANCE_DRAINED = 15, 18, 205, 210, 250


def derive_shared(ordered: Ordered) -> Iterator[Route]:
    """The routes of the virtual interfaces that are up and not withdrawn."""
    interfaces, drained = ordered.interfaces, ordered.drained
    static = [i for i in interfaces if i.static and i.admin != "down" and i.name not in ordered.withdrawn]
    if static:
        yield from _routes(static, _Bgp.of(interfaces, drained), drained)


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
