"""BFD beside a session: down, slower than ordered, or what keeps FRR from trying."""

from __future__ import annotations

from dcedge.monitor.health.facts import Facts, SessionFacts
from dcedge.monitor.health.rules.path import because
from dcedge.monitor.health.verdict import Verdict


def bfd_down(facts: Facts) -> Verdict | None:
    """BGP is up without the BFD that was ordered: a silent failure would be noticed late."""
    for session in facts.sessions:
        if session.bfd is not None and session.bfd != "up":
            bfd = session.bfd.replace("_", " ")
            reason = f"BFD to {session.peer} is {bfd} while BGP is up: the cloud has not enabled it"
            return Verdict("degraded", reason, "bfd", "cloud")
    return None


def bfd_slow(facts: Facts) -> Verdict | None:
    """The slower of the two ends sets the pace (RFC 5880, 6.8.4): a silent failure is noticed later than ordered."""
    for session in facts.sessions:
        seen, ordered = session.bfd_detection_ms, session.bfd_detection_ordered_ms
        if session.bfd == "up" and seen is not None and ordered is not None and seen > ordered:
            takes = f"{seen} ms to detect a failure, not {ordered} ms as ordered"
            reason = f"BFD to {session.peer} takes {takes}: the cloud's timers are slower"
            return Verdict("degraded", reason, "bfd", "cloud")
    return None


def kept_by_bfd(session: SessionFacts) -> bool:
    """Whether FRR does not so much as try, and BFD is not up: to some versions (10.3) the one is the other's reason."""
    return session.state == "Idle" and session.held and session.bfd_lacking


def kept_down(facts: Facts, session: SessionFacts, said: str) -> Verdict:
    """The cloud has no chance to answer where FRR does not try."""
    probe = facts.probe_of(session.peer)
    bfd = f"BFD is {session.bfd.replace('_', ' ')}" if session.bfd is not None else "bfdd does not answer"
    why = f"{frr_named(facts)} sets up no session while BFD is not up, and {bfd}"
    if probe is not None and probe.probes and not probe.answers:
        return Verdict("down", f"{said}: the cloud answers no pings{because(probe)}, and {why}", "ping", "unknown")
    pings = ", though the cloud answers pings: BFD may be disabled there" if probe is not None and probe.answers else ""
    return Verdict("down", f"{said}: {why}{pings}", "bfd", "customer")


def frr_named(facts: Facts) -> str:
    """FRR with its version, where that is known."""
    return f"FRR {facts.frr_version}" if facts.frr_version else "this FRR"
