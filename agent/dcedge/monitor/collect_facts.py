"""From what is read of the kernel and of FRR to the facts that a verdict rests on. Pure.

The daemon and `explain` share these, so that both judge the same things by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dcedge.frr.object_names import milliseconds
from dcedge.frr.state import SessionState
from dcedge.kernel.counters import LinkCounters
from dcedge.kernel.naming import interface_link
from dcedge.kernel.port.hardware import Hardware
from dcedge.kernel.port.optics import Optics
from dcedge.monitor.health.digest import Suspect
from dcedge.monitor.health.facts import (
    BfdState,
    DigestFault,
    LightFacts,
    LinkFacts,
    MemberFacts,
    PortFacts,
    SessionFacts,
)
from dcedge.order.field_types import Seconds
from dcedge.order.resolve import ResolvedInterface, Session

Place = tuple[str, str]  # VRF as bgpd calls it, peer


def session_place(session: Session, vrf: str | None) -> Place:
    """Where bgpd lists a session."""
    return vrf or "default", str(session.cloud)


def bfd_word(status: str | None) -> BfdState | None:
    """bfdd's word for a BFD session as RFC 5880 has the states; whatever else it says is not up. None: not known."""
    match status:
        case "up" | "init":
            return status
        case "unknown":
            return None
        case "shutdown" | "admindown" | "admin-down":
            return "admin_down"
    return "down"


def port_facts(interface: ResolvedInterface, links: Mapping[str, LinkCounters], hardware: Hardware) -> PortFacts:
    """The port of a virtual interface, with its members where it is a bond made here."""
    port, mode = links.get(interface.port), hardware.modes.get(interface.port)
    return PortFacts(
        interface.port,
        present=port is not None,
        admin_up=port is None or port.up,
        carrier=port.carrier if port is not None else None,
        members=tuple(_members(interface, links)),
        light=_light(hardware.optics.get(interface.port)),
        speed_bps=mode.speed_bps if mode is not None else None,
        half_duplex=mode is not None and mode.duplex == "half",
        connection=interface.port_connection.connection,
        ordered_bps=interface.port_connection.rate_bps,
    )


def _members(interface: ResolvedInterface, links: Mapping[str, LinkCounters]) -> Iterator[MemberFacts]:
    bond = links.get(interface.port)
    for name in interface.bond.members if interface.bond is not None else ():
        link = links.get(name)
        if link is None or bond is None:
            yield MemberFacts(name, present=link is not None)
            continue
        member = link.member if link.member is not None and link.member.bond == bond.index else None
        yield MemberFacts(
            name,
            joined=member is not None,
            admin_up=link.up,
            carrier=link.carrier,
            partner=member.partner_heard if member is not None else None,
            in_use=member.in_use(bond.active_aggregator) if member is not None else None,
        )


def _light(optics: Optics | None) -> LightFacts | None:
    if optics is None:
        return None
    return LightFacts(optics.receive_dbm, optics.transmit_dbm, optics.receive_alarm_dbm, optics.transmit_alarm_dbm)


def link_facts(interface: ResolvedInterface, links: Mapping[str, LinkCounters], silent: Seconds | None) -> LinkFacts:
    """The link of a virtual interface."""
    name = interface_link(interface)
    link = links.get(name)
    return LinkFacts(
        name,
        present=link is not None,
        admin_up=link is None or link.up,
        vlan=interface.tags[-1].vlan_id if interface.tags else None,
        silent=silent,
    )


def session_facts(
    interface: ResolvedInterface,
    session: Session,
    state: SessionState,
    duration: Seconds | None,
    digest: DigestFault | None,
) -> SessionFacts:
    """One session of a virtual interface; `duration` is how long it has been in its state."""
    counts = next((p for p in state.prefixes if p.family == session.family), None)
    return SessionFacts(
        peer=str(state.peer),
        family=session.family,
        state=state.state,
        duration=duration,
        admin_shutdown=state.admin_down,
        last_reset=state.last_reset,
        received=counts.accepted if counts is not None else 0,
        announced=counts.received if counts is not None else None,
        receive_limit=session.receive_limit,
        advertised=counts.advertised if counts is not None else None,
        advertise_ordered=any(prefix.version == session.customer.version for prefix in interface.advertise),
        bfd=bfd_word(state.bfd) if session.bfd is not None else None,
        bfd_detection_ms=state.bfd_detection_ms,
        bfd_detection_ordered_ms=milliseconds(session.bfd.interval) * session.bfd.multiplier if session.bfd else None,
        ttl_security=session.ttl_security,
        digest=digest,
        customer_asn=session.customer_asn,
        cloud_asn=session.cloud_asn,
        lost=state.transitions,
        held=state.held and state.bfd is not None,  # without BFD in force, that cannot be what holds it
    )


def digest_suspects(
    interfaces: Iterable[ResolvedInterface], sessions: Mapping[Place, SessionState], unreachable: frozenset[str]
) -> list[Suspect]:
    """The sessions whose peer may send segments with a wrong digest: all that are down, but for `unreachable` peers.

    Whether the operator's own sessions have a password is not known: they count as both.
    """
    ours = {session_place(s, i.vrf): s for i in interfaces for s in i.sessions}
    suspects = []
    for place, state in sessions.items():
        if state.up or state.admin_down or str(state.peer) in unreachable:
            continue
        session = ours.get(place)
        if session is not None:
            suspects.append(Suspect(str(state.peer), session.password is not None))
        else:
            suspects += [Suspect(f"another's {state.peer}", keyed) for keyed in (True, False)]
    return suspects
