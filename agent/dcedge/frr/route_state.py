"""One prefix as bgpd and zebra have it: who announces it, and what became of it. What a peer sent is addresses only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dcedge.errors import FrrError
from dcedge.frr.state import parse_object
from dcedge.order.field_types import Prefix


@dataclass(frozen=True, slots=True)
class BgpPath:
    """A path of bgpd's for a prefix. `unresolved` is its next hop, where bgpd has no route to that."""

    peer: str
    unresolved: str | None


@dataclass(frozen=True, slots=True)
class ZebraRoute:
    """One of the routes that zebra has for a prefix; `links` are those of its next hops."""

    protocol: str  # as zebra says it: bgp, kernel, static, connected, ...
    selected: bool
    failed: bool  # the kernel refused it
    links: tuple[str, ...]


def bgp_question(prefix: Prefix, vrf: str | None) -> str:
    """What bgpd is asked of one prefix."""
    where = f"vrf {vrf} " if vrf is not None else ""
    return f"show bgp {where}ipv{prefix.version} unicast {prefix} json"


def zebra_question(prefix: Prefix, vrf: str | None) -> str:
    """What zebra is asked of one prefix."""
    where = f"vrf {vrf} " if vrf is not None else ""
    return f"show {'ip' if prefix.version == 4 else 'ipv6'} route {where}{prefix} json"


def parse_paths(text: str) -> tuple[BgpPath, ...]:
    """Read bgpd's answer; empty where it has none.

    Raises:
        FrrError: It is not that.
    """
    paths = parse_object(text, "show bgp PREFIX json").get("paths")
    return tuple(_path(path) for path in _objects(paths))


def _path(path: Mapping[str, Any]) -> BgpPath:
    peer = path.get("peer")
    hops = list(_objects(path.get("nexthops")))
    lost = [str(hop.get("ip")) for hop in hops if hop.get("accessible") is False]
    name = str(peer.get("peerId")) if isinstance(peer, dict) else ""
    return BgpPath(name, lost[0] if lost and len(lost) == len(hops) else None)


def parse_routes(text: str, prefix: Prefix) -> tuple[ZebraRoute, ...]:
    """Read zebra's answer; empty where it has none.

    Raises:
        FrrError: It is not that.
    """
    routes = parse_object(text, "show route PREFIX json").get(str(prefix))
    return tuple(
        ZebraRoute(
            protocol=str(route.get("protocol")),
            selected=route.get("selected") is True,
            failed=route.get("failed") is True,
            links=tuple(str(hop["interfaceName"]) for hop in _objects(route.get("nexthops")) if "interfaceName" in hop),
        )
        for route in _objects(routes)
    )


def parse_route_errors(text: str) -> int:
    """How many routes the kernel has refused since zebra's start, of `show zebra dplane`; 0 where it does not say."""
    for line in text.splitlines():
        name, _, count = line.partition(":")
        if name.strip() == "Route update errors" and count.strip().isdigit():
            return int(count)
    return 0


def _objects(entries: object) -> Iterator[Mapping[str, Any]]:
    if entries is not None and not isinstance(entries, list):
        raise FrrError("FRR's answer about a prefix has no list where one belongs")
    return (entry for entry in entries or () if isinstance(entry, dict))
