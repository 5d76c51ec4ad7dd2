"""Asks for a peer's hardware address by broadcast, as if nobody were known: ARP, or a neighbour solicitation."""

from __future__ import annotations

import fcntl
import socket
import struct
from ipaddress import IPv6Address, ip_address

from dcedge.explain.active_checks import internet_checksum
from dcedge.order.field_types import Address

_SIOCGIFHWADDR = 0x8927  # netdevice(7)
_IFREQ_BYTES = 40
_ETHERTYPE_ARP, _ETHERTYPE_IPV6 = 0x0806, 0x86DD
_BROADCAST = b"\xff" * 6
_SOLICITED_NODE = ip_address("ff02::1:ff00:0").packed[:13]  # RFC 4291, 2.7.1
_NEIGHBOUR_SOLICITATION, _SOURCE_LINK_LAYER_ADDRESS = 135, 1  # RFC 4861, 4.3 and 4.6.1


def send_solicitation(link: str, customer: Address, cloud: Address) -> None:
    """Send an ARP request or a neighbour solicitation. OSError: no packet socket (CAP_NET_RAW), or no such link."""
    frame = solicitation(hardware_address(link), customer, cloud)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((link, 0))
        sock.send(frame)


def hardware_address(link: str) -> bytes:
    """A link's own hardware address. OSError: no such link."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = link.encode()[:15].ljust(_IFREQ_BYTES, b"\0")
        return fcntl.ioctl(sock, _SIOCGIFHWADDR, request)[18:24]


def solicitation(own: bytes, customer: Address, cloud: Address) -> bytes:
    """The Ethernet frame, untagged: an ARP request (RFC 826) or a neighbour solicitation (RFC 4861, 4.3)."""
    if isinstance(cloud, IPv6Address):
        return _neighbour_solicitation(own, customer, cloud)
    request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + customer.packed + bytes(6) + cloud.packed
    return _BROADCAST + own + _ETHERTYPE_ARP.to_bytes(2) + request


def _neighbour_solicitation(own: bytes, customer: Address, cloud: Address) -> bytes:
    group = _SOLICITED_NODE + cloud.packed[-3:]
    target = bytes(4) + cloud.packed + bytes((_SOURCE_LINK_LAYER_ADDRESS, 1)) + own
    length = 4 + len(target)
    pseudo = customer.packed + group + struct.pack("!IxxxB", length, socket.IPPROTO_ICMPV6)
    checksum = internet_checksum(pseudo + bytes((_NEIGHBOUR_SOLICITATION, 0, 0, 0)) + target)
    message = struct.pack("!BBH", _NEIGHBOUR_SOLICITATION, 0, checksum) + target
    header = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_ICMPV6, 255) + customer.packed + group
    # RFC 2464, 7: the group's last four bytes.
    return b"\x33\x33" + group[-4:] + own + _ETHERTYPE_IPV6.to_bytes(2) + header + message
