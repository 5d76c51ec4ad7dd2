"""ICMP and ICMPv6 echo (RFC 792, RFC 4443): packets, and a raw socket with the kernel's own timestamps.

One socket serves every virtual interface of a family: each packet names its interface and source by
IP_PKTINFO (ip(7), ipv6(7)). That also reaches interfaces enslaved to a VRF, whose table the kernel takes from
the interface index (SO_BINDTODEVICE would need a socket an interface), and an unbound raw socket hears all
VRFs (`net.ipv4.raw_l3mdev_accept`, on by default).

Replies count only if they carry the sender's secrets: the identifier and `key` of the prober, which the
kernel checks by a socket filter so that a flood of other ICMP never reaches this process, and the cookie of
the stream.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dcedge.errors import KernelError
from dcedge.order.field_types import Address, Family
from dcedge.probe.batch import BATCH, Datagrams, ancillary, pack_ancillary

ECHO_REQUEST: dict[Family, int] = {"ipv4": 8, "ipv6": 128}
ECHO_REPLY: dict[Family, int] = {"ipv4": 0, "ipv6": 129}

# Type, code, checksum, identifier, sequence; then our payload: key, cookie, full sequence; padded with zeros to the
# length that ping(8) sends, or to the size that is asked for.
_ECHO = struct.Struct("!BBHHHI8sI")
_COOKIE_HALVES = struct.Struct("!II")
_PADDING = b"\0" * (8 + 56 - _ECHO.size)
ECHO_LENGTH = _ECHO.size + len(_PADDING)
_IP_HEADER: dict[Family, int] = {"ipv4": 20, "ipv6": 40}

# From <linux/in.h>, <linux/icmp.h>, <linux/icmpv6.h>, <asm-generic/socket.h> and <linux/net_tstamp.h>;
# Python's socket module lacks these.
_IP_PKTINFO = 8
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3
_SOL_RAW = 255
_ICMP_FILTER = 1
_ICMPV6_FILTER = 1
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_SO_TIMESTAMPING = 65  # SO_TIMESTAMPING_NEW: 64-bit times on every architecture, since Linux 5.1
_TX_SOFTWARE, _RX_SOFTWARE, _SOFTWARE = 1 << 1, 1 << 3, 1 << 4
_MEMINFO_DROPS = 8

_PKTINFO4 = struct.Struct("=i4s4s")
_PKTINFO6 = struct.Struct("=16si")
_TIMESPEC = struct.Struct("=qq")
_SOCKADDR4 = struct.Struct("=H2x4s8x")
_SOCKADDR6 = struct.Struct("=H6x16s4x")
_RECEIVE_BUFFER = 4 << 20  # a second of replies and timestamps at 4,000 probes/s, as the kernel accounts them

# A reply: cookie, sequence, when the kernel received it (ns of CLOCK_REALTIME), interface index, sender.
Arrival = tuple[bytes, int, int, int, str]
# A request that left: cookie, sequence, when it was handed to the device (ns of CLOCK_REALTIME).
Departure = tuple[bytes, int, int]


class Echo(NamedTuple):
    """An echo request or reply that carries our payload."""

    type: int
    identifier: int
    key: int
    cookie: bytes
    sequence: int


def encode_request(family: Family, identifier: int, key: int, cookie: bytes, sequence: int) -> bytes:
    """An echo request with its checksum. (For ICMPv6 the kernel puts in the right one: RFC 3542, 3.1.)"""
    sequence &= 0xFFFFFFFF
    short = sequence & 0xFFFF
    icmp_type = ECHO_REQUEST[family]
    high, low = _COOKIE_HALVES.unpack(cookie)
    # RFC 1071's sum of 16-bit words, taken over wider words at once: 2^16 is 1 modulo 0xFFFF.
    total = (icmp_type << 8) + identifier + short + key + high + low + sequence
    checksum = 0xFFFF - total % 0xFFFF
    return _ECHO.pack(icmp_type, 0, checksum, identifier, short, key, cookie, sequence) + _PADDING


def decode_echo(message: bytes | memoryview, offset: int = 0) -> Echo | None:
    """The echo in an ICMP message that begins at `offset`; None where it is too short or not of our making."""
    if len(message) < offset + _ECHO.size:
        return None
    icmp_type, code, _, identifier, short, key, cookie, sequence = _ECHO.unpack_from(message, offset)
    if code or short != sequence & 0xFFFF:
        return None
    return Echo(icmp_type, identifier, key, cookie, sequence)


@dataclass(frozen=True, slots=True)
class Path:
    """How the packets of one stream leave: whereto (as text and struct sockaddr), from which address and interface."""

    cookie: bytes
    destination: str
    sockaddr: bytes
    ancillary: bytes


def path_to(destination: Address, source: Address, ifindex: int, cookie: bytes) -> Path:
    """The path from `source` on the interface with this index; `cookie` are the stream's 8 secret bytes."""
    if destination.version == 4:
        sockaddr = _SOCKADDR4.pack(socket.AF_INET, destination.packed)
        info = pack_ancillary(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO4.pack(ifindex, source.packed, bytes(4)))
    else:
        sockaddr = _SOCKADDR6.pack(socket.AF_INET6, destination.packed)
        info = pack_ancillary(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(source.packed, ifindex))
    return Path(cookie, sys.intern(str(destination)), sockaddr, info)


class EchoSocket:
    """A raw socket for the echoes of one family in the network namespace of its making.

    Raises KernelError where the process may not open one (it needs CAP_NET_RAW).
    """

    def __init__(self, family: Family, identifier: int, key: int) -> None:
        self._family = family
        self._identifier = identifier
        self._key = key
        self._reply_type = ECHO_REPLY[family]
        self._outgoing, self._incoming = Datagrams(), Datagrams()
        protocol = socket.IPPROTO_ICMP if family == "ipv4" else socket.IPPROTO_ICMPV6
        af = socket.AF_INET if family == "ipv4" else socket.AF_INET6
        try:
            self._socket = socket.socket(af, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        except OSError as error:
            raise KernelError(f"no raw socket for {family} probes: {error.strerror}", error.errno or 0) from error
        try:
            self._configure()
        except OSError as error:
            self._socket.close()
            raise KernelError(f"no raw socket for {family} probes: {error.strerror}", error.errno or 0) from error

    def _configure(self) -> None:
        _attach_filter(self._socket, _only_ours(self._family, self._identifier, self._key))
        if self._family == "ipv4":
            passed = 0xFFFFFFFF & ~(1 << ECHO_REPLY["ipv4"])
            self._socket.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", passed))
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            # Don't fragment, whatever path MTU was learned: a probe of full size gets through whole or not at all.
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
        else:
            blocked = [0xFFFFFFFF] * 8
            blocked[ECHO_REPLY["ipv6"] // 32] &= ~(1 << ECHO_REPLY["ipv6"] % 32)
            self._socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, struct.pack("=8I", *blocked))
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        flags = _TX_SOFTWARE | _RX_SOFTWARE | _SOFTWARE
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, flags)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)

    def send(self, requests: Sequence[tuple[Path, int]]) -> list[int]:
        """Send echo requests (path, sequence); the errno of each, 0 where the kernel took it."""
        family, identifier, key = self._family, self._identifier, self._key
        errors: list[int] = []
        for start in range(0, len(requests), BATCH):
            datagrams = [
                (encode_request(family, identifier, key, path.cookie, sequence), path.sockaddr, path.ancillary)
                for path, sequence in requests[start : start + BATCH]
            ]
            errors += self._outgoing.send(self._socket.fileno(), datagrams)
        return errors

    def send_sized(self, path: Path, sequence: int, size: int) -> int:
        """Send one echo request that makes an IP packet of `size` bytes; the errno, 0 where the kernel took it."""
        request = encode_request(self._family, self._identifier, self._key, path.cookie, sequence)
        request += bytes(max(0, size - _IP_HEADER[self._family] - len(request)))
        control = [(level, cmsg_type, bytes(data)) for level, cmsg_type, data in ancillary(memoryview(path.ancillary))]
        try:
            self._socket.sendmsg([request], control, socket.MSG_DONTWAIT, (path.destination, 0))
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def receive(self, limit: int) -> list[Arrival]:
        """Up to `limit` replies, in the order of their arrival; forged and foreign ones are left out."""
        arrivals: list[Arrival] = []
        ipv4 = self._family == "ipv4"
        ours = (self._reply_type, self._identifier, self._key)
        for message, sender, control in self._incoming.receive(self._socket.fileno(), limit):
            # A raw IPv4 socket gives the IP header too, whose length is in its first byte.
            echo = decode_echo(message, (message[0] & 0xF) * 4 if ipv4 else 0)
            if echo is None or echo[:3] != ours:
                continue
            received = ifindex = 0
            for level, cmsg_type, data in ancillary(control):
                if level == socket.SOL_SOCKET and cmsg_type == _SO_TIMESTAMPING:
                    received = _nanoseconds(data)
                elif level == socket.IPPROTO_IP and cmsg_type == _IP_PKTINFO:
                    ifindex = _PKTINFO4.unpack(data)[0]
                elif level == socket.IPPROTO_IPV6 and cmsg_type == socket.IPV6_PKTINFO:
                    ifindex = _PKTINFO6.unpack(data)[1]
            source = (
                socket.inet_ntop(socket.AF_INET, sender[4:8])
                if ipv4
                else socket.inet_ntop(socket.AF_INET6, sender[8:24])
            )
            arrivals.append((echo[3], echo[4], received or time.time_ns(), ifindex, source))
        return arrivals

    def departures(self, limit: int) -> list[Departure]:
        """Up to `limit` transmit timestamps (the kernel's Documentation/networking/timestamping.rst)."""
        departures: list[Departure] = []
        for frame, _, control in self._incoming.receive(self._socket.fileno(), limit, socket.MSG_ERRQUEUE):
            # The frame as it left: our message is its end, whatever headers are in front.
            echo = decode_echo(frame, len(frame) - ECHO_LENGTH) if len(frame) > ECHO_LENGTH else None
            if echo is None:
                continue
            for level, cmsg_type, data in ancillary(control):
                if level == socket.SOL_SOCKET and cmsg_type == _SO_TIMESTAMPING:
                    departures.append((echo[3], echo[4], _nanoseconds(data)))
        return departures

    def overflows(self) -> int:
        """Packets that the kernel had to drop because this socket was not read in time."""
        info = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
        drops: int = struct.unpack_from("=I", info, 4 * _MEMINFO_DROPS)[0]
        return drops

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _nanoseconds(timestamps: memoryview) -> int:
    """The software timestamp, the first of the three in SCM_TIMESTAMPING; 0 where there is none."""
    seconds, nanoseconds = _TIMESPEC.unpack_from(timestamps)
    stamp: int = seconds * 1_000_000_000 + nanoseconds
    return stamp


def _only_ours(family: Family, identifier: int, key: int) -> bytes:
    """A classic BPF program (<linux/filter.h>) that passes echoes with this identifier and key only.

    It sees an IPv4 packet from its IP header on, an ICMPv6 message without one.
    """
    load_half, load_word, equals, verdict = 0x48, 0x40, 0x15, 0x06
    load_zero, load_header_length = 0x01, 0xB1  # into X, to which the loads below are relative
    start = (load_header_length if family == "ipv4" else load_zero, 0, 0, 0)
    program = (
        start,
        (load_half, 0, 0, 4),
        (equals, 0, 3, identifier),
        (load_word, 0, 0, 8),
        (equals, 0, 1, key),
        (verdict, 0, 0, 0xFFFF),
        (verdict, 0, 0, 0),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _attach_filter(raw: socket.socket, program: bytes) -> None:
    instructions = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)
