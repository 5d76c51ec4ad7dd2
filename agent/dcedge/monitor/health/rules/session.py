"""BGP sessions: that FRR has them, and why one is not up."""

from __future__ import annotations

from dataclasses import replace

from dcedge.monitor.health.facts import STANDS, DigestFault, Facts, ProbeFacts, SessionFacts
from dcedge.monitor.health.notifications import BFD_LOST, CLOUD_ENDED, lost_by, refusal, said_by_cloud, stays_ended
from dcedge.monitor.health.rules.bfd import frr_named, kept_by_bfd, kept_down
from dcedge.monitor.health.rules.link import no_neighbour, nothing_heard
from dcedge.monitor.health.rules.path import because
from dcedge.monitor.health.verdict import Layer, Side, Verdict
from dcedge.order.field_types import Seconds
from dcedge.units import format_seconds

_SETTLING: Seconds = 15  # how long a session may take before its absence is called a fault
UNANSWERED = "the cloud does not answer on TCP 179"
DIGESTS: dict[DigestFault, str] = {
    "missing": "the cloud's TCP has no MD5 digest: no password is set there",
    "wrong": "the cloud's TCP has a wrong MD5 digest: another password is set there",
    "unexpected": "the cloud's TCP has an MD5 digest, but no password is ordered",
}


def frr_absent(facts: Facts) -> Verdict | None:
    """Without FRR no session can be had, nor its state."""
    if facts.frr_available or facts.static:
        return None
    detail = f" ({facts.frr_detail})" if facts.frr_detail else ""
    pings = "; the cloud answers pings" if any(probe.answers for probe in facts.probes) else ""
    return Verdict("pending", f"FRR does not answer{detail}, so BGP waits{pings}", "frr", "customer")


def sessions_missing(facts: Facts) -> Verdict | None:
    """FRR runs but has not been given the sessions."""
    if facts.static or facts.sessions:
        return None
    why = f": {facts.failing[0]}" if facts.failing else " yet"
    return Verdict("pending", f"BGP is not configured{why}", "bgp", "customer")


def sessions_down(facts: Facts) -> Verdict | None:
    """No session is up, or not every one."""
    lacking = [session for session in facts.sessions if not session.established]
    if not lacking:
        return None
    cause = why_not_established(facts, lacking[0])
    reason = cause.reason
    if lacking[0].admin_shutdown and facts.failing:
        reason += f": {facts.failing[0]}"
    if len(lacking) > 1:
        reason += f" (and {len(lacking) - 1} more)"
    if len(lacking) < len(facts.sessions):
        return replace(cause, state="degraded", reason=reason)
    settling = all(s.duration is not None and s.duration < _SETTLING and not s.admin_shutdown for s in lacking)
    lost = facts.was_up and any(s.lost for s in lacking)
    if settling and not lost and not any(map(refused, lacking)):
        reason = f"BGP to {lacking[0].peer} is coming up ({lacking[0].state})"
        return Verdict("pending", reason, cause.layer, cause.side)
    return replace(cause, reason=reason)


def why_not_established(facts: Facts, session: SessionFacts) -> Verdict:
    """Why one session is not up: the lowest layer that is seen to fail."""
    probe = facts.probe_of(session.peer)
    if session.admin_shutdown:
        return Verdict("down", f"BGP to {session.peer} is shut down on this router", "bgp", "customer")
    since = f" for {format_seconds(session.duration)}" if session.duration and session.duration >= 1 else ""
    said = f"BGP to {session.peer} is {session.state}{since}"
    if session.peer in facts.astray:
        return Verdict("down", f"{said}: {_led_astray(session.peer, facts)}", "tcp", "customer")
    unreachable = nothing_heard(facts, probe) or no_neighbour(facts, probe)
    if unreachable is not None:
        return replace(unreachable, reason=f"{said}: {unreachable.reason}{_before(session)}")
    if session.digest is not None and not (session.digest == "missing" and stays_ended(session.last_reset)):
        return Verdict("down", f"{said}: {DIGESTS[session.digest]}", "md5", "cloud")
    opening = session.state in {"OpenSent", "OpenConfirm"} and (session.duration or 0) >= STANDS
    if not opening and (told := _refused_verdict(facts, session, said)) is not None:  # else that is an older story
        return told
    if session.state == "OpenSent":
        return Verdict(
            "down", f"{said}: TCP is up but the cloud sends no valid OPEN{_ttl_dropped(session)}", "open", "cloud"
        )
    if session.state == "OpenConfirm":
        # A cloud that demands a TTL lets FRR's SYN-ACK pass, which has 255, and drops what follows.
        reason = f"{said}: the cloud does not confirm our OPEN: it may require another TTL, or filter what follows"
        return Verdict("down", reason, "open", "cloud")
    if kept_by_bfd(session):
        return kept_down(facts, session, said)
    if probe is not None and probe.probes and not probe.answers:
        reason = f"{said}: the cloud answers neither pings nor TCP 179{because(probe)}"
        return Verdict("down", reason, "tcp", "unknown")
    if session.state == "Idle" and (lost := lost_by(session.last_reset)):
        reason = f"{said}: {lost}, and FRR is about to try again (last reset: {session.last_reset})"
        return Verdict("down", reason, "bfd" if lost is BFD_LOST else "bgp", "unknown")
    guess = f"{UNANSWERED}{_though_pinged(probe)}{_ttl_dropped(session)}"
    before = f"; before, {CLOUD_ENDED} ({session.last_reset})" if lost_by(session.last_reset) is CLOUD_ENDED else ""
    return Verdict("down", f"{said}: {guess}{before}", "tcp", "cloud")


def _led_astray(peer: str, facts: Facts) -> str:
    """Pings all the same, since they are bound to the link."""
    link, own = facts.astray[peer], facts.link.name
    if link is None:
        return f"this router has no route to {peer}: somebody has taken away that of its subnet on {own}"
    return f"packets to {peer} leave by {link} instead of {own}: somebody's route or rule goes before its subnet's"


def refused(session: SessionFacts) -> tuple[str, Layer, Side] | None:
    """What the last NOTIFICATION of a session says is wrong, with its ASNs."""
    found = refusal(session.last_reset or "")
    if found is None:
        return None
    meaning, layer, side = found
    limit = f" of {session.receive_limit}" if session.receive_limit is not None else ""
    said = meaning.format(customer=_asn(session.customer_asn), cloud=_asn(session.cloud_asn), limit=limit)
    return said, layer, side


def _asn(number: int | None) -> str:
    return "N" if number is None else f" {number}"


def _refused_verdict(facts: Facts, session: SessionFacts, said: str) -> Verdict | None:
    """What the last NOTIFICATION means, where it names a fault, beside the state that the session is in now."""
    notification = refused(session)
    if notification is None:
        return None
    meaning, layer, side = notification
    last_reset = f" (last reset: {session.last_reset})"
    if session.state == "Established":
        reason = f"{said}, but was closed before: {meaning}{last_reset}"
    elif layer == "bgp" and side == "cloud" and session.state == "Connect" and (session.duration or 0) >= STANDS:
        since = "does not answer on TCP 179 since: if it is back, with another password or TTL, or behind a filter"
        reason = f"{said}: {meaning}, and {since}"
    elif kept_by_bfd(session) and said_by_cloud(session.last_reset):
        reason = f"{said}: {meaning}; {frr_named(facts)} does not try again while BFD is down{last_reset}"
    else:
        reason = f"{said}: {meaning}{last_reset}"
    return Verdict("down", reason, layer, side)


def _before(session: SessionFacts) -> str:
    """What the cloud has said before it could not be reached any more."""
    told = refused(session)
    return f"; before, {told[0]}" if told is not None and said_by_cloud(session.last_reset) else ""


def _though_pinged(probe: ProbeFacts | None) -> str:
    """What keeps an address that answers pings from answering on TCP 179."""
    if probe is None or not probe.answers:
        return ""
    return ", though it answers pings: a filter, another password or TTL, or no session configured there"


def _ttl_dropped(session: SessionFacts) -> str:
    """What `ttl_security` does to a cloud that does not speak it (RFC 5082)."""
    return (
        "; `ttl_security` is ordered, so what it sends with a TTL below 255 is dropped" if session.ttl_security else ""
    )
