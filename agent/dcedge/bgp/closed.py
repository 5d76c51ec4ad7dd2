"""Hears of BGP's TCP connections that the kernel has just closed, so that FRR is asked while it still knows why.

What a cloud has said at the end of a session FRR 8.4 forgets when BFD notices the end too, less than a second later.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct

from dcedge.bgp.md5 import BGP_PORT

log = logging.getLogger(__name__)

_NETLINK_SOCK_DIAG = 4  # linux/netlink.h
_GROUPS = 1 << 0 | 1 << 2  # SKNLGRP_INET_TCP_DESTROY and its IPv6 sibling, in linux/sock_diag.h
_HEADER_BYTES = 16  # nlmsghdr
_PORTS = struct.Struct("!HH")  # of inet_diag_sockid, which stands 4 bytes into inet_diag_msg
_DATAGRAMS_MAX = 64  # a turn of the event loop


class ClosedConnections:
    """A non-blocking socket for an event loop; it needs CAP_NET_ADMIN, as sock_diag(7) says."""

    def __init__(self) -> None:
        flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, flags, _NETLINK_SOCK_DIAG)
        self._socket.bind((0, _GROUPS))

    @classmethod
    def where_heard(cls) -> ClosedConnections | None:
        """One, or None on a kernel that does not tell: then FRR is only asked once a second."""
        try:
            return cls()
        except OSError as error:
            log.info("the ends of BGP connections are not heard at once: %s", error.strerror or error)
            return None

    def fileno(self) -> int:
        """For an event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def any_of_bgp(self) -> bool:
        """Whether one of BGP's was closed, or may have been: events were lost."""
        found = False
        for _ in range(_DATAGRAMS_MAX):
            try:
                message = self._socket.recv(4096)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    return True
                raise
            at = _HEADER_BYTES + 4
            found |= len(message) >= at + _PORTS.size and BGP_PORT in _PORTS.unpack_from(message, at)
        return found
