"""The links that an order has not by their own name: by an alternative one, by a card's address, by its place.

`ip link property add dev NAME altname OTHER`; a permanent hardware address; what udev has as ID_PATH, pci-0000:03:00.0.
A new kernel may give a card another name, but leaves it its address and its place.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from dcedge.kernel import questions
from dcedge.kernel.dump import dump
from dcedge.kernel.link.view import link_name
from dcedge.netlink.descriptions import link_message
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import PCI_PREFIX

SYSFS_LINKS = Path("/sys/class/net")
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\Z")
_CARD = Reader(
    link_message,
    *("IFLA_IFNAME", "IFLA_LINK", "IFLA_ADDRESS", "IFLA_PERM_ADDRESS"),
    nests={"IFLA_LINKINFO": Reader(link_message.ifinfo, "IFLA_INFO_KIND")},
)
_MADE_OF_PORTS = {"bond", "bridge", "team", "vrf"}  # and with the address of one of them


class _Card(NamedTuple):
    """A link that may be a card: its own name and hardware address, the permanent one where it has one."""

    name: str
    address: str


def port_names(
    sock: RouteSocket,
    ports: Iterable[str],
    known: Container[str] = (),
    before: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """By what the order has for a port, the link's own name; `known` are names of links that need no question.

    `before`: what was found the last time, which is looked at first. One whose own name is another port of the order is
    left out: two connections do not share a port. Raises KernelError.
    """
    ports = tuple(ports)
    found: dict[str, str] = {}
    for name in ports:
        if name in known:
            continue
        own = _own_name(sock, name, before.get(name))
        if own is not None and own != name and own not in ports and own not in found.values():
            found[name] = own
    return found


def _own_name(sock: RouteSocket, name: str, before: str | None) -> str | None:
    """The name of the link that is meant; None where there is none."""
    if name.startswith(PCI_PREFIX):
        return _at_place(name.removeprefix(PCI_PREFIX), before)
    if ":" not in name:  # which no link's name has
        # The kernel looks for what is asked by alternative name among the links' own names as well.
        return sock.get(questions.link_by_any_name(name), link_name)
    if before is not None:
        card = sock.get(questions.link_by_any_name(before), _card)
        if card is not None and card.address == name:
            return before
    cards = (card for card in dump(sock, questions.links(), _card) if card is not None)
    return next((card.name for card in cards if card.address == name), None)


def _card(data: memoryview, start: int, end: int) -> _Card | None:
    """A link from an RTM_NEWLINK message's body; None where it stands on others, and may have the address of one."""
    said = _CARD.read(data, start, end)
    kind = said.get("IFLA_LINKINFO", {}).get("IFLA_INFO_KIND", "")
    permanent, current = bytes(said.get("IFLA_PERM_ADDRESS", b"")), bytes(said.get("IFLA_ADDRESS", b""))
    if not permanent and (kind in _MADE_OF_PORTS or _on_another(said, kind)):
        return None
    return _Card(said["IFLA_IFNAME"], (permanent or current).hex(":"))


def _on_another(said: Mapping[str, object], kind: str) -> bool:
    """A veth names its other end as what it is on."""
    return "IFLA_LINK" in said and kind != "veth"


def _at_place(place: str, before: str | None) -> str | None:
    """The one link of the card at a place on the PCI bus; None where it has several: a place does not tell which."""
    if before is not None and _place(before) == place:
        return before
    try:
        names = sorted(path.name for path in SYSFS_LINKS.iterdir())
    except OSError:
        return None
    there = [name for name in names if _place(name) == place]
    return there[0] if len(there) == 1 else None


def _place(link: str) -> str | None:
    """Where a link's device is on the PCI bus, or what it is a part of there (virtio); None where it is on none."""
    device = SYSFS_LINKS / link / "device"
    parts = device.resolve().parts if device.is_symlink() else ()
    return next((part for part in reversed(parts) if _PCI_ADDRESS.match(part)), None)
