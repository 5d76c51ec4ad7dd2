"""The neighbour table: who answered ARP or neighbour discovery on which link, read by one dump."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntFlag
from socket import AF_INET, AF_INET6

from pyroute2.netlink.rtnl import ndmsg

from dcedge.kernel import questions
from dcedge.kernel.dump import dump
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Address


class NeighbourState(IntFlag):
    """A neighbour's state (NUD_*, linux/neighbour.h)."""

    NONE = ndmsg.NUD_NONE
    INCOMPLETE = ndmsg.NUD_INCOMPLETE
    REACHABLE = ndmsg.NUD_REACHABLE
    STALE = ndmsg.NUD_STALE
    DELAY = ndmsg.NUD_DELAY
    PROBE = ndmsg.NUD_PROBE
    FAILED = ndmsg.NUD_FAILED
    NOARP = ndmsg.NUD_NOARP
    PERMANENT = ndmsg.NUD_PERMANENT

    @property
    def answers(self) -> bool | None:
        """Whether it answers: False where it was asked in vain, None where nobody has asked lately."""
        if self & (NeighbourState.REACHABLE | NeighbourState.PERMANENT | NeighbourState.NOARP):
            return True
        if self & NeighbourState.FAILED:
            return False
        return None


# The first byte of a group's address (RFC 5771, RFC 4291 section 2.7).
_MULTICAST = {AF_INET: range(0xE0, 0xF0), AF_INET6: range(0xFF, 0x100)}

NeighbourKey = bytes  # a link's index and an address on it: there are thousands, and objects would be thrice as large
Neighbours = Mapping[NeighbourKey, NeighbourState]
_INDEX = struct.Struct("=i")
NEIGHBOUR = Reader(ndmsg.ndmsg, "family", "ifindex", "state", "NDA_DST")


def neighbour_key(index: int, address: Address) -> NeighbourKey:
    """The key of an address on a link."""
    return _INDEX.pack(index) + address.packed


def read_neighbours(sock: RouteSocket) -> dict[NeighbourKey, NeighbourState]:
    """The state of every neighbour. Raises KernelError.

    Of hosts only: the groups that a link listens to are in the table as well, and are most of it.
    """
    return {key: state for key, state in dump(sock, questions.neighbours(), _neighbour) if key}


def _neighbour(data: memoryview, start: int, end: int) -> tuple[NeighbourKey, NeighbourState]:
    said = NEIGHBOUR.read(data, start, end)
    family, address = said["family"], said.get("NDA_DST", b"")
    if family not in _MULTICAST or not address or address[0] in _MULTICAST[family]:
        return b"", NeighbourState.NONE
    return _INDEX.pack(said["ifindex"]) + address, NeighbourState(said["state"])
