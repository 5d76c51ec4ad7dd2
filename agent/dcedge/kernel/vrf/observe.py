"""The VRFs that are ours or that the order wants, what leads into them, and the ends of their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dcedge.kernel.link.view import LinkView
from dcedge.kernel.naming import ALIAS_PREFIX, VRF_ALIAS
from dcedge.kernel.observe_context import ObserveContext
from dcedge.kernel.view import KernelView
from dcedge.kernel.vrf.resource import Unreachable, Vrf, VrfRule
from dcedge.plan.resource import Key, State


def observe(context: ObserveContext) -> Iterator[tuple[Key, Vrf | VrfRule | Unreachable]]:
    """None of our devices that others still use, and we do not."""
    yield from vrf_ways(context.view, context.intent, context.vrfs)
    for link in context.links:
        if link.kind != "vlan" and (vrf := _vrf(context, link)) is not None:
            yield vrf.key, vrf


def vrf_ways(view: KernelView, intent: State, vrfs: Mapping[int, str]) -> Iterator[tuple[Key, VrfRule | Unreachable]]:
    """The rule that leads into VRFs, and the ends of the ways out of ours, as far as they are there.

    `vrfs`: names by table.
    """
    ends = {
        (vrfs.get(route.table), route.prefix.version)
        for route in view.routes
        if route.unreachable and not route.prefix.prefixlen
    }
    for key, wanted in intent.items():
        if isinstance(wanted, VrfRule) and wanted.version in view.vrf_rules:
            yield key, wanted
        if isinstance(wanted, Unreachable):
            vrf = view.by_name.get(wanted.vrf)
            others = vrf is not None and not vrf.alias.startswith(VRF_ALIAS)  # which stay as they are
            if others or (wanted.vrf, wanted.version) in ends:
                yield key, wanted


def _vrf(context: ObserveContext, link: LinkView) -> Vrf | None:
    wanted, mine = context.intent.get(Key("vrf", link.name)), link.alias.startswith(VRF_ALIAS)
    if wanted is None and (not mine or any(_is_guest(other, link) for other in context.view.links.values())):
        return None
    affects = wanted.affects if wanted is not None else ()
    return Vrf(link.name, link.table, affects, link.up, link.kind, foreign=not mine, conf4=link.conf4)


def _is_guest(link: LinkView, master: LinkView) -> bool:
    return link.master == master.index and not link.alias.startswith(ALIAS_PREFIX)
