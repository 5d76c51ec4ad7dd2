"""How many files FRR's daemons have open for an order. A daemon that would open one more than it may aborts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from dcedge.order.resolve import ResolvedInterface
from dcedge.units import counted

_OWN = 100  # what a daemon has open for itself
# bgpd: of a peer the session, and a second one while both ends open or one is closing; of a VRF a listener a family.
_BGPD_PEER, _BGPD_VRF = 2, 2
# bfdd: of a session the socket it sends by; of every VRF single-hop, multihop and echo, each in two families.
_BFDD_SESSION, _BFDD_VRF = 1, 6


@dataclass(frozen=True, slots=True)
class Need:
    """What one daemon needs: `what` it is for, in words."""

    daemon: str
    count: int
    what: str

    @property
    def enough(self) -> int:
        """A round number that is enough."""
        return 1 << (self.count - 1).bit_length()


def needs(interfaces: Collection[ResolvedInterface]) -> Iterator[Need]:
    """What each daemon needs for these virtual interfaces."""
    vrfs = len({interface.vrf for interface in interfaces if interface.vrf is not None})
    peers = sum(len(interface.sessions) for interface in interfaces)
    fast = sum(session.bfd is not None for interface in interfaces for session in interface.sessions)
    tables = vrfs + 1
    of_vrfs = f" in {counted(vrfs, 'VRF')}" if vrfs else ""
    yield Need("bgpd", peers * _BGPD_PEER + tables * _BGPD_VRF + _OWN, f"{counted(peers, 'BGP peer')}{of_vrfs}")
    # It opens those of a VRF as soon as there is one, whether it has a session there or not.
    yield Need("bfdd", fast * _BFDD_SESSION + tables * _BFDD_VRF + _OWN, f"{counted(fast, 'BFD session')}{of_vrfs}")
