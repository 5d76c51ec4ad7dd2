"""The neighbour table: who answered ARP or neighbour discovery on which link, read by one dump."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntFlag

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


# The first byte of a group's address (RFC 5771, RFC 4291 section 2.7).
_MULTICAST = {m.AF_INET: range(0xE0, 0xF0), m.AF_INET6: range(0xFF, 0x100)}

NeighbourKey = bytes  # a link's index and an address on it: there are thousands, and objects would be thrice as large
Neighbours = Mapping[NeighbourKey, NeighbourState]
_INDEX = struct.Struct("=i")


def neighbour_key(index: int, address: Address) -> NeighbourKey:
    """The key of an address on a link."""
    return _INDEX.pack(index) + address.packed


def read_neighbours(sock: RouteSocket) -> dict[NeighbourKey, NeighbourState]:
    """The state of every neighbour. Raises KernelError.

    Of hosts only: the groups that a link listens to are in the table as well, and are most of it.
    """
    body = m.NEIGHBOUR_BODY.pack(m.AF_UNSPEC, 0, 0, 0, 0)
    return {key: state for key, state in dump(sock, m.RTM_GETNEIGH, body, _neighbour) if key}


def _neighbour(data: memoryview, start: int, end: int) -> tuple[NeighbourKey, NeighbourState]:
    family, index, state, _, _ = m.NEIGHBOUR_BODY.unpack_from(data, start)
    span = attributes(data, start + m.NEIGHBOUR_BODY.size, end).get(m.NDA_DST)
    if family not in _MULTICAST or span is None or data[span[0]] in _MULTICAST[family]:
        return b"", NeighbourState.NONE
    return _INDEX.pack(index) + bytes(data[slice(*span)]), NeighbourState(state)
