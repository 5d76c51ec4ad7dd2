"""Which static routes are withdrawn for health. Pure: what is seen comes in, who is withdrawn comes out.

A static route has no protocol that takes it away when its path is dead, so the link's carrier and ARP or neighbour
discovery decide. ICMP alone never does: clouds limit it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dcedge.order.field_types import Prefix
from dcedge.order.model import Preference
from dcedge.order.resolve import ResolvedInterface

FAILED_SECONDS = 3.0  # a neighbour must be silent so long; a lost carrier counts at once
RECOVERED_SECONDS = 10.0  # the path must be well so long, lest a flapping one drags traffic to and fro

_RANKS: Mapping[Preference, int] = {"primary": 0, "equal": 0, "backup": 1}


@dataclass(frozen=True, slots=True)
class PathFacts:
    """What is seen of one virtual interface; None: not known.

    `neighbour`: whether the cloud's address answers ARP or neighbour discovery (False: one of them does not).
    `established`: whether BGP is up on it, where it speaks BGP.
    """

    carrier: bool | None = None
    neighbour: bool | None = None
    established: bool = False


@dataclass(frozen=True, slots=True)
class StaticPaths:
    """The virtual interfaces whose static routes are `withdrawn`, and what the next decision needs.

    `failing` and `well`: since when (monotonic seconds) a path is so without a break.
    """

    withdrawn: frozenset[str] = frozenset()
    failing: Mapping[str, float] = field(default_factory=dict)
    well: Mapping[str, float] = field(default_factory=dict)


class _Way(NamedTuple):
    """Where a prefix is looked up: in this VRF."""

    vrf: str | None
    prefix: Prefix


def withdrawn_static(
    interfaces: Iterable[ResolvedInterface], facts: Mapping[str, PathFacts], previous: StaticPaths, now: float
) -> StaticPaths:
    """Who is withdrawn from now on; `now` in monotonic seconds.

    The last path to a prefix is never withdrawn, however ill it looks: a guess that traffic may still pass is better
    than the certainty that it does not. Another path is a static route to the same prefix, or a virtual interface of
    the same gateway with BGP established.
    """
    interfaces = [interface for interface in interfaces if interface.admin != "down"]
    static = [interface for interface in interfaces if interface.static]
    failing: dict[str, float] = {}
    well: dict[str, float] = {}
    wished = set()
    for interface in static:
        name = interface.name
        seen = facts.get(name, PathFacts())
        if seen.carrier is False or seen.neighbour is False:
            failing[name] = previous.failing.get(name, now)
        elif seen.neighbour:
            well[name] = previous.well.get(name, now)
        if name in previous.withdrawn:
            ill = name not in well or now - well[name] < RECOVERED_SECONDS
        else:
            ill = seen.carrier is False or (name in failing and now - failing[name] >= FAILED_SECONDS)
        if ill:
            wished.add(name)
    kept = _last_paths(interfaces, static, facts, wished) if wished else set()
    return StaticPaths(frozenset(wished - kept), failing, well)


def _last_paths(
    interfaces: Iterable[ResolvedInterface],
    static: Iterable[ResolvedInterface],
    facts: Mapping[str, PathFacts],
    wished: set[str],
) -> set[str]:
    """Those of `wished` that must stay, since nothing else leads to a prefix of theirs: the likeliest of each."""
    by_bgp = {i.virtual_gateway for i in interfaces if i.sessions and facts.get(i.name, PathFacts()).established}
    ways: dict[_Way, list[ResolvedInterface]] = {}
    for interface in static:
        for prefix in interface.static:
            ways.setdefault(_Way(interface.vrf, prefix), []).append(interface)

    def likelihood(interface: ResolvedInterface) -> tuple[bool, bool, int, str]:
        seen = facts.get(interface.name, PathFacts())
        return seen.carrier is False, seen.neighbour is False, _RANKS[interface.preference], interface.name

    return {
        min(candidates, key=likelihood).name
        for candidates in ways.values()
        if all(i.name in wished and i.virtual_gateway not in by_bgp for i in candidates)
    }
