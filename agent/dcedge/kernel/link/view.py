"""A link as the kernel tells of it. What thousands of links have alike is read once, and is one object."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pyroute2.netlink.rtnl.ifinfmsg import IFF_LOWER_UP, IFF_RUNNING, IFF_UP
from pyroute2.netlink.rtnl.ifinfmsg.plugins.bond import bond
from pyroute2.netlink.rtnl.ifinfmsg.plugins.vlan import vlan
from pyroute2.netlink.rtnl.ifinfmsg.plugins.vrf import vrf

from dcedge.kernel import questions
from dcedge.kernel.dump import dump
from dcedge.kernel.link.sysctls import IPV4_CONF, IPV6_CONF
from dcedge.kernel.naming import INGRESS_ALIAS
from dcedge.kernel.queue.handles import CONTROL_HANDLE
from dcedge.kernel.rtnl_messages import LACP_RATES
from dcedge.netlink.descriptions import af_spec_inet, inet, ipv4_devconf_read, link_message
from dcedge.netlink.reader import Read, Reader
from dcedge.netlink.socket import RouteSocket
from dcedge.order.resolve import Tag

_ALIKE = 1024  # so many kinds of one thing are remembered


@dataclass(frozen=True, slots=True)
class BondView:
    """What a bond is set to."""

    mode: int
    lacp_rate: str
    min_links: int


@dataclass(frozen=True, slots=True)
class LinkView:
    """One link as the kernel has it."""

    index: int
    name: str
    flags: int
    mtu: int
    below: int  # index of the link that carries it, 0: none in this network namespace
    master: int
    kind: str
    tag: Tag | None
    alias: str
    altnames: tuple[str, ...]
    conf4: tuple[tuple[str, int], ...]
    conf6: tuple[tuple[str, int], ...]
    group: int
    table: int = 0  # a VRF's
    bond: BondView | None = None
    control_pcp: int = 0  # a VLAN link's 802.1p priority for control packets

    @property
    def up(self) -> bool:
        """Whether it is set up (IFF_UP)."""
        return bool(self.flags & IFF_UP)

    @property
    def running(self) -> bool:
        """Whether the kernel uses it: up, and its carrier has been taken note of (IFF_RUNNING, RFC 2863)."""
        return bool(self.flags & IFF_RUNNING)

    @property
    def carrier(self) -> bool:
        """Whether its lower layer is up (IFF_LOWER_UP)."""
        return bool(self.flags & IFF_LOWER_UP)


_IPV6 = af_spec_inet.inet6
LINK = Reader(
    link_message,
    *("index", "flags", "IFLA_IFNAME", "IFLA_MTU", "IFLA_LINK", "IFLA_LINK_NETNSID", "IFLA_MASTER", "IFLA_IFALIAS"),
    "IFLA_GROUP",
    nests={
        "IFLA_LINKINFO": Reader(link_message.ifinfo, "IFLA_INFO_KIND", "IFLA_INFO_DATA"),
        "IFLA_PROP_LIST": Reader(link_message.proplist, "IFLA_ALT_IFNAME", each=("IFLA_ALT_IFNAME",)),
        "IFLA_AF_SPEC": Reader(
            af_spec_inet,
            nests={"AF_INET": Reader(inet, "IFLA_INET_CONF"), "AF_INET6": Reader(_IPV6, "IFLA_INET6_CONF")},
        ),
    },
)
VLAN = Reader(
    vlan,
    *("IFLA_VLAN_ID", "IFLA_VLAN_PROTOCOL"),
    nests={
        "IFLA_VLAN_EGRESS_QOS": Reader(
            vlan.qos,
            nests={"IFLA_VLAN_QOS_MAPPING": Reader(vlan.qos.qos_mapping, "from", "to")},
            each=("IFLA_VLAN_QOS_MAPPING",),
        )
    },
)
BOND = Reader(bond, "IFLA_BOND_MODE", "IFLA_BOND_AD_LACP_RATE", "IFLA_BOND_MIN_LINKS")
_VRF = Reader(vrf, "IFLA_VRF_TABLE")
CONF4 = Reader(ipv4_devconf_read, *(name for name, _ in IPV4_CONF))
CONF6 = Reader(_IPV6.ipv6_devconf, *(name for name, _ in IPV6_CONF))
_HARDWARE = Reader(link_message, "IFLA_ADDRESS")
_NAME = Reader(link_message, "IFLA_IFNAME")
_CARRIER_CHANGES = Reader(link_message, "IFLA_CARRIER_CHANGES")


def is_ingress_device(link: LinkView) -> bool:
    """Whether it is a device through which what comes in by another link is shaped."""
    return link.kind == "ifb" and link.alias.startswith(INGRESS_ALIAS)


def link_at(sock: RouteSocket, index: int) -> LinkView | None:
    """One link; None where it is gone."""
    return sock.get(questions.links(index), link_view)


def dump_links(sock: RouteSocket) -> list[LinkView]:
    """Every link, without its counters."""
    return dump(sock, questions.links(), link_view)


def hardware_address(sock: RouteSocket, index: int) -> bytes:
    """A link's hardware address; empty where it has none, or is gone."""

    def decode(data: memoryview, start: int, end: int) -> bytes:
        return bytes(_HARDWARE.read(data, start, end).get("IFLA_ADDRESS", b""))

    return sock.get(questions.links(index), decode) or b""


def carrier_changes(sock: RouteSocket, index: int) -> int:
    """How often a link has lost or got its carrier; 0 where it is gone."""

    def decode(data: memoryview, start: int, end: int) -> int:
        return int(_CARRIER_CHANGES.read(data, start, end).get("IFLA_CARRIER_CHANGES", 0))

    return sock.get(questions.links(index), decode) or 0


def link_view(data: memoryview, start: int, end: int) -> LinkView:
    """A link from an RTM_NEWLINK message's body."""
    said = LINK.read(data, start, end)
    get = said.get
    info = get("IFLA_LINKINFO", {})
    kind = sys.intern(info.get("IFLA_INFO_KIND", ""))
    settings = _settings(kind, info["IFLA_INFO_DATA"]) if kind in _KINDS and "IFLA_INFO_DATA" in info else {}
    families = get("IFLA_AF_SPEC", {})
    return LinkView(
        index=said["index"],
        name=sys.intern(said["IFLA_IFNAME"]),
        flags=said["flags"],
        mtu=get("IFLA_MTU", 0),
        below=get("IFLA_LINK", 0) if "IFLA_LINK_NETNSID" not in said else 0,
        master=get("IFLA_MASTER", 0),
        kind=kind,
        alias=sys.intern(get("IFLA_IFALIAS", "")),
        altnames=tuple(map(sys.intern, get("IFLA_PROP_LIST", {}).get("IFLA_ALT_IFNAME", ()))),
        conf4=_conf4(families.get("AF_INET", {}).get("IFLA_INET_CONF", b"")),
        conf6=_conf6(families.get("AF_INET6", {}).get("IFLA_INET6_CONF", b"")),
        group=get("IFLA_GROUP", 0),
        tag=settings.get("tag"),
        table=settings.get("table", 0),
        bond=settings.get("bond"),
        control_pcp=settings.get("control_pcp", 0),
    )


def link_name(data: memoryview, start: int, end: int) -> str:
    """A link's name alone, from the same body."""
    return str(_NAME.read(data, start, end)["IFLA_IFNAME"])


def _vlan(said: Read) -> dict[str, Any]:
    mappings = said.get("IFLA_VLAN_EGRESS_QOS", {}).get("IFLA_VLAN_QOS_MAPPING", ())
    return {
        "tag": Tag(said["IFLA_VLAN_ID"], said["IFLA_VLAN_PROTOCOL"]),
        "control_pcp": next((one["to"] for one in mappings if one["from"] == CONTROL_HANDLE), 0),
    }


def _bond(said: Read) -> dict[str, Any]:
    rate = said.get("IFLA_BOND_AD_LACP_RATE", 0)
    return {
        "bond": BondView(
            mode=said["IFLA_BOND_MODE"],
            lacp_rate=next(name for name, number in LACP_RATES.items() if number == rate),
            min_links=said.get("IFLA_BOND_MIN_LINKS", 0),
        )
    }


_KINDS = {
    "vlan": (VLAN, _vlan),
    "vrf": (_VRF, lambda said: {"table": said.get("IFLA_VRF_TABLE", 0)}),
    "bond": (BOND, _bond),
}


def _settings(kind: str, payload: bytes) -> dict[str, Any]:
    """What a link of that kind is set to."""
    reader, settings = _KINDS[kind]
    return settings(reader.read_bytes(payload))


@lru_cache(_ALIKE)
def _conf4(payload: bytes) -> tuple[tuple[str, int], ...]:
    said = CONF4.read_bytes(payload) if payload else {}
    return tuple((name, said[name]) for name, _ in IPV4_CONF if name in said)


@lru_cache(_ALIKE)
def _conf6(payload: bytes) -> tuple[tuple[str, int], ...]:
    said = CONF6.read_bytes(payload) if payload else {}
    return effective_conf6((name, said[name]) for name, _ in IPV6_CONF if name in said)


def effective_conf6(settings: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """IPv6 settings as they act: on a forwarding interface accept_ra counts only as 2 (ip-sysctl.txt)."""
    said = dict(settings)
    if said.get("forwarding") and said.get("accept_ra") == 1:
        said["accept_ra"] = 0
    return tuple(said.items())
