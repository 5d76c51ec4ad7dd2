"""Addresses as the kernel tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from socket import AF_INET6

from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_SECONDARY, ifaddrmsg
from pyroute2.netlink.rtnl.rtmsg import RT_SCOPE_LINK

from dcedge.kernel import questions
from dcedge.kernel.dump import dump
from dcedge.kernel.ranks import ROUTE_PROTOCOL
from dcedge.netlink.layout import fields_struct
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Interface

ADDRESS = Reader(ifaddrmsg, "prefixlen", "index", "flags", "IFA_LOCAL", "IFA_ADDRESS", "IFA_PROTO")
_SCOPE = fields_struct(ifaddrmsg, ("family", "scope", "index"))


@dataclass(frozen=True, slots=True)
class AddressView:
    """One address; `protocol` says who made it (0 where the kernel does not know).

    `secondary`: IPv4 has another one in its subnet that was there before.
    """

    index: int
    interface: Interface
    protocol: int
    secondary: bool = False


def addresses_on(sock: RouteSocket, index: int) -> list[AddressView]:
    """The addresses on one link."""
    found = dump(sock, questions.addresses(index), _address)
    return [address for address in found if address is not None]


def addresses_among(sock: RouteSocket, wanted: Iterable[Interface]) -> tuple[dict[int, list[AddressView]], set[int]]:
    """By the index of their link, the addresses that are ours by their protocol number, or among the `wanted` ones;
    and the links that have an IPv6 link-local address."""
    known = {(interface.packed, interface.network.prefixlen): interface for interface in wanted}
    addresses: dict[int, list[AddressView]] = {}
    link_locals: set[int] = set()

    def address(data: memoryview, start: int, end: int) -> AddressView | None:
        family, scope, index = _SCOPE.unpack_from(data, start)
        if family == AF_INET6 and scope == RT_SCOPE_LINK:
            link_locals.add(index)
            return None
        return _address(data, start, end, known)

    for found in dump(sock, questions.addresses(), address):
        if found is not None:
            addresses.setdefault(found.index, []).append(found)
    return addresses, link_locals


def _address(
    data: memoryview, start: int, end: int, known: Mapping[tuple[bytes, int], Interface] | None = None
) -> AddressView | None:
    """An address; with those that are `known`, None for others that are not ours."""
    said = ADDRESS.read(data, start, end)
    packed = said.get("IFA_LOCAL") or said.get("IFA_ADDRESS")
    if packed is None:
        return None
    protocol = said.get("IFA_PROTO", 0)
    place = packed, said["prefixlen"]
    interface = known.get(place) if known is not None else None
    if interface is None:
        if known is not None and protocol != ROUTE_PROTOCOL:
            return None
        interface = ip_interface(place)
    # To IPv6 the same bit is a temporary address.
    secondary = interface.version == 4 and bool(said["flags"] & IFA_F_SECONDARY)
    return AddressView(said["index"], interface, protocol, secondary)
