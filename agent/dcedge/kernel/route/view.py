"""Routes as the kernel tells of them."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from socket import AF_INET, AF_INET6

from pyroute2.netlink.rtnl import rt_proto, rt_type
from pyroute2.netlink.rtnl.rtmsg import nh, rtmsg

from dcedge.kernel import questions
from dcedge.kernel.dump import dump, dump_family
from dcedge.kernel.ranks import ROUTE_PROTOCOL
from dcedge.netlink.descriptions import RTPROT_BABEL, RTPROT_KEEPALIVED, RTPROT_ZSTATIC
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Address, Prefix

ROUTE = Reader(
    rtmsg,
    *("family", "dst_len", "table", "proto", "type"),
    *("RTA_DST", "RTA_OIF", "RTA_GATEWAY", "RTA_PRIORITY", "RTA_MULTIPATH", "RTA_TABLE"),
)
NEXTHOP_HEADER = struct.Struct("=" + "".join(form for _, form in nh.cell_header))  # its length
NEXTHOP = Reader(nh, "oif", "RTA_GATEWAY")
_ROUTE_TYPES = {rt_type["unicast"], rt_type["unreachable"]}
# zebra takes whatever is in the kernel and not by itself for better than what BGP learns, and its own static routes
# (distances 0, 1 and 20: its zebra/zebra_rib.c). What is put in by hand comes first, the connected networks last.
_PREFERRED_TO_BGP = (
    *(rt_proto["static"], rt_proto["boot"], RTPROT_ZSTATIC, RTPROT_KEEPALIVED, RTPROT_BABEL),
    *(rt_proto[name] for name in ("bird", "dhcp", "ra", "kernel")),
)
_LEADING = {rt_type[name] for name in ("unicast", "blackhole", "unreachable", "prohibit")}


@dataclass(frozen=True, slots=True)
class RouteView:
    """One route of our protocol number: hops as index of the link (0: it is gone) and gateway."""

    prefix: Prefix
    table: int
    metric: int
    hops: tuple[tuple[int, Address], ...]
    unreachable: bool = False


def our_routes(sock: RouteSocket) -> list[RouteView]:
    """The routes of our protocol number, in every table; the kernel sends no others (NETLINK_GET_STRICT_CHK)."""
    found = []
    for family in (AF_INET, AF_INET6):
        found += dump_family(sock, questions.our_routes(family), _route)
    return [route for route in found if route is not None]


@dataclass(frozen=True, slots=True)
class OthersRoute:
    """A route that dcedge has not made; `link` is the index of the one it leads to, 0 where none or several."""

    prefix: Prefix
    table: int
    link: int


def preferred_to_bgp(sock: RouteSocket, ours: Collection[int]) -> Iterator[OthersRoute]:
    """The routes of others that a route learnt by BGP gives way to, in every table.

    Not the networks that links of ours, by index, are in by their addresses.
    """

    def others(data: memoryview, start: int, end: int) -> OthersRoute | None:
        said = ROUTE.read(data, start, end)
        link, protocol = said.get("RTA_OIF", 0), said["proto"]
        connected = protocol == rt_proto["kernel"]
        if said["type"] not in _LEADING or protocol not in _PREFERRED_TO_BGP or (connected and link in ours):
            return None
        network = said.get("RTA_DST", bytes(4 if said["family"] == AF_INET else 16))
        prefix = ip_network((network, said["dst_len"]))
        if prefix.is_link_local or prefix.is_multicast:
            return None
        return OthersRoute(prefix, said.get("RTA_TABLE") or said["table"], link)

    for protocol in _PREFERRED_TO_BGP:
        for family in (AF_INET, AF_INET6):
            found = dump_family(sock, questions.routes_by(protocol, family), others)
            yield from (route for route in found if route is not None)


def advertised_defaults(sock: RouteSocket) -> set[int]:
    """The links, by index, of default routes that come by router advertisements."""

    def default(data: memoryview, start: int, end: int) -> int | None:
        said = ROUTE.read(data, start, end)
        return said.get("RTA_OIF") if said["proto"] == rt_proto["ra"] and not said["dst_len"] else None

    return {index for index in dump(sock, questions.advertised_routes(), default) if index is not None}


def _route(data: memoryview, start: int, end: int) -> RouteView | None:
    said = ROUTE.read(data, start, end)
    if said["proto"] != ROUTE_PROTOCOL or said["type"] not in _ROUTE_TYPES:
        return None
    network = said.get("RTA_DST", bytes(4 if said["family"] == AF_INET else 16))
    hops: list[tuple[int, Address]] = []
    if "RTA_MULTIPATH" in said:
        hops = list(next_hops(said["RTA_MULTIPATH"]))
    elif "RTA_GATEWAY" in said:
        hops = [(said.get("RTA_OIF", 0), ip_address(said["RTA_GATEWAY"]))]
    return RouteView(
        prefix=ip_network((network, said["dst_len"])),
        table=said.get("RTA_TABLE") or said["table"],
        metric=said.get("RTA_PRIORITY", 0),
        hops=tuple(hops),
        unreachable=said["type"] == rt_type["unreachable"],
    )


def next_hops(payload: bytes) -> Iterator[tuple[int, Address]]:
    """Link and gateway of each of a route's next hops that has one (rtnetlink(7), struct rtnexthop)."""
    data, at = memoryview(payload), 0
    while at + NEXTHOP_HEADER.size <= len(payload):
        (size,) = NEXTHOP_HEADER.unpack_from(data, at)
        said = NEXTHOP.read(data, at + NEXTHOP_HEADER.size, at + size)
        if "RTA_GATEWAY" in said:
            yield said["oif"], ip_address(said["RTA_GATEWAY"])
        at += max((size + 3) & ~3, 4)
