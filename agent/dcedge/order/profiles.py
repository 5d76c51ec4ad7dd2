"""The providers' profiles, read once from `profiles.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from dcedge.order.model import BfdTimers
from dcedge.order.profile import BfdRange, Profile
from dcedge.units import parse_duration, parse_rate


def _bfd(data: Mapping[str, Any]) -> BfdRange:
    low, high = (parse_duration(text) for text in data["intervals"])
    return BfdRange(
        default=BfdTimers(interval=parse_duration(data["interval"]), multiplier=data["multiplier"]),
        on_by_default=data["by_default"],
        interval_min=low,
        interval_max=high,
        multiplier_min=data["multipliers"][0],
        multiplier_max=data["multipliers"][1],
    )


def _profile(name: str, data: Mapping[str, Any]) -> Profile:
    return Profile(
        name=name,
        title=data["title"],
        vlan_min=data["vlan"][0],
        vlan_max=data["vlan"][1],
        untagged=data["untagged"],
        double_tagged=data["double_tagged"],
        bandwidth_min_bps=parse_rate(data["bandwidth"][0]),
        bandwidth_max_bps=parse_rate(data["bandwidth"][1]),
        bandwidth_per_vi=data["bandwidth_per_vi"],
        mtus=tuple(data["mtus"]),
        former_mtus=tuple(data["former_mtus"]),
        any_mtu=data["any_mtu"],
        mtu_raise_interrupts=parse_duration(interrupts) if (interrupts := data["mtu_raise_interrupts"]) else None,
        bfd=_bfd(data["bfd"]),
        keepalive=data["keepalive"],
        hold=data["hold"],
        multihop=data["multihop"],
        advertise_limit=data["advertise_limit"],
        static_limit=data["static_limit"],
        receive_limit=data["receive_limit"],
        md5=data["md5"],
        md5_length_min=data["md5_length"][0],
        md5_length_max=data["md5_length"][1],
        customer_first=data["customer_first"],
        prefix_lengths=tuple(data["prefix_lengths"]),
        cloud_asn=data["cloud_asn"],
        preference_means=tuple(data["preference_means"]),
        preference_communities=tuple(data["preference_communities"].items()),
        lacp_required=data["lacp_required"],
        vpcs_per_gateway=data["vpcs_per_gateway"],
        probe_budget_per_second=data["probe_budget"],
        reserved=tuple(ip_network(text) for text in data["reserved"]),
        policer_overhead=data["policer_overhead"],
    )


def _read() -> dict[str, Profile]:
    text = Path(__file__).with_name("profiles.yaml").read_bytes()
    table: dict[str, dict[str, Any]] = yaml.load(text, Loader=yaml.CSafeLoader)
    return {name: _profile(name, table["generic"] | data) for name, data in table.items()}


PROFILES: Mapping[str, Profile] = MappingProxyType(_read())


def profile_of(name: str) -> Profile:
    """The profile of a provider; KeyError where there is none of that name (the checks see to it)."""
    return PROFILES[name]
