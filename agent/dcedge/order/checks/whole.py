"""Rules for the router, the agent and the order as a whole."""

from __future__ import annotations

from ipaddress import ip_address

from dcedge.order.checks.order_facts import (
    AS_TRANS,
    Found,
    OrderFacts,
    warning,
)
from dcedge.order.findings import Problem
from dcedge.units import shown


def router_id(facts: OrderFacts) -> Found:
    """BGP refuses router IDs that no router can have."""
    identifier = facts.order.router.router_id
    if identifier.is_unspecified or identifier.is_loopback or identifier.is_multicast or identifier.is_reserved:
        yield Problem(("router", "router_id"), f"{identifier} cannot be a router ID; take an address of this router")


def router_asn(facts: OrderFacts) -> Found:
    """AS_TRANS is nobody's number."""
    if facts.order.router.asn == AS_TRANS:
        yield Problem(("router", "asn"), f"{AS_TRANS} is AS_TRANS (RFC 6793), which nobody may use as its own")


def listen(facts: OrderFacts) -> Found:
    """`listen` is an address and a port; beyond this machine it wants protection."""
    path = ("agent", "listen")
    text = facts.order.agent.listen
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        address = None
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    if address is None or not colon or bracketed != (address.version == 6):
        yield Problem(path, f"{shown(text)} is not an address and a port, such as 127.0.0.1:9478 or [::1]:9478")
    elif not 0 < number <= 65535:
        yield Problem(path, f"{shown(port)} is not a TCP port (1-65535)")
    elif not address.is_loopback and facts.order.agent.web_config is None:
        yield warning(path, f"{address} is open to the network without TLS or password; see web_config")


def something_ordered(facts: OrderFacts) -> Found:
    """An order without virtual interfaces takes all of them away."""
    if not facts.order.virtual_interfaces:
        path = ("virtual_interfaces",)
        yield warning(path, "there is none: applying this removes every virtual interface from the router")
