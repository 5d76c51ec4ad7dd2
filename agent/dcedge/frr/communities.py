"""BGP communities (RFC 1997) in the words that FRR prints back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dcedge.frr.blocks import FrrRenderError

# Those that FRR prints by name (community_str() in bgpd/bgp_community.c).
_WELL_KNOWN: Mapping[int, str] = {
    0xFFFF0000: "graceful-shutdown",
    0xFFFF0001: "accept-own",
    0xFFFF0002: "route-filter-translated-v4",
    0xFFFF0003: "route-filter-v4",
    0xFFFF0004: "route-filter-translated-v6",
    0xFFFF0005: "route-filter-v6",
    0xFFFF0006: "llgr-stale",
    0xFFFF0007: "no-llgr",
    0xFFFF0008: "accept-own-nexthop",
    0xFFFF029A: "blackhole",
    0xFFFFFF01: "no-export",
    0xFFFFFF02: "no-advertise",
    0xFFFFFF03: "local-AS",
    0xFFFFFF04: "no-peer",
}
# FRR had a name for 0:0 before 10.3 and refuses it since; what is read back says the number (config.py).
_BY_NAME = {"internet": 0} | {name: value for value, name in _WELL_KNOWN.items()}


def community_value(text: str) -> int:
    """The 32 bits of a community (RFC 1997) in `high:low` or one of FRR's names.

    Raises:
        FrrRenderError: It is neither.
    """
    if text in _BY_NAME:
        return _BY_NAME[text]
    high, _, low = text.partition(":")
    if not (high.isdecimal() and low.isdecimal() and int(high) <= 65535 and int(low) <= 65535):
        raise FrrRenderError(f"{text!r} is not a community (0-65535:0-65535)")
    return int(high) << 16 | int(low)


def canonical_communities(values: Iterable[int]) -> list[str]:
    """Communities as FRR prints them: each once, ascending, the well-known ones by name."""
    return [_WELL_KNOWN.get(value) or f"{value >> 16}:{value & 0xFFFF}" for value in sorted(set(values))]
