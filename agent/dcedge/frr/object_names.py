"""The names of our objects in FRR. The prefix is what tells them from an operator's."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Literal

from dcedge.order.field_types import Family
from dcedge.order.model import BfdTimers

PREFIX = "dcedge-"
OWNER_MARK = "dcedge:"
ORIGIN_MAP = f"{PREFIX}origin"
OWN_PATHS = f"{PREFIX}own"

Direction = Literal["in", "out"]
_POLICY = re.compile(rf"{PREFIX}(?P<owner>.+)-v[46]-(?:in|out)")


def policy_name(gateway: str, family: Family, direction: Direction) -> str:
    """The name of a gateway's prefix-list."""
    return f"{PREFIX}{gateway}-v{family[-1]}-{direction}"


def inbound_map_name(gateway: str, family: Family, local_preference: int) -> str:
    """The route-map of a gateway's paths of one preference; virtual interfaces that have it in common share it."""
    return f"{policy_name(gateway, family, 'in')}-{local_preference}"


def outbound_map_name(says: str) -> str:
    """The route-map of what is said with each announcement; whoever says the same shares it."""
    return f"{PREFIX}out-{blake2b(says.encode(), digest_size=4).hexdigest()}"


def policy_owner(name: str) -> str | None:
    """The gateway whose prefix-list bears that name; None where the name is not of that form."""
    found = _POLICY.fullmatch(name)
    return found["owner"] if found else None


def bfd_profile_name(timers: BfdTimers) -> str:
    """The BFD profile of those timers; equal timers share one."""
    return f"{PREFIX}{milliseconds(timers.interval)}-{timers.multiplier}"


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, FRR's unit for BFD."""
    return round(seconds * 1000)


def router_context(asn: int, vrf: str | None) -> str:
    """The line that opens a VRF's BGP instance; None is the main table."""
    return f"router bgp {asn}" + (f" vrf {vrf}" if vrf else "")
