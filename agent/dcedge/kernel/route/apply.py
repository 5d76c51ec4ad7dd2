"""Static routes."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.context import FINE_ON_REMOVAL, Context, Step
from dcedge.kernel.route.resource import Route
from dcedge.plan.diff import Operation


def steps(context: Context, operation: Operation, before: Route | None, after: Route | None) -> Iterator[Step]:
    """All its hops at once."""
    route = after or before
    assert route is not None
    if after is not None or route.vrf is None or route.vrf in context.indices:  # else it is gone with its VRF
        yield _step(context, operation, route)


def _step(context: Context, operation: Operation, route: Route) -> Step:
    table = context.table(route.vrf)
    if operation.after is None:
        return Step(operation, m.delete_route(route.prefix, table, route.metric), FINE_ON_REMOVAL)
    hops = [(context.index(hop.link), hop.gateway) for hop in route.hops]
    return Step(operation, m.route(route.prefix, table, route.metric, hops))
