"""The static routes that are ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dcedge.kernel.observe_context import ObserveContext
from dcedge.kernel.route.resource import Hop, Route
from dcedge.kernel.route.view import RouteView
from dcedge.netlink.descriptions import RT_TABLE_MAIN
from dcedge.plan.resource import Key, Resource, State


def observe(context: ObserveContext) -> Iterator[tuple[Key, Resource]]:
    """All of our protocol number."""
    if context.view.routes:
        names = {index: link.name for index, link in context.view.links.items()}
        yield from routes_of(context.view.routes, names, context.vrfs, context.intent).items()


def routes_of(
    routes: Iterable[RouteView], links: Mapping[int, str], vrfs: Mapping[int, str], intent: State
) -> dict[Key, Resource]:
    """Our static routes, with the names of the links (by index) and of the VRFs (by table) filled in."""
    found: dict[Key, Resource] = {}
    for route in routes:
        if route.unreachable or not route.hops or (route.table != RT_TABLE_MAIN and route.table not in vrfs):
            continue
        ways = sorted((links.get(index, "?"), gateway.packed, gateway) for index, gateway in route.hops)
        hops = tuple(Hop(link, gateway) for link, _, gateway in ways)
        mine = Route(route.prefix, vrfs.get(route.table), route.metric, hops, ())
        wanted = intent.get(mine.key)
        found[mine.key] = Route(mine.prefix, mine.vrf, mine.metric, hops, wanted.affects if wanted is not None else ())
    return found
