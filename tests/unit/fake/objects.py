"""Links, addresses and routes as the kernel keeps them, and as pyroute2 reads and writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_interface, ip_network
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2.netlink.rtnl import rt_type
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_SECONDARY, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_LOWER_UP, IFF_RUNNING, IFF_UP, ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import RT_SCOPE_LINK, RT_SCOPE_UNIVERSE, rtmsg

from tests.unit.fake.queues import Queues
from tests.unit.fake.wire import Message, attributes, number

UNICAST, UNREACHABLE = rt_type["unicast"], rt_type["unreachable"]
KERNEL_LINK_LOCAL = 3  # IFAPROT_KERNEL_LL
LOOPBACK = 1
TABLE_MAIN, TABLE_COMPAT = 254, 252
IFLA_AF_SPEC = number(ifinfmsg, "IFLA_AF_SPEC")
IFLA_INET_CONF = 1
# pyroute2 takes struct ipv4_devconf for the whole of AF_INET, header of IFLA_INET_CONF included.
CONF4_HEADER = 116 | IFLA_INET_CONF << 16
CONF4 = {
    "forwarding": 0, "accept_redirects": 1, "send_redirects": 1, "rp_filter": 2, "accept_source_route": 1,
    "arp_announce": 0, "arp_ignore": 0,
}  # fmt: skip
CONF4_NUMBERS = {
    1: "forwarding", 4: "accept_redirects", 6: "send_redirects", 8: "rp_filter", 9: "accept_source_route",
    18: "arp_announce", 19: "arp_ignore",
}  # fmt: skip
CONF6 = {"forwarding": 0, "accept_ra": 1}


@dataclass
class Address:
    """One address; `protocol` says who made it."""

    interface: str
    protocol: int = 0

    @property
    def is_link_local(self) -> bool:
        """Whether it is IPv6's own on every link."""
        ip = ip_interface(self.interface).ip
        return isinstance(ip, IPv6Address) and ip.is_link_local


@dataclass
class Link:
    """One link; `data` are its kind's settings by pyroute2's names."""

    index: int
    name: str
    queues: Queues
    kind: str = ""
    mtu: int = 1500
    mtu_max: int = 9000
    up: bool = False
    carrier: bool = True
    carrier_changes: int = 1
    below: int = 0
    master: int = 0
    alias: str = ""
    group: int = 0
    altnames: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    egress_qos: dict[int, int] = field(default_factory=dict)
    conf4: dict[str, int] = field(default_factory=lambda: dict(CONF4))
    addresses: list[Address] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)  # by pyroute2's names for rtnl_link_stats64
    permanent: str = ""  # the hardware address that a card was made with

    @property
    def hardware(self) -> bytes:
        """Its MAC address."""
        return bytes([2, 0]) + self.index.to_bytes(4, "big")


@dataclass(frozen=True)
class RouteKey:
    """What tells a route from another."""

    prefix: str
    table: int
    metric: int


@dataclass
class Route:
    """A route: by which links (index) and gateways, and who made it."""

    hops: tuple[tuple[int, str], ...]
    protocol: int
    type: int = UNICAST


def decode(form: type, request: Message) -> Any:
    said = form(request.frame)
    said.decode()
    return said


def encode(form: type, head: dict[str, int], attrs: list[Any]) -> bytes:
    """A message's body; what was encoded once is not again, as each look is told of the same links."""
    told = (form, f"{head}{attrs}")
    if told not in _encoded:
        _encoded[told] = _encode(form, head, attrs)
    return _encoded[told]


_encoded: dict[tuple[type, str], bytes] = {}


def _encode(form: type, head: dict[str, int], attrs: list[Any]) -> bytes:
    said = form()
    for name, value in head.items():
        said[name] = value
    said["attrs"] = attrs
    said.encode()
    return bytes(said.data[16:])


def conf4_of(request: Message) -> Iterator[tuple[int, int]]:
    families = attributes(attributes(request.body[16:]).get(IFLA_AF_SPEC, b""))
    for kind, value in attributes(attributes(families.get(AF_INET, b"")).get(IFLA_INET_CONF, b"")).items():
        yield kind, int.from_bytes(value, "little")


def link_local(hardware: bytes) -> IPv6Address:
    """RFC 4291, appendix A."""
    identifier = bytes([hardware[0] ^ 2]) + hardware[1:3] + b"\xff\xfe" + hardware[3:]
    return IPv6Address(b"\xfe\x80" + bytes(6) + identifier)


def interface_of(said: Any) -> str:
    return str(ip_interface(f"{said.get_attr('IFA_LOCAL') or said.get_attr('IFA_ADDRESS')}/{said['prefixlen']}"))


def _is_secondary(link: Link, address: Address) -> bool:
    """Whether an IPv4 address was added after another of its subnet (__inet_insert_ifa in net/ipv4/devinet.c)."""
    network = ip_interface(address.interface).network
    first = next((one for one in link.addresses if ip_interface(one.interface).network == network), address)
    return network.version == 4 and first.interface != address.interface


def address_body(link: Link, address: Address) -> bytes:
    interface = ip_interface(address.interface)
    head = {
        "family": AF_INET if interface.version == 4 else AF_INET6,
        "prefixlen": interface.network.prefixlen,
        "scope": RT_SCOPE_LINK if address.is_link_local else RT_SCOPE_UNIVERSE,
        "index": link.index,
        "flags": IFA_F_SECONDARY if _is_secondary(link, address) else 0,
    }
    attrs: list[Any] = [("IFA_ADDRESS", str(interface.ip))]
    if interface.version == 4:
        attrs.append(("IFA_LOCAL", str(interface.ip)))
    if address.protocol:
        attrs.append(("IFA_PROTO", address.protocol))
    return encode(ifaddrmsg, head, attrs)


def route_key(said: Any) -> RouteKey:
    unspecified = "0.0.0.0" if said["family"] == AF_INET else "::"
    prefix = ip_network(f"{said.get_attr('RTA_DST') or unspecified}/{said['dst_len']}")
    return RouteKey(str(prefix), said.get_attr("RTA_TABLE") or said["table"], said.get_attr("RTA_PRIORITY") or 0)


def link_body(link: Link, conf6: dict[str, int], *, counters: bool = False) -> bytes:
    """A link's message, with its IPv6 settings; with its counters where they are asked for."""
    flags = (IFF_UP if link.up else 0) | (IFF_RUNNING | IFF_LOWER_UP if link.up and link.carrier else 0)
    info: list[Any] = [("IFLA_INFO_KIND", link.kind)]
    data: list[Any] = list(link.data.items())
    if link.egress_qos:
        mapped = [("IFLA_VLAN_QOS_MAPPING", {"from": f, "to": t}) for f, t in link.egress_qos.items()]
        data.append(("IFLA_VLAN_EGRESS_QOS", {"attrs": mapped}))
    if data:
        info.append(("IFLA_INFO_DATA", {"attrs": data}))
    families = [
        ("AF_INET", {"dummy": CONF4_HEADER, **link.conf4}),
        *([("AF_INET6", {"attrs": [("IFLA_INET6_CONF", conf6)]})] if conf6 else []),
    ]
    attrs: list[Any] = [
        ("IFLA_IFNAME", link.name),
        ("IFLA_MTU", link.mtu),
        ("IFLA_GROUP", link.group),
        ("IFLA_ADDRESS", ":".join(f"{byte:02x}" for byte in link.hardware)),
        ("IFLA_AF_SPEC", {"attrs": families}),
        ("IFLA_CARRIER_CHANGES", link.carrier_changes),
    ]
    if link.permanent:
        attrs.append(("IFLA_PERM_ADDRESS", bytes.fromhex(link.permanent.replace(":", ""))))
    if counters:
        attrs.append(("IFLA_STATS64", link.counted))
    if link.below:
        attrs.append(("IFLA_LINK", link.below))
    if link.master:
        attrs.append(("IFLA_MASTER", link.master))
    if link.alias:
        attrs.append(("IFLA_IFALIAS", link.alias))
    if link.kind:
        attrs.append(("IFLA_LINKINFO", {"attrs": info}))
    if link.altnames:
        attrs.append(("IFLA_PROP_LIST", {"attrs": [("IFLA_ALT_IFNAME", name) for name in link.altnames]}))
    return encode(ifinfmsg, {"index": link.index, "flags": flags, "ifi_type": 1}, attrs)


def route_body(key: RouteKey, route: Route) -> bytes:
    """A route's message."""
    network = ip_network(key.prefix)
    head = {
        "family": AF_INET if network.version == 4 else AF_INET6,
        "dst_len": network.prefixlen,
        "proto": route.protocol,
        "type": route.type,
        "table": key.table if key.table < 256 else TABLE_COMPAT,
    }
    attrs: list[Any] = [("RTA_TABLE", key.table), ("RTA_PRIORITY", key.metric)]
    if network.prefixlen:
        attrs.append(("RTA_DST", str(network.network_address)))
    if route.type == UNREACHABLE:
        attrs += [("RTA_OIF", LOOPBACK)] if network.version == 6 else []  # where IPv6 has it
    elif len(route.hops) == 1 and not route.hops[0][1]:
        attrs += [("RTA_OIF", route.hops[0][0])]
    elif len(route.hops) == 1:
        attrs += [("RTA_OIF", route.hops[0][0]), ("RTA_GATEWAY", route.hops[0][1])]
    else:
        ways = [{"oif": oif, "attrs": [("RTA_GATEWAY", gateway)]} for oif, gateway in route.hops]
        attrs.append(("RTA_MULTIPATH", ways))
    return encode(rtmsg, head, attrs)
