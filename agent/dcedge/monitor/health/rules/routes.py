"""The routes of a session: that both ends have announced some, and not too many."""

from __future__ import annotations

from dcedge.monitor.health.facts import Facts, SessionFacts
from dcedge.monitor.health.verdict import Verdict
from dcedge.order.field_types import Seconds
from dcedge.units import counted

_EXCHANGING: Seconds = 5  # how long after it came up a session may still be without prefixes


def no_prefixes(facts: Facts) -> Verdict | None:
    """A session that carries no route carries no traffic."""
    for session in facts.sessions:
        lacks = session.received == 0 or (session.advertise_ordered and session.advertised == 0)
        if lacks and session.duration is not None and session.duration < _EXCHANGING:
            reason = f"BGP to {session.peer} has just come up and is still exchanging prefixes"
            return Verdict("degraded", reason, "prefixes", "unknown")
        if session.received == 0:
            return Verdict("degraded", f"{session.peer} {_announces(session)}", "prefixes", "unknown")
        if session.advertise_ordered and session.advertised == 0:
            reason = f"nothing is announced to {session.peer}: no prefix of `advertise` is in this routing table"
            return Verdict("degraded", reason, "prefixes", "customer")
    return None


def _announces(session: SessionFacts) -> str:
    """What a cloud announces of which nothing is accepted."""
    if session.announced is None:
        return "announces no prefix that is accepted here"
    if session.announced == 0:
        return "announces no prefix"
    return f"announces {counted(session.announced, 'prefix')}, but none that is accepted here"


def over_receive_limit(facts: Facts) -> Verdict | None:
    """A cloud that announces more than was agreed on: FRR keeps it all, and only warns in its log."""
    for session in facts.sessions:
        announced = max(session.announced or 0, session.received)
        if session.receive_limit is not None and announced > session.receive_limit:
            reason = (
                f"{session.peer} announces {announced} prefixes, more than the order's receive_limit of"
                f" {session.receive_limit}; {session.received} of them are accepted here"
            )
            return Verdict("degraded", reason, "prefixes", "cloud")
    return None
