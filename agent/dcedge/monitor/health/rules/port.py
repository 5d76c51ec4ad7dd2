"""The port: that it exists and is up, its light, its carrier, and a bond's members."""

from __future__ import annotations

from dataclasses import replace

from dcedge.monitor.health.facts import Facts, MemberFacts
from dcedge.monitor.health.verdict import Verdict
from dcedge.units import format_rate


def port_missing(facts: Facts) -> Verdict | None:
    """The port that the order names is not there."""
    if facts.port.present:
        return None
    return Verdict("down", f"port {facts.port.name} does not exist on this router", "port", "customer")


def port_shut(facts: Facts) -> Verdict | None:
    """Someone set the port down."""
    if facts.port.admin_up:
        return None
    return Verdict("down", f"port {facts.port.name} is set down on this router", "port", "customer")


def no_carrier(facts: Facts) -> Verdict | None:
    """No carrier: nothing beyond the port can be judged."""
    port = facts.port
    if port.carrier is not False:
        return None
    if port.members:
        why = "; ".join(fault.reason for member in port.members if (fault := member_fault(port.name, member)))
        reason = f"bond {port.name} has no carrier: {why or 'fewer members than min_links carry traffic'}"
        lit = any(member.carrier for member in port.members)
        sides = {fault.side for member in port.members if (fault := member_fault(port.name, member))}
        return Verdict("down", reason, "lacp" if lit else "carrier", sides.pop() if len(sides) == 1 else "unknown")
    if port.light is not None and port.light.receive_dbm is not None:
        seen = f"{port.light.receive_dbm:.1f} dBm of light come in"
        if port.light.receive_low:
            reason = f"port {port.name} has no carrier and no light: {seen}: fibre cut, or the provider's port is dark"
            return Verdict("down", reason, "light", "line")
        reason = f"port {port.name} has no carrier though {seen}: speed, auto-negotiation or FEC of the two ends differ"
        return Verdict("down", reason, "carrier", "unknown")
    reason = f"port {port.name} has no carrier: fibre, transceiver or the provider's port"
    return Verdict("down", reason, "carrier", "line")


def no_lacp_partner(facts: Facts) -> Verdict | None:
    """A bond none of whose members has a partner passes nothing on."""
    members = facts.port.members
    if not members or any(member.partner is not False for member in members):
        return None
    if any(session.established for session in facts.sessions):
        return None
    reason = f"the cloud does not speak LACP on any member of {facts.port.name}"
    return Verdict("down", reason, "lacp", "cloud")


def member_lacking(facts: Facts) -> Verdict | None:
    """A bond carries on without one of its members: with less than was ordered, and no spare."""
    faults = [fault for member in facts.port.members if (fault := member_fault(facts.port.name, member))]
    if not faults:
        return None
    well = len(facts.port.members) - len(faults)
    reason = f"{well} of the {len(facts.port.members)} members of {facts.port.name} carry traffic: {faults[0].reason}"
    return replace(faults[0], state="degraded", reason=reason)


def member_fault(bond: str, member: MemberFacts) -> Verdict | None:
    """What is wrong with one member of a bond."""
    name = member.name
    if not member.present:
        return Verdict("down", f"port {name} does not exist on this router", "port", "customer")
    if not member.admin_up:
        return Verdict("down", f"{name} is set down on this router", "port", "customer")
    if not member.joined:
        return Verdict("down", f"{name} is not in {bond}", "lacp", "customer")
    if not member.carrier:
        return Verdict("down", f"{name} has no carrier: fibre, transceiver or the provider's port", "lacp", "line")
    if member.partner is False:
        return Verdict("down", f"the cloud does not speak LACP on {name}", "lacp", "cloud")
    if member.in_use is False:
        return Verdict("down", f"the cloud does not aggregate {name} into its bundle", "lacp", "cloud")
    return None


def half_duplex(facts: Facts) -> Verdict | None:
    """One end negotiates and the other does not."""
    if not facts.port.half_duplex:
        return None
    reason = f"port {facts.port.name} runs at half duplex: frames collide under load"
    return Verdict("degraded", reason, "carrier", "unknown")


def slower_than_ordered(facts: Facts) -> Verdict | None:
    """The two ends of the port agreed on less than its connection is ordered at."""
    port = facts.port
    if port.speed_bps is None or not port.slower_than_ordered:
        return None
    has = f"the members of {port.name} that carry traffic have" if port.members else f"port {port.name} runs at"
    together = " together" if port.members else ""
    reason = f"{has} {format_rate(port.speed_bps)}{together}; {format_rate(port.ordered_bps)} are ordered"
    return Verdict("degraded", f"{reason} on {port.connection}", "carrier", "unknown")


def weak_light(facts: Facts) -> Verdict | None:
    """The light is weaker than the module's own alarm threshold: it works until it does not."""
    light = facts.port.light
    if light is None:
        return None
    if light.receive_low:
        reason = f"only {_dbm(light.receive_dbm)} of light come in at {facts.port.name} (alarm below "
        return Verdict("degraded", f"{reason}{_dbm(light.receive_alarm_dbm)}): dirty or bent fibre", "light", "line")
    if light.transmit_low:
        reason = f"the transceiver of {facts.port.name} sends only {_dbm(light.transmit_dbm)} (alarm below "
        return Verdict("degraded", f"{reason}{_dbm(light.transmit_alarm_dbm)})", "light", "customer")
    return None


def _dbm(power: float | None) -> str:
    return "no power reading" if power is None else f"{power:.1f} dBm"
