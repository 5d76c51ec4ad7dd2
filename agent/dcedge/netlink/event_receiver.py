"""Sockets that hear what the kernel tells its groups, for an event loop."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from dcedge.netlink.layout import HEADER
from dcedge.netlink.socket import Wire, open_socket

_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
_DATAGRAM_BYTES = 65536
READS_AT_ONCE = 64


class EventsLostError(Exception):
    """There were more events than the socket's buffer holds (ENOBUFS)."""


class EventReceiver:
    """A non-blocking socket of a netlink protocol that has joined groups (as bits); `buffer_bytes` wait to be read.

    It hears them from `wire` where one is given. Raises OSError.
    """

    def __init__(
        self, protocol: int, groups: int, *, buffer_bytes: int = _RECEIVE_BUFFER_BYTES, wire: Wire | None = None
    ) -> None:
        self._socket = open_socket(protocol, groups=groups, buffer_bytes=buffer_bytes, timeout_seconds=0, wire=wire)

    def fileno(self) -> int:
        """For an event loop."""
        return int(self._socket.fileno())

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def datagrams(self, most: int = READS_AT_ONCE) -> Iterator[bytes]:
        """What waits to be read: so many datagrams at most, so that a storm cannot hold the caller.

        Raises EventsLostError once where some were lost, OSError where the socket fails otherwise.
        """
        for _ in range(most):
            try:
                yield self._socket.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise EventsLostError from error
                raise


def messages_in(datagram: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, begin and end of the body of each message in a datagram; of what comes short, none."""
    at = 0
    while at + HEADER.size <= len(datagram):
        length, message_type, *_ = HEADER.unpack_from(datagram, at)
        yield message_type, at + HEADER.size, min(at + length, len(datagram))
        at += max((length + 3) & ~3, HEADER.size)
