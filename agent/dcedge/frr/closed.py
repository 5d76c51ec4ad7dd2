"""Hears of BGP's TCP connections that the kernel has just closed, so that FRR is asked while it still knows why.

What a cloud has said at the end of a session FRR 8.4 forgets when BFD notices the end too, less than a second later.
"""

from __future__ import annotations

import logging

from pyroute2.netlink import NETLINK_SOCK_DIAG
from pyroute2.netlink.diag import SKNLGRP_INET6_TCP_DESTROY, SKNLGRP_INET_TCP_DESTROY, inet_diag_msg

from dcedge.frr.md5 import BGP_PORT
from dcedge.netlink.event_receiver import EventReceiver, EventsLostError, messages_in
from dcedge.netlink.layout import fields_struct

log = logging.getLogger(__name__)

_GROUPS = 1 << (SKNLGRP_INET_TCP_DESTROY - 1) | 1 << (SKNLGRP_INET6_TCP_DESTROY - 1)
_PORTS = fields_struct(inet_diag_msg, ("idiag_sport", "idiag_dport"))


class ClosedConnections(EventReceiver):
    """A non-blocking socket for an event loop; it needs CAP_NET_ADMIN, as sock_diag(7) says."""

    def __init__(self) -> None:
        super().__init__(NETLINK_SOCK_DIAG, _GROUPS)

    @classmethod
    def where_heard(cls) -> ClosedConnections | None:
        """One, or None on a kernel that does not tell: then FRR is only asked once a second."""
        try:
            return cls()
        except OSError as error:
            log.info("closed BGP connections are not detected at once: %s", error.strerror or error)
            return None

    def any_of_bgp(self) -> bool:
        """Whether one of BGP's was closed, or may have been: events were lost."""
        found = False
        try:
            for datagram in self.datagrams():
                for _, start, end in messages_in(datagram):
                    found |= start + _PORTS.size <= end and BGP_PORT in _PORTS.unpack_from(datagram, start)
        except EventsLostError:
            return True
        return found
