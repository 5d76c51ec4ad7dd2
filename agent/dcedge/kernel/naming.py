"""Names in the kernel: what a virtual interface's link is called, and the marks that say whose it is."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Collection, Iterable, Mapping

from dcedge.order.field_types import IFNAME_MAX
from dcedge.order.resolve import ResolvedInterface, Tag

ALIAS_PREFIX = "dcedge:"
ALTNAME_PREFIX = "vi-"
CONNECTION_ALIAS = ALIAS_PREFIX + "connection:"
VRF_ALIAS = ALIAS_PREFIX + "vrf:"
INGRESS_ALIAS = ALIAS_PREFIX + "ingress:"
BOND_ALIAS = ALIAS_PREFIX + "bond:"
# Table numbers of our VRFs: above what iproute2 and its users name (0-255) and below what most programs count up from.
VRF_TABLE_FIRST, VRF_TABLES = 10_000, 50_000


def link_name(port: str, tags: tuple[Tag, ...]) -> str:
    """`<port>.<vlan>` (`<port>.<outer>.<vlan>`) where it fits 15 characters, else a short name that is always the same.

    The short one keeps the innermost VLAN readable: `dc-` + 5 characters of a hash + `.<vlan>`.
    """
    if not tags:
        return port
    name = ".".join([port, *(str(tag.vlan_id) for tag in tags)])
    if len(name) > IFNAME_MAX:
        digest = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()
        name = f"dc-{digest[:5]}.{tags[-1].vlan_id}"
    return sys.intern(name)  # much of what is kept of thousands of links has their names


def interface_link(interface: ResolvedInterface) -> str:
    """The kernel's name of a virtual interface's link."""
    return link_name(interface.port, interface.tags)


def alias(virtual_interface: str) -> str:
    """The ifalias that marks a link as this virtual interface's."""
    return sys.intern(ALIAS_PREFIX + virtual_interface)


def altname(virtual_interface: str) -> str:
    """The alternative name under which a virtual interface's link is always found."""
    return sys.intern(ALTNAME_PREFIX + virtual_interface)


def bond_altname(bond: str) -> str:
    """The alternative name that marks a bond as made here: its ifalias may be an untagged virtual interface's."""
    return f"dcedge-bond-{bond}"


def ingress_device(link: str) -> str:
    """The device through which what comes in by a link is shaped."""
    return "dci-" + base64.b32encode(hashlib.sha256(link.encode()).digest()).decode().lower()[:8]


def vrf_tables(names: Iterable[str]) -> Mapping[str, int]:
    """A routing table for each VRF: it follows from the name, and no two share one."""
    tables: dict[str, int] = {}
    for name in sorted(names):
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
        tables[name] = free_table(VRF_TABLE_FIRST + digest % VRF_TABLES, tables.values())
    return tables


def free_table(wished: int, taken: Collection[int]) -> int:
    """The wished table, or the next one of our range that is free."""
    while wished in taken:
        wished = VRF_TABLE_FIRST + (wished + 1 - VRF_TABLE_FIRST) % VRF_TABLES
    return wished
