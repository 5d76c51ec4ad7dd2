"""What an order must not say: one function a rule, listed in the tables below.

A rule gets the facts and one subject (a connection, a virtual gateway, a virtual interface, or nothing for the whole
order) and yields problems. Rules may assume that what they read exists: where an attribute was broken or a reference
dangles, that rule is passed over for that subject, because the loader or another rule has said so already.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from dcedge.order.checks import asns, connections, gateways, interfaces, whole
from dcedge.order.checks.order_facts import Found, OrderFacts, UnknownError
from dcedge.order.findings import Problem
from dcedge.order.model import Connection, Order, VirtualGateway, VirtualInterface

ORDER_RULES: tuple[Callable[[OrderFacts], Found], ...] = (
    whole.router_id,
    whole.router_asn,
    whole.listen,
    whole.something_ordered,
    connections.port_used_once,
    connections.outer_tag_once,
    interfaces.vlan_once,
    interfaces.subnets_overlap,
    gateways.default_route_named,
    gateways.advertised_routable,
    gateways.one_gateway_per_vpc,
    connections.probe_budget,
)
CONNECTION_RULES: tuple[Callable[[OrderFacts, str, Connection], Found], ...] = (
    connections.provider_known,
    connections.port_or_over,
    connections.over_a_port,
    connections.outer_needs_over,
    connections.outer_demanded,
    connections.bond_links,
    connections.lacp_demanded,
    connections.connection_mtu,
    connections.offered_mtu,
    connections.hosted_bandwidth,
    connections.bandwidth_sum,
)
GATEWAY_RULES: tuple[Callable[[OrderFacts, str, VirtualGateway], Found], ...] = (
    gateways.reaches_known,
    gateways.vrf_name,
    gateways.accept_sane,
    gateways.one_vpc,
    gateways.announced_limit,
    gateways.announced_reserved,
)
INTERFACE_RULES: tuple[Callable[[OrderFacts, str, VirtualInterface], Found], ...] = (
    interfaces.references,
    interfaces.vlan_range,
    interfaces.two_tags,
    interfaces.bandwidth_given,
    interfaces.bandwidth_range,
    interfaces.flow_on_bond,
    interfaces.ipv6_mtu,
    interfaces.addresses_fit,
    interfaces.addresses_reserved,
    interfaces.link_length,
    interfaces.customer_first,
    interfaces.bgp_or_static,
    interfaces.static_next_hop,
    interfaces.static_accepted,
    asns.cloud_asn_known,
    asns.external_session,
    asns.as_trans,
    interfaces.password_demanded,
    interfaces.bgp_timers,
    interfaces.bfd_range,
    interfaces.ttl_security,
    interfaces.graceful_restart_bfd,
    interfaces.multihop_bfd,
    interfaces.advertise_limit_usual,
    interfaces.communities,
    interfaces.probe_interval,
)


def check(order: Order, *, complete: bool = True) -> list[Problem]:
    """Every rule's problems. An order that is not `complete` lacks pieces; what needs them is passed over."""
    facts = OrderFacts(order)
    forgiven: tuple[type[Exception], ...] = (UnknownError,) if complete else (UnknownError, AttributeError)
    problems: list[Problem] = []

    def collect(found: Found) -> None:
        with suppress(*forgiven):
            problems.extend(found)

    for rule in ORDER_RULES:
        collect(rule(facts))
    for name, connection in order.connections.items():
        for connection_rule in CONNECTION_RULES:
            collect(connection_rule(facts, name, connection))
    for name, gateway in order.virtual_gateways.items():
        for gateway_rule in GATEWAY_RULES:
            collect(gateway_rule(facts, name, gateway))
    for name, vi in order.virtual_interfaces.items():
        for interface_rule in INTERFACE_RULES:
            collect(interface_rule(facts, name, vi))
    return list(dict.fromkeys(problems))
