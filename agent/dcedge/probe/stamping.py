"""STAMP's sockets: on each virtual interface that orders it a sender and a reflector, bound to its link.

A socket bound to the link serves a VRF as well, and hears nobody else's packets. There are few of them: it takes a
site that owns both ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from dcedge.order.field_types import Address, Seconds
from dcedge.order.resolve import ResolvedInterface
from dcedge.probe.stamp import (
    REFLECTOR_PORT,
    SENDER_PORT,
    StampSession,
    StampStats,
    clock_error,
    now_ns,
    reflect,
)

log = logging.getLogger(__name__)

# From <asm-generic/socket.h> and <linux/in.h>; Python's socket module lacks these.
_SO_TIMESTAMPNS = 64  # SO_TIMESTAMPNS_NEW, whose type is its ancillary data's too
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_IP_RECVTTL, _IP_TTL, _IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 12, 2, 51, 52
_TIMESPEC = struct.Struct("=qq")
_LONGEST = 9216
_CLOCK_SECONDS = 10.0
_TTL = 255  # RFC 8762, 4.2


@dataclass(frozen=True, slots=True)
class StampTarget:
    """One path: between two addresses over one link."""

    virtual_interface: str
    link: str
    index: int
    customer: Address
    cloud: Address
    interval: Seconds


def stamp_targets(vi: ResolvedInterface, link: str, index: int) -> Iterable[StampTarget]:
    """The paths of one virtual interface; none where the order does not ask for STAMP or has it down."""
    if vi.stamp and vi.admin != "down":
        for pair in vi.addresses:
            yield StampTarget(vi.name, link, index, pair.customer.ip, pair.cloud, vi.probe_interval)


OpenSocket = Callable[[StampTarget, int], socket.socket]


def open_socket(target: StampTarget, port: int) -> socket.socket:
    """A UDP socket at the customer's end of a path. Raises OSError; it needs CAP_NET_RAW (SO_BINDTODEVICE)."""
    four = target.customer.version == 4
    opened = socket.socket(socket.AF_INET if four else socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, target.link.encode())
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if four:
            opened.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            opened.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _TTL)
        else:
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _TTL)
        opened.bind((str(target.customer), port))
    except OSError:
        opened.close()
        raise
    return opened


class _Path:
    """The two sockets of one path."""

    def __init__(self, target: StampTarget, loop: asyncio.AbstractEventLoop, open_: OpenSocket) -> None:
        self.target = target
        self.session = StampSession(target.virtual_interface, str(target.cloud))
        self._loop = loop
        self._reflected = 0
        self._error: Seconds | None = None
        self._sender = open_(target, SENDER_PORT)
        try:
            self._reflector = open_(target, REFLECTOR_PORT)
        except OSError:
            self._sender.close()
            raise
        try:
            loop.add_reader(self._sender, self._answers)
            loop.add_reader(self._reflector, self._tests)
        except OSError:
            self._close_sockets()
            raise
        self._clock = loop.call_soon(self._ask_clock)
        self._timer = loop.call_soon(self._send)

    def close(self) -> None:
        """Close both; what is known stays readable."""
        self._timer.cancel()
        self._clock.cancel()
        self._close_sockets()

    def _close_sockets(self) -> None:
        for opened in (self._sender, self._reflector):
            self._loop.remove_reader(opened)
            opened.close()

    def _ask_clock(self) -> None:
        self._error = clock_error()
        self._clock = self._loop.call_later(_CLOCK_SECONDS, self._ask_clock)

    def _send(self) -> None:
        self._timer = self._loop.call_later(self.target.interval, self._send)
        packet = self.session.next_test(now_ns(), self._error)
        with suppress(OSError):  # the link is down: that is a loss, and told elsewhere with its reason
            self._sender.sendto(packet, (str(self.target.cloud), REFLECTOR_PORT))

    def _answers(self) -> None:
        for packet, came, _, sender in self._read(self._sender):
            if sender == (str(self.target.cloud), REFLECTOR_PORT):
                self.session.arrived(packet, came, self._error is not None)

    def _tests(self) -> None:
        for packet, came, ttl, (address, port) in self._read(self._reflector):
            answer = None
            # Never to a reflector's port: two of them would answer each other for ever.
            if address == str(self.target.cloud) and port != REFLECTOR_PORT:
                answer = reflect(packet, self._reflected, came, now_ns(), ttl, self._error)
            if answer is not None:
                self._reflected += 1
                with suppress(OSError):
                    self._reflector.sendto(answer, (address, port))

    @staticmethod
    def _read(waiting: socket.socket) -> Iterable[tuple[bytes, int, int, tuple[str, int]]]:
        """What has come: packet, when the kernel received it (ns since 1970), its TTL, the sender."""
        for _ in range(64):
            try:
                packet, control, _, sender = waiting.recvmsg(_LONGEST, 256)
            except OSError:
                return
            came, ttl = now_ns(), 0
            for level, cmsg_type, data in control:
                if (level, cmsg_type) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                    seconds, nanoseconds = _TIMESPEC.unpack_from(data)
                    came = seconds * 1_000_000_000 + nanoseconds
                elif (level, cmsg_type) in {(socket.IPPROTO_IP, _IP_TTL), (socket.IPPROTO_IPV6, _IPV6_HOPLIMIT)}:
                    (ttl,) = struct.unpack_from("=i", data)
            yield packet, came, ttl, sender[:2]


class Stamping:
    """STAMP on every path that asks for it, from the first `set_targets` within the running loop until closed."""

    def __init__(self, open_: OpenSocket = open_socket) -> None:
        self._open = open_
        self._paths: dict[StampTarget, _Path] = {}
        self.troubles: tuple[str, ...] = ()  # which paths are not measured, and why

    def set_targets(self, targets: Iterable[StampTarget]) -> None:
        """Measure exactly these; a path that is as it was goes on, and what cannot be had is tried the next time."""
        wanted = dict.fromkeys(targets)  # in order, and told so
        for target in self._paths.keys() - wanted.keys():
            self._paths.pop(target).close()
        troubles: dict[str, None] = {}
        for target in wanted:
            if target in self._paths:
                continue
            try:
                self._paths[target] = _Path(target, asyncio.get_running_loop(), self._open)
            except OSError as error:
                why = error.strerror or error
                troubles[f"{target.virtual_interface}: no STAMP on {target.link}: {why}"] = None
        for trouble in troubles.keys() - set(self.troubles):
            log.warning("%s", trouble)
        self.troubles = tuple(troubles)

    def stats(self) -> tuple[StampStats, ...]:
        """What is known of each path."""
        return tuple(path.session.read() for path in self._paths.values())

    def close(self) -> None:
        """Stop."""
        for path in self._paths.values():
            path.close()
        self._paths.clear()
