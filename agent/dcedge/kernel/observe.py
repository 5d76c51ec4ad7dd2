"""What of the kernel's objects is ours, or stands where ours should: the observed state for the plan. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import filterfalse

from dcedge.kernel import messages as m
from dcedge.kernel.naming import (
    ALIAS_PREFIX,
    ALTNAME_PREFIX,
    BOND_ALIAS,
    CONNECTION_ALIAS,
    INGRESS_ALIAS,
    VRF_ALIAS,
    bond_altname,
)
from dcedge.kernel.objects import (
    ROUTE_PROTOCOL,
    Bond,
    Hop,
    Ingress,
    IpAddress,
    Link,
    LinkLocal,
    Port,
    Route,
    Shaper,
    Vrf,
)
from dcedge.kernel.view import KernelView, LinkView, RouteView, has_tree, tree_of
from dcedge.resource import Key, Resource, State


def owned_resources(view: KernelView, intent: State, owned_links: Collection[str]) -> Iterator[tuple[Key, Resource]]:
    """Our objects, and foreign ones that occupy a place the intent needs (marked so); the later of two counts.

    A link is ours by its ifalias, or because the state file names it; an address on it by its protocol number; the
    root qdisc by its handle.
    """
    yield from _shapers_apart(view, intent)
    for link in filterfalse(_is_way_in, view.links.values()):
        port = intent.get(Key("port", link.name))
        if isinstance(port, Port):
            floor = _floor(view, link) if port.exact else 0
            yield port.key, Port(link.name, link.mtu, link.up, port.affects, floor=floor)
        if link.kind != "vlan" and (device := _device(view, link, intent)) is not None:
            yield device.key, device
        if link.alias.startswith((VRF_ALIAS, BOND_ALIAS)) and Key("link", link.name) not in intent:
            continue
        marked = link.alias.startswith(ALIAS_PREFIX)
        wanted = intent.get(Key("link", link.name))
        if not (marked or wanted is not None or link.name in owned_links):
            continue
        if wanted is None and link.alias.startswith(CONNECTION_ALIAS) and _carries_others(view, link):
            continue
        if link.kind != "vlan" and not marked and not (isinstance(wanted, Link) and wanted.tag is None):
            if wanted is not None:
                yield wanted.key, _link(view, link, wanted, foreign=True)
            continue
        foreign = link.kind == "vlan" and not marked and link.name not in owned_links
        ours = _link(view, link, wanted, foreign=foreign)
        yield ours.key, ours
        if not foreign:
            yield from _what_stands_on(view, link, ours, intent)
    if view.routes:
        names = {index: link.name for index, link in view.links.items()}
        tables = {link.table: link.name for link in view.links.values() if link.table}
        yield from routes_of(view.routes, names, tables, intent).items()


def _shapers_apart(view: KernelView, intent: State) -> Iterator[tuple[Key, Resource]]:
    """Trees that stand on no link of ours: those of shared rates on ports, and those for what comes in."""
    for link in view.links.values():
        if _is_way_in(link):
            ingress = ingress_of(view, link, intent)
            yield ingress.key, ingress
        elif link.kind != "vlan" and (shaper := _port_shaper(view, link, intent)) is not None:
            yield shaper.key, shaper


def _is_way_in(link: LinkView) -> bool:
    return link.kind == "ifb" and link.alias.startswith(INGRESS_ALIAS)


def ingress_of(view: KernelView, device: LinkView, intent: State) -> Ingress:
    """What shapes the way in by a link, from its device's mark."""
    name = device.alias.removeprefix(INGRESS_ALIAS)
    link = view.by_name.get(name)
    wanted = intent.get(Key("ingress", name))
    return Ingress(
        link=name,
        device=device.name,
        tree=tree_of(view, device.index) if has_tree(view.qdiscs.get(device.index, ())) else None,
        redirected=link is not None and view.redirects.get(link.index) == device.index and device.up,
        affects=wanted.affects if wanted is not None else (),
    )


def routes_of(
    routes: Iterable[RouteView], links: Mapping[int, str], vrfs: Mapping[int, str], intent: State
) -> dict[Key, Resource]:
    """Our static routes, with the names of the links (by index) and of the VRFs (by table) filled in."""
    found: dict[Key, Resource] = {}
    for route in routes:
        if not route.hops or (route.table != m.RT_TABLE_MAIN and route.table not in vrfs):
            continue
        ways = sorted((links.get(index, "?"), gateway.packed, gateway) for index, gateway in route.hops)
        hops = tuple(Hop(link, gateway) for link, _, gateway in ways)
        mine = Route(route.prefix, vrfs.get(route.table), route.metric, hops, ())
        wanted = intent.get(mine.key)
        found[mine.key] = Route(mine.prefix, mine.vrf, mine.metric, hops, wanted.affects if wanted is not None else ())
    return found


def _device(view: KernelView, link: LinkView, intent: State) -> Vrf | Bond | None:
    """A VRF or a bond that is ours or that the intent wants; none of ours that others still use, and we do not."""
    vrf, bond = intent.get(Key("vrf", link.name)), intent.get(Key("bond", link.name))
    if vrf is not None or link.alias.startswith(VRF_ALIAS):
        mine = link.alias.startswith(VRF_ALIAS)
        if vrf is None and any(_is_guest(other, link) for other in view.links.values()):
            return None
        affects = vrf.affects if vrf is not None else ()
        return Vrf(link.name, link.table, affects, link.up, link.kind, foreign=not mine)
    mine = link.kind == "bond" and (link.alias.startswith(BOND_ALIAS) or bond_altname(link.name) in link.altnames)
    if bond is None and not mine:
        return None
    return Bond(
        name=link.name,
        members=tuple(sorted(other.name for other in view.links.values() if other.master == link.index)),
        lacp_rate=link.bond.lacp_rate if link.bond is not None else "",
        min_links=link.bond.min_links if link.bond is not None else 0,
        affects=bond.affects if bond is not None else (),
        lacp=link.bond is not None and link.bond.mode == m.BOND_MODE_8023AD,
        foreign=not mine,
    )


def _is_guest(link: LinkView, master: LinkView) -> bool:
    return link.master == master.index and not link.alias.startswith(ALIAS_PREFIX)


def _carries_others(view: KernelView, link: LinkView) -> bool:
    """Whether links of others stand on it; they would go with it."""
    return any(x.below == link.index and not x.alias.startswith(ALIAS_PREFIX) for x in view.links.values())


def _floor(view: KernelView, port: LinkView) -> int:
    """The MTU that links of others on a port need."""
    others = (x.mtu for x in view.links.values() if x.below == port.index and not x.alias.startswith(ALIAS_PREFIX))
    return max(others, default=0)


def _link(view: KernelView, link: LinkView, wanted: Resource | None, *, foreign: bool) -> Link:
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
    )


def _depth(view: KernelView, link: LinkView) -> int:
    depth, at = 0, link
    while at.kind == "vlan" and depth < len(view.links):
        depth += 1
        if at.below not in view.links:
            break
        at = view.links[at.below]
    return depth


def _what_stands_on(view: KernelView, link: LinkView, ours: Link, intent: State) -> Iterator[tuple[Key, Resource]]:
    for address in view.addresses.get(link.index, ()):
        resource = IpAddress(link.name, address.interface, ours.affects)
        if address.protocol == ROUTE_PROTOCOL or resource.key in intent:
            yield resource.key, resource
    there = LinkLocal(link.name, ours.affects)
    if there.key in intent and (link.index in view.link_locals or not link.running):  # it gets one when it runs
        yield there.key, there
    shaper = _shaper(view, link, ours.affects)
    if shaper is not None and (shaper.foreign is None or (ours.tag is None and shaper.key in intent)):
        yield shaper.key, shaper


def _port_shaper(view: KernelView, link: LinkView, intent: State) -> Shaper | None:
    """The tree of a shared rate on a port, or what somebody else has put where the intent wants one."""
    wanted = intent.get(Key("shaper", link.name))
    shaper = _shaper(view, link, wanted.affects if wanted is not None else ())
    return shaper if shaper is not None and (shaper.foreign is None or wanted is not None) else None


def _shaper(view: KernelView, link: LinkView, affects: tuple[str, ...]) -> Shaper | None:
    qdiscs = view.qdiscs.get(link.index, ())
    if has_tree(qdiscs):
        return Shaper(link.name, tree_of(view, link.index), affects)
    root = next((q for q in qdiscs if q.parent == m.TC_H_ROOT and q.handle), None)
    if root is None:
        return None
    return Shaper(link.name, None, affects, f"somebody else's {root.kind} {root.handle >> 16:x}:")
