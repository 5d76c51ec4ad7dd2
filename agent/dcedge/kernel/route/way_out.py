"""By which link packets to an address leave: the kernel's own answer, rules and foreign routes included."""

from __future__ import annotations

import socket

from dcedge.errors import KernelError
from dcedge.kernel import questions
from dcedge.kernel.route.view import ROUTE
from dcedge.netlink.descriptions import RTM_F_FIB_MATCH
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Address


def outgoing_link(sock: RouteSocket, address: Address, vrf: int = 0) -> str | None:
    """The link by which packets to an address leave, in the VRF of this index, else by the main table.

    None where there is no route, or one that leads nowhere.
    """

    def link(data: memoryview, start: int, end: int) -> int:
        return int(ROUTE.read(data, start, end).get("RTA_OIF", 0))

    try:
        index = sock.get(questions.route_to(address, vrf), link)
        return socket.if_indextoname(index) if index else None
    except (KernelError, OSError):
        return None


def matched_length(sock: RouteSocket, address: Address, vrf: int = 0) -> int | None:
    """The prefix length of the route that packets to an address take; None where there is none."""

    def length(data: memoryview, start: int, end: int) -> int:
        return int(ROUTE.read(data, start, end)["dst_len"])

    try:
        return sock.get(questions.route_to(address, vrf, RTM_F_FIB_MATCH), length)
    except (KernelError, OSError):
        return None
