"""The addresses that are ours."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.address.resource import IpAddress, LinkLocal
from dcedge.kernel.observe_context import ObserveContext
from dcedge.kernel.ranks import ROUTE_PROTOCOL
from dcedge.plan.resource import Key


def observe(context: ObserveContext) -> Iterator[tuple[Key, IpAddress | LinkLocal]]:
    """Those on links of ours."""
    view, intent = context.view, context.intent
    for index, link in context.ours.items():
        if link.foreign:
            continue
        for address in view.addresses.get(index, ()):
            there = IpAddress(link.name, address.interface, link.affects, address.secondary)
            key = there.key
            if address.protocol == ROUTE_PROTOCOL or key in intent:
                yield key, there
        local = LinkLocal(link.name, link.affects)
        key = local.key
        if key in intent and (index in view.link_locals or not view.links[index].running):  # it gets one when it runs
            yield key, local
