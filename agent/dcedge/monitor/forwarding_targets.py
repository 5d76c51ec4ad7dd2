"""Which prefixes of the gateways are looked at: the first that are named, and what others have a route to.

Of all that the clouds may announce these few suffice: a route of others that goes before BGP's is what leads a prefix
elsewhere; and where FRR or the kernel takes no routes of a cloud, the first show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from dcedge.kernel.link.view import link_at
from dcedge.kernel.naming import interface_link
from dcedge.kernel.route.view import OthersRoute, preferred_to_bgp
from dcedge.netlink.descriptions import RT_TABLE_MAIN
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Prefix
from dcedge.order.model import AcceptedPrefix
from dcedge.order.resolve import ResolvedInterface
from dcedge.reconcile.desired import Intent

NAMED_MAX = 4  # of a gateway
_CONTESTED_MIN, _CONTESTED_MAX = 4, 64  # of each gateway at least; of all of them, where that is more


@dataclass(frozen=True, slots=True)
class GatewayPrefix:
    """One prefix of a gateway: its peers, and the links that lead there."""

    gateway: str
    vrf: str | None
    prefix: Prefix
    peers: frozenset[str]
    links: tuple[str, ...]

    @property
    def static(self) -> bool:
        """Whether it is routed without BGP."""
        return not self.peers


def named(intent: Intent, only: str | None = None) -> Iterator[GatewayPrefix]:
    """The first prefixes of each gateway's `accept`, or of its static routes; `only`: of one."""
    for gateway, interfaces in _members(intent, only).items():
        peers, links = _peers(interfaces), _links(interfaces)
        moved = {one.name for one in interfaces} & (intent.runtime.withdrawn | intent.runtime.drained)
        prefixes = [accepted.prefix for accepted in interfaces[0].accept or ()] if peers else []
        if not peers and not moved:  # what is withdrawn or drained leads elsewhere, as it should
            prefixes = [p for p in dict.fromkeys(prefix for one in interfaces for prefix in one.static) if p.prefixlen]
        for prefix in prefixes[:NAMED_MAX]:
            yield GatewayPrefix(gateway, interfaces[0].vrf, prefix, peers, links)


def contested(
    sock: RouteSocket, intent: Intent, indices: Mapping[str, int], only: str | None = None
) -> Iterator[GatewayPrefix]:
    """What else a cloud may announce to which others have a route that goes before BGP's; of one gateway, or of all.

    Not what is advertised to it, nor a default route by `any`: others may well have those.

    Raises:
        KernelError: The kernel does not tell.
    """
    members = {gateway: found for gateway, found in _members(intent, only).items() if _has_more(found)}
    if not members:
        return
    ours = {indices[link] for one in intent.interfaces.values() if (link := interface_link(one)) in indices}
    by_table: dict[int, list[OthersRoute]] = {}
    for route in preferred_to_bgp(sock, ours):
        by_table.setdefault(route.table, []).append(route)
    share = max(_CONTESTED_MIN, _CONTESTED_MAX // len(members))
    known: dict[object, list[OthersRoute]] = {}
    for gateway, interfaces in members.items():
        one, table = interfaces[0], _table(sock, interfaces[0].vrf, indices)
        key = table, one.accept, one.advertise
        if key not in known:  # thousands of gateways may have them in common
            known[key] = [route for route in by_table.get(table, ()) if _may_come(one, route.prefix)]
        links = _links(interfaces)
        own = {indices.get(link) for link in links}
        prefixes = dict.fromkeys(route.prefix for route in known[key] if route.link not in own)
        for prefix in islice(prefixes, share):
            yield GatewayPrefix(gateway, one.vrf, prefix, _peers(interfaces), links)


def _members(intent: Intent, only: str | None) -> dict[str, list[ResolvedInterface]]:
    """The virtual interfaces by gateway."""
    members: dict[str, list[ResolvedInterface]] = {}
    for interface in intent.interfaces.values():
        if only in (None, interface.virtual_gateway):
            members.setdefault(interface.virtual_gateway, []).append(interface)
    return members


def _peers(interfaces: Iterable[ResolvedInterface]) -> frozenset[str]:
    return frozenset(str(session.cloud) for one in interfaces for session in one.sessions)


def _links(interfaces: Iterable[ResolvedInterface]) -> tuple[str, ...]:
    return tuple(sorted(map(interface_link, interfaces)))


def _has_more(interfaces: list[ResolvedInterface]) -> bool:
    """Whether a cloud may announce more than the prefixes that are looked at anyway."""
    accept = interfaces[0].accept
    more = accept is None or len(accept) > NAMED_MAX or any(accepted.le is not None for accepted in accept)
    return more and bool(_peers(interfaces))


def _may_come(interface: ResolvedInterface, prefix: Prefix) -> bool:
    if any(_within(prefix, ours) for ours in interface.advertise):
        return False
    accept = interface.accept
    if accept is None:
        return bool(prefix.prefixlen)
    looked_at = any(accepted.prefix == prefix for accepted in accept[:NAMED_MAX])
    return not looked_at and any(_takes(accepted, prefix) for accepted in accept)


def _takes(accepted: AcceptedPrefix, prefix: Prefix) -> bool:
    longest = accepted.le if accepted.le is not None else accepted.prefix.prefixlen
    return prefix.prefixlen <= longest and _within(prefix, accepted.prefix)


def _within(inner: Prefix, outer: Prefix) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _table(sock: RouteSocket, vrf: str | None, indices: Mapping[str, int]) -> int:
    """The VRF's table, or the main one; 0 where the VRF is not there."""
    if vrf is None:
        return RT_TABLE_MAIN
    device = link_at(sock, indices[vrf]) if vrf in indices else None
    return device.table if device is not None else 0
