"""Which links are ours, or stand where ours should."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from dcedge.kernel.link.resource import Found, Link
from dcedge.kernel.link.view import LinkView
from dcedge.kernel.naming import ALIAS_PREFIX, ALTNAME_PREFIX, BOND_ALIAS, CONNECTION_ALIAS, VRF_ALIAS, bond_altname
from dcedge.kernel.observe_context import ObserveContext
from dcedge.kernel.port.resource import Port
from dcedge.kernel.view import KernelView
from dcedge.plan.resource import Key, Resource, State


def observe(context: ObserveContext) -> Iterator[tuple[Key, Link]]:
    """All of them."""
    return ((link.key, link) for link in context.ours.values())


def our_links(
    view: KernelView,
    links: Iterable[LinkView],
    intent: State,
    owned_links: Collection[str],
    found: Mapping[str, Found],
    needed: Mapping[int, int],
) -> dict[int, Link]:
    """By index, those among `links`; everything else is on one of them. `needed`: of `needed_on`."""
    ours = {}
    for link in links:
        wanted = intent.get(Key("link", link.name))
        if link.alias.startswith((VRF_ALIAS, BOND_ALIAS)) and wanted is None:
            continue
        marked = link.alias.startswith(ALIAS_PREFIX)
        if not (marked or wanted is not None or link.name in owned_links):
            continue
        if wanted is None and link.alias.startswith(CONNECTION_ALIAS) and link.index in needed:
            continue
        floor = needed.get(link.index, 0)
        port = intent.get(Key("port", link.name))
        if wanted is None and isinstance(port, Port) and not port.exact:
            floor = max(floor, port.mtu_min)
        if link.kind != "vlan" and not marked and not (isinstance(wanted, Link) and wanted.tag is None):
            if wanted is not None:
                ours[link.index] = _link(view, link, wanted, floor, foreign=True)
            continue
        foreign = link.kind == "vlan" and not marked and link.name not in owned_links
        ours[link.index] = _link(view, link, wanted, floor, foreign=foreign, found=found.get(link.name))
    return ours


def needed_on(view: KernelView) -> dict[int, int]:
    """By the index of a link that carries links of others, the MTU that they need; they would go with it."""
    needed: dict[int, int] = {}
    for link in view.links.values():
        if link.below and not link.alias.startswith(ALIAS_PREFIX):
            needed[link.below] = max(needed.get(link.below, 0), link.mtu)
    return needed


def _link(
    view: KernelView,
    link: LinkView,
    wanted: Resource | None,
    floor: int,
    *,
    foreign: bool,
    found: Found | None = None,
) -> Link:
    mine = [name for name in link.altnames if name.startswith(ALTNAME_PREFIX)]
    altname = mine[0] if mine else None
    if isinstance(wanted, Link) and wanted.altname in mine:
        altname = wanted.altname
    owner = link.alias.removeprefix(ALIAS_PREFIX)
    if isinstance(wanted, Link):
        affects = wanted.affects
    else:
        affects = () if link.alias.startswith(CONNECTION_ALIAS) or not owner else (owner,)
    tagged = link.kind == "vlan"
    below, master = view.links.get(link.below), view.links.get(link.master)
    return Link(
        name=link.name,
        below=(below.name if below is not None else "?") if tagged else None,
        tag=link.tag,
        alias=link.alias,
        altname=altname,
        mtu=link.mtu,
        up=link.up,
        conf4=link.conf4,
        conf6=link.conf6,
        affects=affects,
        foreign=foreign,
        master=master.name if master is not None else None,
        control_pcp=link.control_pcp,
        depth=_depth(view, link),
        floor=0 if tagged else floor,
        found=found,
        member_of="" if tagged else holder(view, link, wanted.master if isinstance(wanted, Link) else None),
    )


def holder(view: KernelView, link: LinkView, wanted: str | None) -> str:
    """The device, with its kind, that a port is a member of; nothing where that is ours, or what the order wants."""
    master = view.links.get(link.master)
    if master is None or master.name == wanted or master.alias.startswith((VRF_ALIAS, BOND_ALIAS)):
        return ""
    if bond_altname(master.name) in master.altnames:
        return ""  # a bond of ours that a virtual interface has for itself
    return f"{master.name} ({master.kind})"


def _depth(view: KernelView, link: LinkView) -> int:
    depth, at = 0, link
    while at.kind == "vlan" and depth < len(view.links):
        depth += 1
        if at.below not in view.links:
            break
        at = view.links[at.below]
    return depth
