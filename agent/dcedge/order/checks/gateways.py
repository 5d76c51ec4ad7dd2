"""Rules for virtual gateways."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.order.checks.order_facts import (
    RESERVED_VRFS,
    Found,
    OrderFacts,
    bgp_of,
    gateway_at,
    having,
    known,
    only_with,
    overlapped,
    unroutable,
    warning,
)
from dcedge.order.field_types import Prefix
from dcedge.order.findings import Path, Problem
from dcedge.order.model import BondPort, VirtualGateway
from dcedge.order.validate import did_you_mean
from dcedge.units import shown


def reaches_known(facts: OrderFacts, name: str, gateway: VirtualGateway) -> Found:
    """`reaches` names other virtual gateways of the order."""
    for index, other in enumerate(gateway.reaches):
        path = gateway_at(name, "reaches", index)
        if other == name:
            yield Problem(path, "a virtual gateway need not reach itself")
        elif other not in facts.order.virtual_gateways:
            hint = did_you_mean(other, list(facts.order.virtual_gateways))
            yield Problem(path, f"there is no virtual gateway {other!r}{hint}")
    if gateway.reaches and not facts.order.router.isolation:
        yield warning(gateway_at(name, "reaches"), "has no effect while router.isolation is false")


def vrf_name(facts: OrderFacts, name: str, gateway: VirtualGateway) -> Found:
    """A VRF's name is free: not the kernel's or FRR's own, not a port's."""
    vrf = gateway.vrf
    path = gateway_at(name, "vrf")
    if vrf in RESERVED_VRFS:
        yield Problem(path, f"{vrf!r} cannot name a VRF; for the main table leave `vrf` out")
    for other, connection in having(facts.order.connections, "port"):
        port = connection.port
        names = (getattr(port, "bond", None), *getattr(port, "members", ())) if isinstance(port, BondPort) else (port,)
        if vrf is not None and vrf in names:
            yield Problem(path, f"{vrf} is the port of connection {other}; a VRF is an interface of its own")


def accept_sane(_facts: OrderFacts, name: str, gateway: VirtualGateway) -> Found:
    """Accepted prefixes are routable ones, and `le` lies between their length and the family's longest."""
    if gateway.accept == "any":
        yield warning(
            gateway_at(name, "accept"),
            "any accepts whatever the cloud announces, a default route too; better list the prefixes",
        )
        return
    if not gateway.accept:
        yield warning(gateway_at(name, "accept"), "is empty: nothing is accepted from the cloud")
    seen: set[Prefix] = set()
    for index, accepted in enumerate(gateway.accept):
        if not known(accepted, "prefix"):
            continue
        path = gateway_at(name, "accept", index)
        prefix = accepted.prefix
        if prefix in seen:
            yield Problem(path, f"{prefix} is in the list twice")
        seen.add(prefix)
        if reason := unroutable(prefix):
            yield Problem(path, f"{prefix} {reason}; no cloud can announce it")
        if (le := getattr(accepted, "le", None)) is None:
            continue
        if not prefix.prefixlen < le <= prefix.max_prefixlen:
            yield Problem((*path, "le"), f"{le} is not between {prefix.prefixlen + 1} and {prefix.max_prefixlen}")
        elif prefix.prefixlen == 0:
            message = f"{prefix} with `le` takes in the default route and all else"
            yield Problem(path, f"{message}; for the default route write {prefix} alone, for all of it `accept: any`")


def default_route_named(facts: OrderFacts) -> Found:
    """The default route goes to no cloud unless that cloud's gateway names it."""
    for index, prefix in enumerate(facts.order.router.advertise):
        if prefix.prefixlen == 0:
            yield Problem(
                ("router", "advertise", index),
                f"{prefix} here would draw every cloud's traffic to this router;"
                " name it in the `advertise` of the virtual gateway that is to have it",
            )


def advertised_routable(facts: OrderFacts) -> Found:
    """What the clouds may reach here can be routed, is listed once, and is not what its own cloud announces."""
    for path, prefixes in _advertise_lists(facts):
        seen: set[Prefix] = set()
        for index, prefix in enumerate(prefixes):
            if reason := unroutable(prefix):
                yield Problem((*path, index), f"{prefix} {reason} and cannot be announced")
            if prefix in seen:
                yield Problem((*path, index), f"{prefix} is in the list twice")
            seen.add(prefix)
    for name, gateway in having(facts.order.virtual_gateways, "accept", "advertise"):
        path, own = _advertised(facts, name, gateway)
        accepted = {a.prefix for a in gateway.accept if known(a, "prefix")} if gateway.accept != "any" else set()
        for index, prefix in enumerate(own):
            if prefix in accepted:
                yield Problem(
                    (*path, index), f"{prefix} is also accepted from virtual gateway {name}: which side has it?"
                )


def _advertise_lists(facts: OrderFacts) -> Iterator[tuple[Path, tuple[Prefix, ...]]]:
    router = getattr(facts.order, "router", None)
    if router is not None and known(router, "advertise"):
        yield ("router", "advertise"), router.advertise
    for name, gateway in having(facts.order.virtual_gateways, "advertise"):
        if gateway.advertise is not None:
            yield gateway_at(name, "advertise"), gateway.advertise


def _advertised(facts: OrderFacts, name: str, gateway: VirtualGateway) -> tuple[Path, tuple[Prefix, ...]]:
    """What is advertised to a gateway, and where that is said."""
    if gateway.advertise is not None:
        return gateway_at(name, "advertise"), gateway.advertise
    return ("router", "advertise"), facts.order.router.advertise


def one_vpc(facts: OrderFacts, name: str, gateway: VirtualGateway) -> Found:
    """A virtual gateway serves as many VPCs as its provider lets it."""
    if not gateway.vpcs:
        yield Problem(gateway_at(name, "vpc"), "is empty; name the VPC behind the gateway")
    for profile in facts.profiles_to(name):
        limit = profile.vpcs_per_gateway
        if limit is not None and len(gateway.vpcs) > limit:
            yield Problem(
                gateway_at(name, "vpc"), f"{len(gateway.vpcs)} VPCs; a virtual gateway of {profile.name} serves {limit}"
            )


def announced_limit(facts: OrderFacts, name: str, gateway: VirtualGateway) -> Found:
    """No more prefixes are announced than the cloud takes; over its cap it tears the session down."""
    path, prefixes = _advertised(facts, name, gateway)
    counts = {4: sum(p.version == 4 for p in prefixes), 6: sum(p.version == 6 for p in prefixes)}
    told: set[tuple[int, int | None]] = set()
    for vi_name, vi in only_with(facts.interfaces_to.get(name, ()), "addresses"):
        if not known(vi, "static", "bgp"):
            continue
        profile = facts.profile(vi.connection)
        bgp = bgp_of(vi)
        if bgp is None:
            limit, total = profile.static_limit, len(prefixes)
            if limit is not None and total > limit and (0, limit) not in told:
                told.add((0, limit))
                yield Problem(
                    path, f"{total} prefixes; {profile.name} takes {limit} on a static virtual interface ({vi_name})"
                )
            continue
        limit = bgp.advertise_limit or profile.advertise_limit
        for version in {pair.customer.version for pair in vi.addresses}:
            if limit is not None and counts[version] > limit and (version, limit) not in told:
                told.add((version, limit))
                many = f"{counts[version]} IPv{version} prefixes for {vi_name}"
                whose = "its advertise_limit" if bgp.advertise_limit else f"what {profile.name} takes"
                yield Problem(path, f"{many}; {whose} is {limit}, and beyond it the session is torn down")


def announced_reserved(facts: OrderFacts, name: str, gateway: VirtualGateway) -> Found:
    """Nothing is announced that the provider reserves for itself."""
    path, prefixes = _advertised(facts, name, gateway)
    for profile in facts.profiles_to(name):
        for index, prefix in enumerate(prefixes):
            if prefix.prefixlen and (taken := overlapped(prefix, profile.reserved)) and not unroutable(prefix):
                yield Problem((*path, index), f"{prefix} overlaps {taken}, which {profile.name} reserves for itself")


def one_gateway_per_vpc(facts: OrderFacts) -> Found:
    """A VPC has one virtual gateway where the provider allows one."""
    first: dict[tuple[str, str], str] = {}
    for name, gateway in having(facts.order.virtual_gateways, "vpc"):
        for profile in facts.profiles_to(name):
            if profile.vpcs_per_gateway != 1:
                continue
            for vpc in gateway.vpcs:
                other = first.setdefault((profile.name, vpc), name)
                if other != name:
                    yield warning(
                        gateway_at(name, "vpc"),
                        f"{shown(vpc)} has a virtual gateway already ({other}); several"
                        " connections reach a VPC through the one gateway",
                    )
