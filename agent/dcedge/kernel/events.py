"""The kernel's word that something changed: links, addresses, queues. What changed is for the next pass to see."""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

from dcedge.kernel import messages as m
from dcedge.kernel.netlink import enlarge_receive_buffer

# Multicast groups as bits (linux/rtnetlink.h). No route groups: a full table would drown us.
_GROUPS = 0x1 | 0x8 | 0x10 | 0x100  # link, tc, IPv4 and IPv6 addresses
_QUEUE_KINDS = {
    m.RTM_NEWQDISC, m.RTM_DELQDISC, m.RTM_NEWTCLASS, m.RTM_DELTCLASS, m.RTM_NEWTFILTER, m.RTM_DELTFILTER,
}  # fmt: skip
_INDEX_KINDS = _QUEUE_KINDS | {m.RTM_NEWLINK, m.RTM_DELLINK, m.RTM_NEWADDR, m.RTM_DELADDR}
_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
_READS_AT_ONCE = 64
_HEADER = struct.Struct("=IHHII")
_INDEX = struct.Struct("=i")


@dataclass(frozen=True, slots=True)
class Changed:
    """The links that something happened to, by index, and whether to their queues."""

    links: frozenset[int]
    queues: bool


class EventWire(Protocol):
    """What brings the kernel's events: a netlink socket that has joined their groups and does not block."""

    def recv(self, size: int, /) -> bytes:
        """One datagram. Raises BlockingIOError where none waits, OSError with ENOBUFS where some were lost."""

    def fileno(self) -> int:
        """For an event loop."""

    def close(self) -> None:
        """Close it."""


class EventSocket:
    """A non-blocking netlink socket that hears of changes in this network namespace; `buffer_bytes` wait to be read.

    It hears them from `wire` where one is given.
    """

    def __init__(self, buffer_bytes: int = _RECEIVE_BUFFER_BYTES, *, wire: EventWire | None = None) -> None:
        self._socket = wire if wire is not None else _open(buffer_bytes)

    def fileno(self) -> int:
        """For an event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def forget(self) -> None:
        """Let go of what happened until now, before a look at everything: that will show it. For any thread."""
        while True:
            try:
                self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def changed(self) -> Changed | None:
        """What happened since the last call; None where events were lost (ENOBUFS): look at everything.

        Reads a bounded number of datagrams, so that a storm of events cannot hold the caller.
        """
        links: set[int] = set()
        queues = False
        for _ in range(_READS_AT_ONCE):
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return None
                raise
            offset = 0
            while offset + 24 <= len(data):
                length, kind, *_ = _HEADER.unpack_from(data, offset)
                if kind in _INDEX_KINDS:
                    # ifinfomsg, ifaddrmsg and tcmsg all have the index at byte 4.
                    links.add(_INDEX.unpack_from(data, offset + 20)[0])
                    queues |= kind in _QUEUE_KINDS
                offset += max((length + 3) & ~3, 16)
        return Changed(frozenset(links), queues)


def _open(buffer_bytes: int) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    sock = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    enlarge_receive_buffer(sock, buffer_bytes)
    sock.bind((0, _GROUPS))
    return sock
