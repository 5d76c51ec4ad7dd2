"""Rules for the AS numbers of a virtual interface's sessions."""

from __future__ import annotations

from dcedge.order.checks.order_facts import AS_TRANS, Found, OrderFacts, gateway_at, vi_at
from dcedge.order.findings import Path, Problem
from dcedge.order.model import VirtualInterface
from dcedge.order.resolve import cloud_asn


def cloud_asn_known(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The cloud's AS number is known, and the provider's where it leaves no choice."""
    if vi.static is not None:
        return
    profile = facts.profile(vi.connection)
    cloud = cloud_asn(vi, facts.gateway(vi.virtual_gateway), profile)
    if cloud is None:
        message = (
            f"the cloud's AS number is not known: set `asn` of virtual gateway {vi.virtual_gateway}, or bgp.cloud_asn"
        )
        yield Problem(vi_at(name), message, part="key")
    elif profile.cloud_asn is not None and cloud not in {profile.cloud_asn, AS_TRANS, _customer(facts, vi)}:
        yield Problem(_cloud_at(name, vi), f"{cloud} is not {profile.name}'s AS number, which is {profile.cloud_asn}")


def external_session(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The two ends are of different AS numbers, to FRR too: `local-as` makes no internal session an external one."""
    if vi.static is not None:
        return
    cloud = cloud_asn(vi, facts.gateway(vi.virtual_gateway), facts.profile(vi.connection))
    customer, router = _customer(facts, vi), facts.order.router.asn
    if cloud is not None and cloud == customer:
        yield Problem(
            vi_at(name, "bgp") if vi.bgp is not None else vi_at(name),
            f"customer and cloud have the same AS number {cloud}: that is not an eBGP session",
            part="key",
        )
    elif cloud is not None and cloud == router:
        yield Problem(
            vi_at(name, "bgp", "customer_asn"),
            f"{customer} does not help where router.asn is the cloud's {cloud}: FRR takes the session for an internal"
            " one, to which local-as is not allowed; give the router another AS number",
        )


def as_trans(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """Neither end is AS_TRANS (RFC 6793); the router's own number has a rule of its own."""
    if vi.static is not None:
        return
    own = vi.bgp.customer_asn if vi.bgp is not None else None
    cloud = cloud_asn(vi, facts.gateway(vi.virtual_gateway), facts.profile(vi.connection))
    if AS_TRANS in {cloud, own} and cloud != _customer(facts, vi):
        where = _cloud_at(name, vi) if cloud == AS_TRANS else vi_at(name, "bgp", "customer_asn")
        yield Problem(where, f"{AS_TRANS} is AS_TRANS (RFC 6793), which nobody may use as its own")


def _customer(facts: OrderFacts, vi: VirtualInterface) -> int:
    own = vi.bgp.customer_asn if vi.bgp is not None else None
    return own or facts.order.router.asn


def _cloud_at(name: str, vi: VirtualInterface) -> Path:
    """Where the cloud's AS number is said."""
    said = vi.bgp is not None and vi.bgp.cloud_asn is not None
    return vi_at(name, "bgp", "cloud_asn") if said else gateway_at(vi.virtual_gateway, "asn")
