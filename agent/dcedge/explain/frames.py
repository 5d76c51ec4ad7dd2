"""A frame as `dcedge-capture` tells it, which takes it apart: one line of JSON.

Whoever sends frames may have made that program say anything: a line is taken only where it has just this shape.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar

from dcedge.errors import CaptureError
from dcedge.order.field_types import Address

T = TypeVar("T")

_SYN, _RST, _ACK = 0x02, 0x04, 0x10  # RFC 9293, 3.1
_TCP_HEADER_BYTES = 20
_ARP_REPLY = 2  # RFC 826
_UINT16_MAX = 65535
_HARDWARE_LENGTH_MAX = 17  # aa:bb:cc:dd:ee:ff
_ADDRESS_LENGTH_MAX = 45  # INET6_ADDRSTRLEN, without its NUL
_TAGS_MAX = 16


@dataclass(frozen=True, slots=True)
class Arp:
    """An ARP packet: its operation, and the address that its sender gives as its own."""

    operation: int
    sender: Address


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment whole, its payload, and the digest of RFC 2385 where it bears one."""

    source_port: int
    destination_port: int
    flags: int
    segment: bytes
    payload: bytes
    digest: bytes | None

    @property
    def syn(self) -> bool:
        """Whether it opens a connection."""
        return bool(self.flags & _SYN)

    @property
    def ack(self) -> bool:
        """Whether it acknowledges."""
        return bool(self.flags & _ACK)

    @property
    def reset(self) -> bool:
        """Whether it refuses."""
        return bool(self.flags & _RST)


@dataclass(frozen=True, slots=True)
class Frame:
    """Who sent it under which tags (VLAN IDs, outermost first), and whichever of the others it is.

    `ip` are the source and the destination, `solicitation` and `advertisement` the addresses of neighbour discovery,
    `echo_reply` the identifier, `unreachable` the source port of the TCP segment that an ICMP error quotes.
    """

    source: str
    tags: tuple[int, ...]
    arp: Arp | None
    ip: tuple[Address, Address] | None
    solicitation: Address | None
    advertisement: Address | None
    echo_reply: int | None
    unreachable: int | None
    tcp: Segment | None

    @property
    def ports_own(self) -> bool:
        """Whether, untagged, it is what any port says of its own accord: LLDP, LACP, STP, IPv6's link-local chatter."""
        if self.ip is not None and self.ip[0].version == 6:
            return self.ip[0].is_link_local or self.ip[0].is_unspecified
        return self.arp is None and self.ip is None

    @property
    def own_address(self) -> str | None:
        """The address that the sender of an ARP packet or of neighbour discovery gives as its own."""
        given = self.arp.sender if self.arp is not None else self.solicitation
        if given is not None and not given.is_unspecified:
            return str(given)
        return str(self.advertisement) if self.advertisement is not None else None

    @property
    def answers(self) -> bool:
        """Whether it answers ARP or a solicitation."""
        return self.advertisement is not None or (self.arp is not None and self.arp.operation == _ARP_REPLY)


def read_frame(line: bytes) -> Frame:
    """The frame in a line. Raises CaptureError."""
    try:
        said = json.loads(line)
        return Frame(
            source=_text(said["source"], _HARDWARE_LENGTH_MAX),
            tags=tuple(map(_uint16, _listed(said["tags"], _TAGS_MAX))),
            arp=_or_none(_arp, said["arp"]),
            ip=_or_none(_ends, said["ip"]),
            solicitation=_or_none(_address, said["solicitation"]),
            advertisement=_or_none(_address, said["advertisement"]),
            echo_reply=_or_none(_uint16, said["echo_reply"]),
            unreachable=_or_none(_uint16, said["unreachable"]),
            tcp=_or_none(_segment, said["tcp"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CaptureError(f"unreadable output of dcedge-capture: {type(error).__name__}") from error


def _or_none(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)


def _arp(said: Any) -> Arp:
    return Arp(_uint16(said["operation"]), _address(said["sender"]))


def _ends(said: Any) -> tuple[Address, Address]:
    source, destination = map(_address, _listed(said, 2))
    return source, destination


def _segment(said: Any) -> Segment:
    segment = bytes.fromhex(_text(said["segment"]))
    if len(segment) < _TCP_HEADER_BYTES:
        raise ValueError("a segment shorter than its header")
    return Segment(
        _uint16(said["source_port"]),
        _uint16(said["destination_port"]),
        _uint16(said["flags"]),
        segment,
        bytes.fromhex(_text(said["payload"])),
        _or_none(lambda digest: bytes.fromhex(_text(digest)), said["digest"]),
    )


def _address(value: Any) -> Address:
    return ip_address(_text(value, _ADDRESS_LENGTH_MAX))


def _uint16(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _UINT16_MAX:
        raise ValueError("no number of 16 bits")
    return value


def _text(value: Any, most: int | None = None) -> str:
    if not isinstance(value, str) or (most is not None and len(value) > most):
        raise ValueError("no text")
    return value


def _listed(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError("no list")
    return value
