"""From what FRR and the prober tell to the facts that a verdict rests on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from dcedge.bgp.state import SessionState
from dcedge.health.verdict import ProbeFacts, SessionFacts
from dcedge.order.model import Address, Family, Seconds
from dcedge.order.resolve import Session
from dcedge.probe.prober import ProbeStats

_BFD: dict[str, Literal["up", "down", "init", "admin_down"]] = {
    "up": "up",
    "down": "down",
    "init": "init",
    "administratively down": "admin_down",
    "admin down": "admin_down",
}


class SessionClock:
    """How long each session has been established, or not: FRR tells only the former.

    Idle, Connect and Active alternate while a peer does not answer; that is one spell.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[str, Address], tuple[bool, Seconds]] = {}

    def feed(self, virtual_interface: str, peer: Address, up: bool, now: Seconds) -> Seconds:
        """Take what is true `now`; returns for how long it has been so."""
        key = (virtual_interface, peer)
        known = self._since.get(key)
        if known is None or known[0] != up:
            self._since[key] = known = (up, now)
        return now - known[1]

    def keep_only(self, virtual_interfaces: Iterable[str]) -> None:
        """Forget the virtual interfaces that left the order."""
        kept = set(virtual_interfaces)
        self._since = {key: since for key, since in self._since.items() if key[0] in kept}


def session_facts(ordered: Session, state: SessionState, duration: Seconds, advertises: bool) -> SessionFacts:
    """The facts of one session; `advertises`: the order has prefixes to announce over it."""
    counts = [prefixes for prefixes in state.prefixes if prefixes.family == ordered.family]
    return SessionFacts(
        peer=str(ordered.cloud),
        family=ordered.family,
        state=state.state,
        duration=duration if state.uptime is None else state.uptime,
        admin_shutdown=state.admin_down,
        last_reset=state.last_reset,
        received=sum(prefixes.accepted for prefixes in counts),
        advertised=sum(prefixes.advertised for prefixes in counts) if counts else None,
        advertise_ordered=advertises,
        bfd=None if ordered.bfd is None or state.bfd is None else _BFD.get(state.bfd.lower(), "down"),
    )


def probe_facts(stats: ProbeStats, neighbour: bool | None = None) -> ProbeFacts:
    """The facts of one stream of probes; `neighbour`: whether the destination answers ARP or ND, where known."""
    family: Family = stats.family
    return ProbeFacts(stats.destination, family, stats.window_probes, stats.window_lost, stats.error, neighbour)
