"""What of the kernel's objects is ours, or stands where ours should: the observed state for the plan. Pure."""

from __future__ import annotations

from collections.abc import Collection

from dcedge.kernel import messages as m
from dcedge.kernel.naming import ALIAS_PREFIX, ALTNAME_PREFIX
from dcedge.kernel.objects import ROUTE_PROTOCOL, IpAddress, Link, Port, Shaper
from dcedge.kernel.view import KernelView, LinkView, queue_of
from dcedge.resource import Key, Resource, State

CONNECTION_ALIAS = ALIAS_PREFIX + "connection:"


def owned_state(view: KernelView, intent: State, owned_links: Collection[str]) -> dict[Key, Resource]:
    """Our objects, and foreign ones that occupy a place the intent needs (marked so).

    A link is ours by its ifalias, or because the state file names it; an address on it by its protocol number; the
    root qdisc by its handle.
    """
    state: dict[Key, Resource] = {}
    for link in view.links.values():
        port = intent.get(Key("port", link.name))
        if isinstance(port, Port):
            state[port.key] = Port(link.name, link.mtu, link.up, port.affects)
        marked = link.alias.startswith(ALIAS_PREFIX)
        wanted = intent.get(Key("link", link.name))
        if not (marked or wanted is not None or link.name in owned_links):
            continue
        if link.kind != "vlan" and not marked and not (isinstance(wanted, Link) and wanted.tag is None):
            if wanted is not None:
                state[wanted.key] = _link(view, link, wanted, foreign=True)
            continue
        foreign = link.kind == "vlan" and not marked and link.name not in owned_links
        ours = _link(view, link, wanted, foreign=foreign)
        state[ours.key] = ours
        if not foreign:
            _add_what_stands_on(view, link, ours, intent, state)
    return state


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
    below = view.links.get(link.below)
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
    )


def _add_what_stands_on(
    view: KernelView, link: LinkView, ours: Link, intent: State, state: dict[Key, Resource]
) -> None:
    for address in view.addresses.get(link.index, ()):
        resource = IpAddress(link.name, address.interface, ours.affects)
        if address.protocol == ROUTE_PROTOCOL or resource.key in intent:
            state[resource.key] = resource
    qdiscs = view.qdiscs.get(link.index, ())
    if any(q.handle == m.ROOT_HANDLE and q.kind == "htb" for q in qdiscs):
        shaper = Shaper(link.name, view.classes.get(link.index), queue_of(qdiscs), ours.affects)
        state[shaper.key] = shaper
