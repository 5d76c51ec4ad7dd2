"""Waiting until the kernel is done with the links that came and went, as it says itself.

It works off their carriers once a second, a hundred links a round (net/core/link_watch.c), and for each link that is up
it walks all IPv6 routes. A round keeps every other process from the lab kernel's one processor for its 300 to 1,000 ms.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time

from pyroute2.netlink import rtnl

from dcedge.netlink.socket import open_socket

QUIET_SECONDS = 4.0
SECONDS_MAX = 400.0
_GROUPS = rtnl.RTMGRP_LINK | rtnl.RTMGRP_IPV4_ROUTE | rtnl.RTMGRP_IPV6_IFADDR | rtnl.RTMGRP_IPV6_ROUTE
_READ_BYTES = 1 << 20


def wait_until_at_rest() -> None:
    """Return once the kernel has told nothing of links, routes and IPv6 addresses here for some seconds."""
    events = open_socket(socket.NETLINK_ROUTE, groups=_GROUPS, buffer_bytes=_READ_BYTES, timeout_seconds=QUIET_SECONDS)
    with contextlib.closing(events):
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                events.recv(_READ_BYTES)
            except TimeoutError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more than the buffer holds: it tells much
                    raise
    raise AssertionError(f"the kernel tells of links after {SECONDS_MAX:g} s still")
