"""The names of our objects in FRR. The prefix is what tells them from an operator's."""

from __future__ import annotations

import re
from typing import Literal

from dcedge.order.model import BfdTimers, Family

PREFIX = "dcedge-"
OWNER_MARK = "dcedge:"
ORIGIN_MAP = f"{PREFIX}origin"
OWN_PATHS = f"{PREFIX}own"

Direction = Literal["in", "out"]
_POLICY = re.compile(rf"{PREFIX}(?P<owner>.+)-v[46]-(?:in|out)")


def policy_name(owner: str, family: Family, direction: Direction) -> str:
    """The name of a virtual interface's route-map or of a gateway's prefix-list."""
    return f"{PREFIX}{owner}-v{family[-1]}-{direction}"


def policy_owner(name: str) -> str | None:
    """Whose a route-map or prefix-list of that name is; None where the name is not of that form."""
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
