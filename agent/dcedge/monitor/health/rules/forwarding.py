"""What becomes of an announced route on this router: bgpd can use it, the kernel has it, and it is heeded."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.monitor.health.facts import Facts, RouteFacts
from dcedge.monitor.health.verdict import State, Verdict
from dcedge.order.field_types import Family

_OTHERS = {"kernel": "static", "connected": "connected"}  # in zebra a route that somebody gave the kernel is `kernel`


_SWITCHES: dict[Family, tuple[str, str]] = {
    "ipv4": ("IPv4", "net.ipv4.ip_forward"),
    "ipv6": ("IPv6", "net.ipv6.conf.all.forwarding"),
}


def not_forwarding(facts: Facts) -> Verdict | None:
    """Somebody has switched forwarding off: sessions and pings of the router itself go on."""
    off = sorted(facts.not_forwarded & facts.families)
    if not off:
        return None
    said = " and ".join(f"{name} ({setting} is 0)" for name, setting in map(_SWITCHES.__getitem__, off))
    state: State = "down" if len(off) == len(facts.families) else "degraded"
    return Verdict(state, f"this router does not forward {said}", "forwarding", "customer")


def next_hop_unresolved(facts: Facts) -> Verdict | None:
    """bgpd leaves out a path whose next hop it cannot reach."""
    peers = {session.peer for session in facts.sessions}
    for route in _judged(facts):
        for peer, hop in route.unresolved:
            if peer in peers:
                third = f", which is not {peer} itself" if hop != peer else ""
                reason = f"FRR does not use {route.prefix} of {peer}: there is no route to its next hop {hop}{third}"
                return Verdict("degraded", reason, "forwarding", "cloud" if third else "customer")
    return None


def not_installed(facts: Facts) -> Verdict | None:
    """zebra has the route, and the kernel refused it."""
    for route in _judged(facts):
        if route.rejected:
            count = f": {route.errors} route update errors in `show zebra dplane`" if route.errors else ""
            reason = f"zebra could not install {route.prefix}, the kernel refused it{count}{_where(route)}"
            return Verdict("degraded", reason, "forwarding", "customer")
    return None


def led_elsewhere(facts: Facts) -> Verdict | None:
    """Somebody else's route to what the cloud announces goes before it: the session is up, nothing goes that way."""
    for route in _judged(facts):
        if route.link in route.expected or route.unresolved:
            continue
        where = f"leaves by {route.link}" if route.link is not None else "has no route"
        why = f": a {_OTHERS.get(route.instead, route.instead)} route of others is preferred" if route.instead else ""
        reason = f"traffic for {route.prefix} {where} instead of {' or '.join(route.expected)}{why}"
        return Verdict("degraded", reason, "forwarding", "customer")
    return None


def _judged(facts: Facts) -> Iterator[RouteFacts]:
    """The routes of families in which something is announced now."""
    live = {session.family for session in facts.sessions if session.established and session.received}
    return (route for route in facts.routes if facts.static or route.family in live)


def _where(route: RouteFacts) -> str:
    return f"; traffic for it leaves by {route.link}" if route.link not in (None, *route.expected) else ""
