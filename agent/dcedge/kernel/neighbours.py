"""The neighbour table: who answered ARP or neighbour discovery on which link, read by one dump."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag
from ipaddress import ip_address

from dcedge.kernel import messages as m
from dcedge.kernel.netlink import RouteSocket, attributes
from dcedge.kernel.view import dump
from dcedge.order.kinds import Address


class NeighbourState(IntFlag):
    """A neighbour's state (NUD_*, linux/neighbour.h)."""

    NONE = 0
    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NOARP = 0x40
    PERMANENT = 0x80

    @property
    def answers(self) -> bool | None:
        """Whether it answers: False where it was asked in vain, None where nobody has asked lately."""
        if self & (NeighbourState.REACHABLE | NeighbourState.PERMANENT | NeighbourState.NOARP):
            return True
        if self & NeighbourState.FAILED:
            return False
        return None


Neighbours = Mapping[tuple[int, Address], NeighbourState]


def read_neighbours(sock: RouteSocket) -> dict[tuple[int, Address], NeighbourState]:
    """The state of every neighbour, by its link's index and its address. Raises KernelError."""
    body = m.NEIGHBOUR_BODY.pack(m.AF_UNSPEC, 0, 0, 0, 0)
    return {key: state for key, state in dump(sock, m.RTM_GETNEIGH, body, _neighbour) if key is not None}


def _neighbour(data: memoryview, start: int, end: int) -> tuple[tuple[int, Address] | None, NeighbourState]:
    family, index, state, _, _ = m.NEIGHBOUR_BODY.unpack_from(data, start)
    span = attributes(data, start + m.NEIGHBOUR_BODY.size, end).get(m.NDA_DST)
    if family not in (m.AF_INET, m.AF_INET6) or span is None:
        return None, NeighbourState.NONE
    return (index, ip_address(bytes(data[slice(*span)]))), NeighbourState(state)
