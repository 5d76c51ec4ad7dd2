"""How many files FRR's daemons have open for an order. A daemon that would open one more than it may aborts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from dcedge.errors import FrrError
from dcedge.frr.config import FrrConfig
from dcedge.frr.observe import others_peers
from dcedge.frr.vty import FrrClient
from dcedge.order.resolve import ResolvedInterface
from dcedge.units import counted

_OWN = 100  # what a daemon has open for itself
# bgpd: of a peer the session, and a second one while both ends open or one is closing; of a VRF a listener a family.
_BGPD_PEER, _BGPD_VRF = 2, 2
# bfdd: of a session the socket it sends by; of every VRF single-hop, multihop and echo, each in two families.
_BFDD_SESSION, _BFDD_VRF = 1, 6


Peer = tuple[str, str]  # VRF (`default`: the main table), and address or link


@dataclass(frozen=True, slots=True)
class Others:
    """What FRR serves beside dcedge: other people's VRFs, BGP peers and BFD sessions."""

    vrfs: frozenset[str] = frozenset()
    peers: frozenset[Peer] = frozenset()
    fast: frozenset[Peer] = frozenset()


NO_OTHERS = Others()


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


def served_for_others(frr: FrrClient, our_links: Collection[str], running: FrrConfig | None = None) -> Others:
    """What FRR serves beside dcedge, whose links are `our_links`; nothing where FRR does not tell.

    `running` is what it runs with, where that is known already.
    """
    try:
        vrfs, peers = frr.vrfs(), others_peers(frr.running_config() if running is None else running)
    except FrrError:  # whoever needs FRR says so
        return NO_OTHERS
    return Others(vrfs.difference(our_links), frozenset(peers), frozenset(peer for peer, fast in peers.items() if fast))


def needs(interfaces: Collection[ResolvedInterface], others: Others = NO_OTHERS) -> Iterator[Need]:
    """What each daemon needs for these virtual interfaces and for the others."""
    places = [
        ((interface.vrf or "default", str(session.cloud)), session.bfd is not None)
        for interface in interfaces
        for session in interface.sessions
    ]
    ordered = {place for place, _ in places}
    ordered_vrfs = {interface.vrf for interface in interfaces if interface.vrf is not None}
    foreign_vrfs, foreign = len(others.vrfs - ordered_vrfs), len(others.peers - ordered)
    foreign_fast = len(others.fast - ordered)
    peers, fast = len(places) + foreign, sum(bfd for _, bfd in places) + foreign_fast
    vrfs = len(ordered_vrfs) + foreign_vrfs
    tables = vrfs + 1
    of_vrfs = f" in {counted(vrfs, 'VRF')}{_not_ordered(foreign_vrfs)}" if vrfs else ""
    bgp = f"{counted(peers, 'BGP peer')}{_not_ordered(foreign)}{of_vrfs}"
    yield Need("bgpd", peers * _BGPD_PEER + tables * _BGPD_VRF + _OWN, bgp)
    # It opens those of a VRF as soon as there is one, whether it has a session there or not.
    bfd = f"{counted(fast, 'BFD session')}{_not_ordered(foreign_fast)}{of_vrfs}"
    yield Need("bfdd", fast * _BFDD_SESSION + tables * _BFDD_VRF + _OWN, bfd)


def _not_ordered(count: int) -> str:
    return f" ({count} of them others')" if count else ""
