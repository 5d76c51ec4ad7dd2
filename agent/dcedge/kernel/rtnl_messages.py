"""Changes of links, addresses and routes as netlink messages: pure, one function a change (linux/rtnetlink.h)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_network
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2.netlink import NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELLINKPROP,
    RTM_DELROUTE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWLINKPROP,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    RTM_SETLINK,
    rt_proto,
    rt_type,
)
from pyroute2.netlink.rtnl.fibmsg import FR_ACT_NAMES, fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP
from pyroute2.netlink.rtnl.rtmsg import RT_SCOPE_UNIVERSE, rtmsg

from dcedge.kernel.queue.handles import CONTROL_HANDLE
from dcedge.kernel.ranks import ROUTE_PROTOCOL
from dcedge.kernel.vrf.resource import L3MDEV_PRIORITY, UNREACHABLE_METRIC
from dcedge.netlink.descriptions import (
    BOND_MODE_8023AD,
    BOND_XMIT_POLICY_LAYER34,
    RT_TABLE_COMPAT,
    link_message,
)
from dcedge.netlink.socket import Request
from dcedge.netlink.templates import Slot, Template, request
from dcedge.order.field_types import Address, Interface, Prefix
from dcedge.order.resolve import Tag

LACP_RATES = {"slow": 0, "fast": 1}
_BOND_MIIMON_MS = 100
_SHAPES = 1024  # of one kind of message: names and aliases come in few lengths
_ANY = {4: "0.0.0.0", 6: "::"}
_FAMILIES = {4: AF_INET, 6: AF_INET6}

Attributes = list[tuple[str, Any]]


def create_vlan(
    index: int,
    name: str,
    parent_index: int,
    tag: Tag,
    mtu: int,
    alias: str,
    *,
    master: int | None,
    control_pcp: int = 0,
) -> Request:
    """One message for the whole link, down yet, at the index we chose, so that its children need not wait."""
    name_, alias_ = name.encode(), alias.encode()
    shape = _vlan(len(name_), len(alias_), mastered=master is not None, mapped=control_pcp != 0)
    return shape.fill(
        index=index, name=name_, below=parent_index, mtu=mtu, alias=alias_, vlan=tag.vlan_id, ethertype=tag.ethertype,
        master=master or 0, pcp=control_pcp,
    )  # fmt: skip


@lru_cache(_SHAPES)
def _vlan(name_bytes: int, alias_bytes: int, *, mastered: bool, mapped: bool) -> Template:
    data: Attributes = [("IFLA_VLAN_ID", Slot("vlan")), ("IFLA_VLAN_PROTOCOL", Slot("ethertype"))]
    attrs: Attributes = [
        ("IFLA_IFNAME", _text("name", name_bytes)),
        ("IFLA_LINK", Slot("below")),
        ("IFLA_MTU", Slot("mtu")),
        ("IFLA_IFALIAS", _text("alias", alias_bytes)),
        _kind("vlan", [*data, *([_egress_qos(Slot("pcp"))] if mapped else [])]),
        *([("IFLA_MASTER", Slot("master"))] if mastered else []),
    ]
    content = {"index": Slot("index"), "change": IFF_UP, "attrs": attrs}
    return Template(link_message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, content)


def set_control_pcp(index: int, pcp: int) -> Request:
    """The 802.1p priority of control packets that leave by a VLAN link (ip-link(8), egress-qos-map)."""
    return _change(index, [_kind("vlan", [_egress_qos(pcp)])])


def _egress_qos(pcp: int | Slot) -> tuple[str, Any]:
    mapping = ("IFLA_VLAN_QOS_MAPPING", {"from": CONTROL_HANDLE, "to": pcp})
    return ("IFLA_VLAN_EGRESS_QOS", {"attrs": [mapping]})


def _kind(kind: str, data: Attributes | None = None) -> tuple[str, Any]:
    """IFLA_LINKINFO: what kind of link, and the settings of its kind."""
    info: Attributes = [("IFLA_INFO_KIND", kind)]
    return ("IFLA_LINKINFO", {"attrs": info if data is None else [*info, ("IFLA_INFO_DATA", {"attrs": data})]})


def _text(name: str, size: int) -> Slot:
    return Slot(name, "x" * size)


def _create(index: int, name: str, info: tuple[str, Any], *, up: bool) -> Request:
    attrs = [("IFLA_IFNAME", name), info]
    content = {"index": index, "flags": IFF_UP if up else 0, "change": IFF_UP, "attrs": attrs}
    return request(link_message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, content)


def _change(index: int, attrs: Attributes) -> Request:
    return request(link_message, RTM_NEWLINK, 0, {"index": index, "attrs": attrs})


def create_vrf(index: int, name: str, table: int) -> Request:
    """A VRF with its routing table, up (vrf.rst)."""
    return _create(index, name, _kind("vrf", [("IFLA_VRF_TABLE", table)]), up=True)


def create_ifb(index: int, name: str) -> Request:
    """A device that gives what is sent to it back as having come in, up."""
    return _create(index, name, _kind("ifb"), up=True)


def create_bond(index: int, name: str, lacp_rate: str, min_links: int) -> Request:
    """An LACP bond (IEEE 802.1AX) that spreads flows by their ports, down and without members (bonding.rst)."""
    settings: Attributes = [
        ("IFLA_BOND_MODE", BOND_MODE_8023AD),
        ("IFLA_BOND_MIIMON", _BOND_MIIMON_MS),
        ("IFLA_BOND_XMIT_HASH_POLICY", BOND_XMIT_POLICY_LAYER34),
        *_bond_settings(lacp_rate, min_links),
    ]
    return _create(index, name, _kind("bond", settings), up=False)


def change_bond(index: int, *, lacp_rate: str | None = None, min_links: int | None = None) -> Request:
    """Change a bond; its LACP rate only while it is down."""
    return _change(index, [_kind("bond", list(_bond_settings(lacp_rate, min_links)))])


def _bond_settings(lacp_rate: str | None, min_links: int | None) -> Iterator[tuple[str, int]]:
    if min_links is not None:
        yield "IFLA_BOND_MIN_LINKS", min_links
    if lacp_rate is not None:
        yield "IFLA_BOND_AD_LACP_RATE", LACP_RATES[lacp_rate]


def set_link(
    index: int,
    *,
    up: bool | None = None,
    mtu: int | None = None,
    alias: str | None = None,
    master: int | None = None,
    group: int | None = None,
    conf4: Iterable[tuple[str, int]] = (),
) -> Request:
    """Change a link in place; what is None stays. `alias` "" removes it, `master` 0 releases."""
    numbers = {"IFLA_MTU": mtu, "IFLA_MASTER": master, "IFLA_GROUP": group}
    values: dict[str, int | bytes] = {name: number for name, number in numbers.items() if number is not None}
    settings = dict(conf4)
    alias_ = alias.encode() if alias is not None else b""
    shape = _setting(tuple(values), len(alias_) if alias is not None else None, tuple(settings), up)
    return shape.fill(index=index, alias=alias_, **values, **settings)


@lru_cache(_SHAPES)
def _setting(numbers: tuple[str, ...], alias_bytes: int | None, conf4: tuple[str, ...], up: bool | None) -> Template:
    attrs: Attributes = [(name, Slot(name)) for name in numbers]
    if alias_bytes is not None:
        attrs.append(("IFLA_IFALIAS", _text("alias", alias_bytes)))
    if conf4:
        settings = {"attrs": [(name, Slot(name)) for name in conf4]}
        attrs.append(("IFLA_AF_SPEC", {"attrs": [("AF_INET", {"attrs": [("IFLA_INET_CONF", settings)]})]}))
    flags = {} if up is None else {"flags": IFF_UP if up else 0, "change": IFF_UP}
    return Template(link_message, RTM_SETLINK, 0, {"index": Slot("index"), **flags, "attrs": attrs})


_DELETE_LINK = Template(link_message, RTM_DELLINK, 0, {"index": Slot("index")})


def delete_link(index: int) -> Request:
    """Remove a link and all its children."""
    return _DELETE_LINK.fill(index=index)


def delete_group(group: int) -> Request:
    """Remove every link of a group at once: the kernel then waits for its readers once, not once a link."""
    return request(link_message, RTM_DELLINK, 0, {"attrs": [("IFLA_GROUP", group)]})


def altname(index: int, name: str, *, add: bool) -> Request:
    """Give a link an alternative name, or take it away."""
    name_ = name.encode()
    return _altname(len(name_), add).fill(index=index, name=name_)


@lru_cache(_SHAPES)
def _altname(name_bytes: int, add: bool) -> Template:
    names = {"attrs": [("IFLA_ALT_IFNAME", _text("name", name_bytes))]}
    kind, flags = (RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND) if add else (RTM_DELLINKPROP, 0)
    return Template(link_message, kind, flags, {"index": Slot("index"), "attrs": [("IFLA_PROP_LIST", names)]})


def address(index: int, interface: Interface, *, add: bool, protocol: int = ROUTE_PROTOCOL) -> Request:
    """Add an address (without duplicate address detection), or remove it."""
    shape = _address(interface.version, add, add and protocol != 0)
    length = interface.network.prefixlen
    return shape.fill(index=index, length=length, address=interface.ip.packed, protocol=protocol)


@lru_cache(_SHAPES)
def _address(version: int, add: bool, marked: bool) -> Template:
    place = Slot("address", _ANY[version])
    attrs: Attributes = [("IFA_LOCAL", place), ("IFA_ADDRESS", place)]
    if marked:
        attrs.append(("IFA_PROTO", Slot("protocol")))
    if add and version == 6:
        attrs.append(("IFA_FLAGS", IFA_F_NODAD))
    content = {"family": _FAMILIES[version], "prefixlen": Slot("length"), "index": Slot("index"), "attrs": attrs}
    kind, flags = (RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL) if add else (RTM_DELADDR, 0)
    return Template(ifaddrmsg, kind, flags, content)


def route(prefix: Prefix, table: int, metric: int, hops: Iterable[tuple[int, Address]]) -> Request:
    """A static route of ours, in the place of whatever we had there: one hop, or several that share the traffic.

    A hop is the index of its link and the gateway's address.
    """
    places = list(hops)
    values = _route_values(prefix, table, metric)
    if len(places) == 1:
        index, gateway = places[0]
        return _route(prefix.version, "prefix" in values, add=True).fill(**values, index=index, gateway=gateway.packed)
    if "prefix" in values:
        values["prefix"] = str(prefix.network_address)
    ways = [{"oif": index, "attrs": [("RTA_GATEWAY", str(gateway))]} for index, gateway in places]
    content = _route_content(prefix.version, values, [("RTA_MULTIPATH", ways)])
    return request(rtmsg, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, content)


def delete_route(prefix: Prefix, table: int, metric: int) -> Request:
    """Remove a static route of ours with all its hops."""
    values = _route_values(prefix, table, metric)
    return _route(prefix.version, "prefix" in values, add=False).fill(**values)


def unreachable(version: int, table: int, *, add: bool) -> Request:
    """The end of a VRF's table, for one IP version (vrf.rst)."""
    everything = ip_network(f"{_ANY[version]}/0")
    content = _route_content(version, _route_values(everything, table, UNREACHABLE_METRIC), [])
    kind, flags = (RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE) if add else (RTM_DELROUTE, 0)
    return request(rtmsg, kind, flags, content | {"type": rt_type["unreachable"]})


def vrf_rule(version: int) -> Request:
    """The rule that leads packets of VRFs' links into their tables, as the kernel makes it (vrf.rst)."""
    attrs: Attributes = [
        ("FRA_L3MDEV", 1),
        ("FRA_PRIORITY", L3MDEV_PRIORITY),
        ("FRA_PROTOCOL", rt_proto["kernel"]),
    ]
    content = {"family": _FAMILIES[version], "action": FR_ACT_NAMES["FR_ACT_TO_TBL"], "attrs": attrs}
    return request(fibmsg, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, content)


def _route_values(prefix: Prefix, table: int, metric: int) -> dict[str, Any]:
    """What tells a route from others; the default route has no prefix."""
    short = table if table < 256 else RT_TABLE_COMPAT
    values: dict[str, Any] = {"length": prefix.prefixlen, "short_table": short, "table": table, "metric": metric}
    if prefix.prefixlen:
        values["prefix"] = prefix.network_address.packed
    return values


@lru_cache(_SHAPES)
def _route(version: int, to_prefix: bool, *, add: bool) -> Template:
    slots = {name: Slot(name) for name in ("length", "short_table", "table", "metric")}
    if to_prefix:
        slots["prefix"] = Slot("prefix", _ANY[version])
    if not add:
        return Template(rtmsg, RTM_DELROUTE, 0, _route_content(version, slots, []))
    way: Attributes = [("RTA_OIF", Slot("index")), ("RTA_GATEWAY", Slot("gateway", _ANY[version]))]
    return Template(rtmsg, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _route_content(version, slots, way))


def _route_content(version: int, values: Mapping[str, Any], way: Attributes) -> dict[str, Any]:
    attrs: Attributes = [("RTA_DST", values["prefix"])] if "prefix" in values else []
    return {
        "family": _FAMILIES[version],
        "dst_len": values["length"],
        "table": values["short_table"],
        "proto": ROUTE_PROTOCOL,
        "scope": RT_SCOPE_UNIVERSE,
        "type": rt_type["unicast"],
        "attrs": [*attrs, ("RTA_TABLE", values["table"]), ("RTA_PRIORITY", values["metric"]), *way],
    }
