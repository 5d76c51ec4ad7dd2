"""What a provider demands and limits, as one frozen value; the table of providers is `profiles.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dcedge.order.field_types import Prefix, Seconds
from dcedge.order.model import BfdTimers, Preference

Demand = Literal["required", "optional", "unsupported"]
Means = Literal["communities", "prepend", "med"]


@dataclass(frozen=True, slots=True)
class BfdRange:
    """What a provider's BFD lets you choose, and what it uses when you choose nothing."""

    default: BfdTimers
    on_by_default: bool
    interval_min: Seconds
    interval_max: Seconds
    multiplier_min: int
    multiplier_max: int


@dataclass(frozen=True, slots=True)
class Profile:
    """One provider. Rates in bits a second, sizes in bytes, times in seconds."""

    name: str
    title: str
    vlan_min: int
    vlan_max: int
    untagged: bool  # VLAN 0 is possible (then alone on its connection)
    double_tagged: bool  # VIs carry an outer tag, the circuit's
    bandwidth_min_bps: int  # of a hosted connection; of a VI too where `bandwidth_per_vi`
    bandwidth_max_bps: int
    bandwidth_per_vi: bool
    mtus: tuple[int, ...]  # the MTUs it offers; the first is the default
    former_mtus: tuple[int, ...]  # no longer offered; virtual interfaces of old may still have them
    any_mtu: bool  # other MTUs are possible too
    mtu_raise_interrupts: Seconds | None  # how long raising one may interrupt all of its connection's VIs
    bfd: BfdRange
    keepalive: int
    hold: int
    multihop: int  # eBGP TTL; 1 is a plain single hop
    advertise_limit: int | None  # prefixes to the cloud over BGP, a session (so a family)
    static_limit: int | None  # prefixes to the cloud on a static VI
    receive_limit: int  # prefixes from the cloud, per session, before the session is warned of
    md5: Demand
    md5_length_min: int
    md5_length_max: int
    customer_first: bool  # the customer takes the first usable address of each subnet
    prefix_lengths: tuple[int, ...]  # allowed lengths of IPv4 link subnets; empty: any
    cloud_asn: int | None  # where the provider leaves no choice
    preference_means: tuple[Means, ...]  # what the cloud heeds in the direction towards the customer
    preference_communities: tuple[tuple[Preference, str], ...]
    lacp_required: bool
    vpcs_per_gateway: int | None
    probe_budget_per_second: float | None  # echo requests a second on one connection
    reserved: tuple[Prefix, ...]  # ranges that must not be used or announced on the customer's side
    policer_overhead: int  # bytes a frame that the provider counts beyond the Ethernet frame
