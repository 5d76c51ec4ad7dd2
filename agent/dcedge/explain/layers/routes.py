"""The prefixes, where they lead, and what of the ordered rate gets through."""

from __future__ import annotations

from dcedge.explain.evidence import Evidence
from dcedge.explain.outcome import (
    NO_SESSION,
    LayerOutcome,
    failing,
    first_of,
    lacking,
    reset_evidence,
)
from dcedge.monitor.health.rules import forwarding as forwarding_rules
from dcedge.monitor.health.rules import order as order_rules
from dcedge.monitor.health.rules import routes as route_rules
from dcedge.monitor.health.rules import session as session_rules
from dcedge.monitor.health.verdict import Side
from dcedge.units import counted, format_rate


def prefixes(e: Evidence) -> LayerOutcome:
    """Prefixes are exchanged, within both ends' caps."""
    if not e.interface.sessions:
        return LayerOutcome("ok", f"static routes to {', '.join(map(str, e.interface.static))}")
    if not e.facts.sessions:
        return LayerOutcome("skipped", NO_SESSION)
    session = lacking(e)
    if session is not None:
        found = session_rules.why_not_established(e.facts, session)
        if found.layer == "prefixes":
            return failing(found, _cap_advice(e, found.side), *reset_evidence(session))
        return LayerOutcome("unknown", "the session is not up")
    if (daemon := e.daemon) is not None and (daemon.verdict, daemon.layer) == ("down", "prefixes"):
        # Refused over and over it is up in between: only who watches it knows.
        return LayerOutcome("failed", daemon.reason, daemon.side, (), _cap_advice(e, daemon.side))
    if (lack := route_rules.no_prefixes(e.facts)) is not None:
        advice = "Check that the VPC's prefixes are attached to the gateway and announced."
        if lack.side == "customer":
            advice = "Add the prefixes of `advertise` to this router's routing table: only routes in it are announced."
        accepted = ", ".join(str(one.prefix) for one in e.interface.accept) if e.interface.accept else "any"
        return failing(lack, advice, f"accepted prefixes: {accepted}")
    if (over := route_rules.over_receive_limit(e.facts)) is not None:
        return failing(over, _cap_advice(e, over.side))
    evidence = "; ".join(f"{s.peer}: {s.received} received, {s.advertised} announced" for s in e.facts.sessions)
    return LayerOutcome("ok", evidence)


def _cap_advice(e: Evidence, side: Side) -> str:
    if side == "cloud":
        return "Tell us how many prefixes you announce. (Or here: raise `bgp.receive_limit` if they are right.)"
    ordered = counted(len(e.interface.advertise), "prefix")
    return f"Announce fewer prefixes (`advertise` has {ordered}), or ask the provider to raise the limit."


def forwarding(e: Evidence) -> LayerOutcome:
    """The router forwards, and sends what is for the cloud this way."""
    if e.not_forwarding:
        text = f"this router does not forward: {', '.join(e.not_forwarding)} is 0"
        return LayerOutcome(
            "degraded", text, "customer", (), "The daemon sets these: check that it runs, and what else resets them."
        )
    found = first_of(
        e.facts, forwarding_rules.next_hop_unresolved, forwarding_rules.not_installed, forwarding_rules.led_elsewhere
    )
    if found is not None:
        return failing(found, _ROUTE_ADVICE[found.side])
    leads = [f"{route.prefix} leaves by {route.link}" for route in e.facts.routes]
    text = "; ".join(leads) or "the router forwards"
    if e.foreign_firewall:
        return LayerOutcome("unknown", f"{text}; others' firewall chains may drop traffic", evidence=e.foreign_firewall)
    return LayerOutcome("ok", text)


_ROUTE_ADVICE: dict[Side, str] = {
    "customer": "`ip route get` an address of that prefix, and `show ip route` of it in FRR: take the other route away,"
    " or take the prefix out of the gateway's `accept`.",
    "cloud": "Announce it with the address of the session's end as next hop, or tell us how the other one is reached.",
}


def rate(e: Evidence) -> LayerOutcome:
    """What was ordered passes."""
    if (daemon := e.daemon) is not None and daemon.layer == "rate" and daemon.verdict == "degraded":
        ordered = f"{format_rate(e.facts.ordered_bps)} are ordered" if e.facts.ordered_bps else "see the order"
        advice = f"Check the rate limiter of this virtual interface: {ordered}."
        return LayerOutcome("degraded", daemon.reason, daemon.side, (), advice)
    if (found := order_rules.failing_operations(e.facts)) is not None:
        return failing(found, "`dcedge status` lists the failed operations; the daemon goes on trying.")
    if e.daemon is None:
        return LayerOutcome("unknown", "only the daemon compares loss with load, and it is not running")
    return LayerOutcome("ok", "no loss under load")
