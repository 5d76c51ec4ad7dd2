"""What the kernel is asked: the messages that look at links, addresses, routes and queues (linux/rtnetlink.h)."""

from __future__ import annotations

from functools import lru_cache
from socket import AF_INET, AF_INET6, AF_UNSPEC

from pyroute2.netlink.rtnl import (
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETQDISC,
    RTM_GETROUTE,
    RTM_GETRULE,
    RTM_GETTCLASS,
    RTM_GETTFILTER,
    rt_proto,
)
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from dcedge.kernel.queue.handles import ROOT_HANDLE
from dcedge.kernel.ranks import ROUTE_PROTOCOL
from dcedge.netlink.descriptions import (
    INGRESS_FILTERS,
    RTEXT_FILTER_SKIP_STATS,
    link_message,
    queue_message,
)
from dcedge.netlink.socket import Request
from dcedge.netlink.templates import Slot, Template, request
from dcedge.order.field_types import Address

_LINK = Template(
    link_message,
    RTM_GETLINK,
    0,
    {"index": Slot("index"), "attrs": [("IFLA_EXT_MASK", Slot("mask"))]},
)
_ADDRESSES = Template(ifaddrmsg, RTM_GETADDR, 0, {"index": Slot("index")})


def links(index: int = 0, *, counters: bool = False) -> Request:
    """One link, or all (0); with their counters where they are wanted."""
    return _LINK.fill(index=index, mask=0 if counters else RTEXT_FILTER_SKIP_STATS)


def link_by_any_name(name: str) -> Request:
    """The link that has a name, as its own or as an alternative one."""
    name_ = name.encode()
    return _by_any_name(len(name_)).fill(name=name_)


@lru_cache(16)
def _by_any_name(name_bytes: int) -> Template:
    return Template(link_message, RTM_GETLINK, 0, {"attrs": [("IFLA_ALT_IFNAME", Slot("name", "x" * name_bytes))]})


def addresses(index: int = 0) -> Request:
    """The addresses on one link, or on all (0)."""
    return _ADDRESSES.fill(index=index)


@lru_cache(8)
def _queues(kind: int) -> Template:
    return Template(queue_message, kind, 0, {"index": Slot("index"), "parent": Slot("parent")})


def qdiscs() -> Request:
    """The qdiscs of all links; the kernel tells those of all anyway."""
    return _queues(RTM_GETQDISC).fill(index=0, parent=0)


def classes(index: int) -> Request:
    """The classes of our tree on a link."""
    return _queues(RTM_GETTCLASS).fill(index=index, parent=ROOT_HANDLE)


def root_filters(index: int) -> Request:
    """The filters at our root on a link."""
    return _queues(RTM_GETTFILTER).fill(index=index, parent=ROOT_HANDLE)


def ingress_filters(index: int) -> Request:
    """The filters on what comes in by a link."""
    return _queues(RTM_GETTFILTER).fill(index=index, parent=INGRESS_FILTERS)


def our_routes(family: int) -> Request:
    """The routes of our protocol number, in every table (NETLINK_GET_STRICT_CHK)."""
    return routes_by(ROUTE_PROTOCOL, family)


def routes_by(protocol: int, family: int) -> Request:
    """The routes that one protocol number has put in, in every table (NETLINK_GET_STRICT_CHK)."""
    return request(rtmsg, RTM_GETROUTE, 0, {"family": family, "proto": protocol})


def advertised_routes() -> Request:
    """The IPv6 routes that come by router advertisements, in every table: a link in a VRF has its own there."""
    return routes_by(rt_proto["ra"], AF_INET6)


def route_to(address: Address, vrf: int = 0, flags: int = 0) -> Request:
    """The route that packets to an address take, in the VRF of this index, else by the main table.

    `flags`: RTM_F_FIB_MATCH for the one in the table, instead of what comes of it for the address.
    """
    family = AF_INET if address.version == 4 else AF_INET6
    attrs = [("RTA_DST", str(address)), *([("RTA_OIF", vrf)] if vrf else [])]
    content = {"family": family, "dst_len": address.max_prefixlen, "flags": flags, "attrs": attrs}
    return request(rtmsg, RTM_GETROUTE, 0, content)


def rules(family: int) -> Request:
    """The rules that lead to routing tables."""
    return request(fibmsg, RTM_GETRULE, 0, {"family": family})


def neighbours() -> Request:
    """Every neighbour on every link."""
    return request(ndmsg, RTM_GETNEIGH, 0, {"family": AF_UNSPEC})
