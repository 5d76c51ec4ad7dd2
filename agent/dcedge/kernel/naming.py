"""Names in the kernel: what a virtual interface's link is called, and the marks that say whose it is."""

from __future__ import annotations

import base64
import hashlib

from dcedge.order.model import IFNAME_MAX
from dcedge.order.resolve import ResolvedInterface, Tag

ALIAS_PREFIX = "dcedge:"
ALTNAME_PREFIX = "vi-"


def link_name(port: str, tags: tuple[Tag, ...]) -> str:
    """`<port>.<vlan>` (`<port>.<outer>.<vlan>`) where it fits 15 characters, else a short name that is always the same.

    The short one keeps the innermost VLAN readable: `dc-` + 5 characters of a hash + `.<vlan>`.
    """
    if not tags:
        return port
    plain = ".".join([port, *(str(tag.vlan_id) for tag in tags)])
    if len(plain) <= IFNAME_MAX:
        return plain
    digest = base64.b32encode(hashlib.sha256(plain.encode()).digest()).decode().lower()
    return f"dc-{digest[:5]}.{tags[-1].vlan_id}"


def interface_link(interface: ResolvedInterface) -> str:
    """The kernel's name of a virtual interface's link."""
    return link_name(interface.port, interface.tags)


def alias(virtual_interface: str) -> str:
    """The ifalias that marks a link as this virtual interface's."""
    return ALIAS_PREFIX + virtual_interface


def altname(virtual_interface: str) -> str:
    """The alternative name under which a virtual interface's link is always found."""
    return ALTNAME_PREFIX + virtual_interface
