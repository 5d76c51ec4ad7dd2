"""The path to the cloud, as probes find it: answered at all, in full size, without loss, under load too."""

from __future__ import annotations

from dcedge.monitor.health.facts import Facts, ProbeFacts
from dcedge.monitor.health.verdict import Verdict
from dcedge.units import format_rate

LOSS_DEGRADED = 0.02  # of the probes in the window
LOSS_UNDER_LOAD = 0.05
_ALL_LOST = 0.97


def static_unreachable(facts: Facts) -> Verdict | None:
    """A static VI has no session to go by, but for pings."""
    if not facts.static:
        return None
    silent = [probe for probe in facts.probes if probe.silent]
    if silent and len(silent) == len(facts.probes):
        if silent[0].neighbour:
            reason = f"{silent[0].destination} answers {silent[0].protocol} but no pings"
            return Verdict("degraded", reason, "ping", "cloud")
        return Verdict("down", f"{silent[0].destination} answers no pings{because(silent[0])}", "ping")
    return None


def full_size_lost(facts: Facts) -> Verdict | None:
    """Small packets pass and full ones do not: sessions stay up while transfers hang."""
    if facts.busy and (facts.load is None or (facts.load.full_size_loss or 0.0) < _ALL_LOST):
        return None  # a policer lets none of some through too
    for probe in facts.probes:
        # Where small ones get lost too, it is not the size.
        if probe.full_size is False and probe.answers and probe.loss <= LOSS_DEGRADED:
            reason = (
                f"packets of {probe.mtu} bytes do not get through to {probe.destination}, smaller ones do: "
                "an MTU black hole beyond this router"
            )
            return Verdict("degraded", reason, "mtu", "cloud")
    return None


def policed(facts: Facts) -> Verdict | None:
    """Pings get lost under load only, below the ordered rate: somebody drops what was ordered."""
    load = facts.load
    if load is None or load.busy_loss <= LOSS_UNDER_LOAD or load.quiet_loss > LOSS_DEGRADED:
        return None
    if facts.port.slower_than_ordered or facts.port.half_duplex:
        return None  # it is lost at this router's own port
    if load.full_size_loss is not None and load.full_size_loss >= _ALL_LOST:
        return None
    way = "out" if load.outward else "in"
    ordered = f" of the ordered {format_rate(facts.ordered_bps)}" if facts.ordered_bps else ""
    reason = (
        f"{load.busy_loss:.0%} of the pings are lost while {format_rate(load.busy_bps)}{ordered} go {way}, none of "
        "them when it is quiet"
    )
    if not facts.own_losses:
        reason += ": the cloud's policer is set below the order"
    return Verdict("degraded", reason, "rate", "cloud")


def lossy(facts: Facts) -> Verdict | None:
    """Pings get lost. Where BFD says that the path is sound, or BGP lives without any ping answered, it is the
    cloud that polices ICMP, not the link that loses."""
    for probe in facts.probes:
        session = next((s for s in facts.sessions if s.peer == probe.destination), None)
        # Probes from before the session came up were lost to what kept it down.
        young = session is not None and session.duration is not None and session.duration < probe.span
        if probe.loss <= LOSS_DEGRADED or young:
            continue
        share = f"{probe.loss:.0%} of the pings to {probe.destination}"
        if session is not None and session.bfd == "up":
            reason = f"as ordered; {share} go unanswered, but BFD loses none: policed ICMP"
            return Verdict("up", reason, "ping", "cloud")
        if session is not None and probe.silent:
            reason = f"as ordered; {share} go unanswered, but BGP stays up: filtered ICMP"
            return Verdict("up", reason, "ping", "cloud")
        return Verdict("degraded", f"{share} are lost{because(probe)}", "ping")
    return None


def because(probe: ProbeFacts) -> str:
    """Why probes fail, where the kernel says it."""
    return f" ({probe.error})" if probe.error else ""
