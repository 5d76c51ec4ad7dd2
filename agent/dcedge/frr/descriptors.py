"""How many files FRR's daemons have open for an order. A daemon that would open one more than it may aborts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from dcedge.errors import FrrError
from dcedge.frr.config import FrrConfig
from dcedge.frr.observe import DEFAULT_VRF, NO_LINES, OthersLines, others_lines
from dcedge.frr.vty import FrrClient
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


@dataclass(frozen=True, slots=True)
class Others:
    """What FRR serves beside dcedge: other people's VRFs, and what they have configured."""

    vrfs: frozenset[str] = frozenset()
    configured: OthersLines = NO_LINES


NO_OTHERS = Others()


def served_for_others(frr: FrrClient, running: FrrConfig, our_links: Collection[str]) -> Others:
    """What FRR, which runs with `running`, serves beside dcedge, whose links are `our_links`.

    Without the VRFs where zebra does not tell them.
    """
    configured = others_lines(running)
    if "zebra" in frr.silent:
        return Others(frozenset(), configured)
    try:
        vrfs = frr.vrfs()
    except FrrError:  # whoever needs zebra says so
        vrfs = frozenset()
    return Others(vrfs.difference(our_links), configured)


def needs(interfaces: Collection[ResolvedInterface], others: Others = NO_OTHERS) -> Iterator[Need]:
    """What each daemon needs for these virtual interfaces and for the others."""
    places = [
        ((interface.vrf or DEFAULT_VRF, str(session.cloud)), session.bfd is not None)
        for interface in interfaces
        for session in interface.sessions
    ]
    ordered = {place for place, _ in places}
    ordered_vrfs = {interface.vrf for interface in interfaces if interface.vrf is not None}
    others_vrfs, configured = others.vrfs - ordered_vrfs, others.configured
    others_peers = len(configured.peers - ordered)
    others_fast = len(configured.fast - ordered) + sum(
        place not in ordered for place in configured.bfd_sessions.values()
    )
    peers, fast = len(places) + others_peers, sum(bfd for _, bfd in places) + others_fast
    vrfs = len(ordered_vrfs) + len(others_vrfs)
    instances = 1 + len(ordered_vrfs) + len(others_vrfs & configured.vrfs)
    in_vrfs = _said(vrfs, "VRF", len(others_vrfs))
    of_peers = " in ".join(filter(None, (_said(peers, "BGP peer", others_peers), in_vrfs)))
    yield Need("bgpd", peers * _BGPD_PEER + instances * _BGPD_VRF + _OWN, of_peers)
    # It opens those of a VRF as soon as there is one, whether it has a session there or not.
    of_sessions = " in ".join(filter(None, (_said(fast, "BFD session", others_fast), in_vrfs)))
    yield Need("bfdd", fast * _BFDD_SESSION + (vrfs + 1) * _BFDD_VRF + _OWN, of_sessions)


def _said(count: int, what: str, of_others: int) -> str:
    """So many, and how many of them are others'; nothing where there are none."""
    if not count:
        return ""
    whose = f" ({of_others} of them others')" if of_others < count else " of others"
    return counted(count, what) + (whose if of_others else "")
