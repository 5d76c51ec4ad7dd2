"""Active looks at one path: a few packets from the virtual interface's own address and link, each bounded in time.

They change nothing: an echo request, an ARP request or neighbour solicitation, and the first packet of a TCP
connection that is never completed, so that the peer's BGP does not hear of it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import select
import socket
import struct
import time
from dataclasses import dataclass, replace

from dcedge.explain.evidence import PathCheck
from dcedge.explain.path_mtu import largest_that_passes
from dcedge.order.credentials import Secret
from dcedge.order.field_types import Address, Family, Seconds
from dcedge.order.resolve import Session

BGP_PORT = 179
_PINGS, _PING_GAP, _PING_PATIENCE = 3, 0.1, 1.0  # below what any provider's budget of probes notices
_MTU_PATIENCE = 0.4
_MTU_LOWEST = {"ipv4": 576, "ipv6": 1280}  # what every path must carry (RFC 1122, 3.3.3; RFC 8200, 5)
_HEADERS = {"ipv4": 28, "ipv6": 48}  # IP and ICMP
_ECHO = {"ipv4": (8, 0), "ipv6": (128, 129)}
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PROBE = 10, 23, 3  # linux/in.h, linux/in6.h: DF set, path MTU not believed
_REFUSALS = {
    errno.EPERM: "a firewall on this router blocks it",
    errno.EACCES: "a firewall or a prohibit route on this router blocks it",
    errno.ENETUNREACH: "this router has no route to it",
    errno.EHOSTUNREACH: "its hardware address is unknown",
}
_MD5_OPTION, _MD5_LENGTH = 19, 18  # RFC 2385, 3


@dataclass(frozen=True, slots=True)
class ProbePath:
    """From where to where, and by which link."""

    family: Family
    link: str
    customer: Address
    cloud: Address


class Echoes:
    """Echo requests of any size on one way, never fragmented. Needs CAP_NET_RAW."""

    def __init__(self, way: ProbePath, identifier: int) -> None:
        self._way = way
        self._identifier = identifier
        self._sequence = 0
        ipv4 = way.family == "ipv4"
        family, protocol = (socket.AF_INET, socket.IPPROTO_ICMP) if ipv4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
        self._socket = socket.socket(family, socket.SOCK_RAW, protocol)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, way.link.encode())
        level, option = (socket.IPPROTO_IP, _IP_MTU_DISCOVER) if ipv4 else (socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER)
        self._socket.setsockopt(level, option, _PROBE)
        self._socket.setblocking(False)

    def __enter__(self) -> Echoes:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, size: int) -> str | None:
        """Send one IP packet of that many bytes; why it was refused, where it was."""
        self._sequence += 1
        icmp_type, _ = _ECHO[self._way.family]
        body = bytes(size - _HEADERS[self._way.family])
        message = struct.pack("!BBHHH", icmp_type, 0, 0, self._identifier, self._sequence) + body
        if self._way.family == "ipv4":  # the kernel does it for ICMPv6
            message = message[:2] + struct.pack("!H", internet_checksum(message)) + message[4:]
        try:
            self._socket.sendto(message, (str(self._way.cloud), 0))
        except OSError as error:
            return _REFUSALS.get(error.errno or 0, error.strerror or str(error))
        return None

    def answers(self, until: float) -> bool:
        """Whether the last request is answered until then (monotonic seconds)."""
        ipv4 = self._way.family == "ipv4"
        _, reply = _ECHO[self._way.family]
        while (left := until - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                return False
            try:
                data, sender = self._socket.recvfrom(65536)
            except OSError:  # an ICMP error of an earlier packet
                continue
            message = data[(data[0] & 0xF) * 4 :] if ipv4 and data else data
            if len(message) < 8 or sender[0].partition("%")[0] != str(self._way.cloud):
                continue
            icmp_type, _, _, identifier, sequence = struct.unpack_from("!BBHHH", message)
            if (icmp_type, identifier, sequence) == (reply, self._identifier, self._sequence):
                return True
        return False


def check_path(way: ProbePath, mtu: int, identifier: int | None = None) -> PathCheck:
    """Ping it, and where it answers find the largest packet that passes, up to `mtu`. OSError: no raw socket.

    `identifier` marks the echo requests, for whoever listens.
    """
    with Echoes(way, secrets.randbits(16) if identifier is None else identifier) as echoes:
        received, rtts, refused = 0, [], None
        for number in range(_PINGS):
            started = time.monotonic()
            refused = echoes.send(84)
            if refused is None and echoes.answers(started + (_PING_PATIENCE if not received else 0.3)):
                received += 1
                rtts.append(time.monotonic() - started)
            if refused is not None or (number == _PINGS - 2 and not received):
                break
            time.sleep(_PING_GAP)
        sent = number + 1
        check = PathCheck(str(way.cloud), sent, received, min(rtts, default=None), refused)
        if not received:
            return check

        def answered(size: int) -> bool:
            return echoes.send(size) is None and echoes.answers(time.monotonic() + _MTU_PATIENCE)

        return replace(check, refused=None, path_mtu=largest_that_passes(answered, mtu, _MTU_LOWEST[way.family]))


def send_syn(session: Session, link: str, source_port: int, secret: Secret | None) -> str | None:
    """Send the first packet of a TCP connection to the peer's port 179, signed where a secret is given.

    What comes back is seen by the capture; this router's TCP answers a SYN-ACK with RST, as it knows of no connection.
    Returns why it was refused, where it was. OSError: no raw socket.
    """
    customer, cloud = session.customer.ip, session.cloud
    family = socket.AF_INET if cloud.version == 4 else socket.AF_INET6
    segment = syn_segment(customer, cloud, source_port, secret)
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        sock.bind((str(customer), 0))
        try:
            sock.sendto(segment, (str(cloud), 0))
        except OSError as error:
            return _REFUSALS.get(error.errno or 0, error.strerror or str(error))
    return None


def syn_segment(customer: Address, cloud: Address, source_port: int, secret: Secret | None) -> bytes:
    """A SYN with its checksum, and with the MD5 option where a secret is given (RFC 9293, 3.1; RFC 2385)."""
    options = struct.pack("!BBH", 2, 4, 1400)  # maximum segment size
    sequence = int.from_bytes(os.urandom(4))
    length = 20 + len(options) + (20 if secret is not None else 0)
    header = struct.pack("!HHIIBBHHH", source_port, BGP_PORT, sequence, 0, (length // 4) << 4, 0x02, 64240, 0, 0)
    if secret is not None:
        digest = tcp_md5(customer, cloud, header, b"", length, secret)
        options += struct.pack("!BBBB", 1, 1, _MD5_OPTION, _MD5_LENGTH) + digest
    segment = header + options
    checksum = internet_checksum(_pseudo(customer, cloud, len(segment)) + segment)
    return segment[:16] + struct.pack("!H", checksum) + segment[18:]


def tcp_md5(source: Address, destination: Address, header: bytes, data: bytes, length: int, secret: Secret) -> bytes:
    """The digest of RFC 2385, 2.0: pseudo-header, header without options and with a zero checksum, data, password.

    `length` is the whole segment's, options included.
    """
    bare = header[:16] + b"\0\0" + header[18:20]
    signed = _pseudo(source, destination, length) + bare + data + secret.reveal().encode()
    return hashlib.md5(signed, usedforsecurity=False).digest()


def _pseudo(source: Address, destination: Address, length: int) -> bytes:
    if source.version == 4:
        return source.packed + destination.packed + struct.pack("!BBH", 0, socket.IPPROTO_TCP, length)
    return source.packed + destination.packed + struct.pack("!IxxxB", length, socket.IPPROTO_TCP)


def internet_checksum(data: bytes) -> int:
    """RFC 1071's checksum."""
    padded = data + bytes(len(data) & 1)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def patience_left(deadline: float) -> Seconds:
    """Time until a moment of the monotonic clock."""
    return max(0.0, deadline - time.monotonic())
