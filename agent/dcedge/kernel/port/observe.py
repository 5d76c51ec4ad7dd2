"""The ports that the order is on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dcedge.kernel.link.view import LinkView
from dcedge.kernel.observe_context import ObserveContext
from dcedge.kernel.port.resource import Port
from dcedge.kernel.view import KernelView
from dcedge.plan.resource import Key

VLAN_TAG_BYTES = 4
_SPREAD = {"bond", "team"}


def observe(context: ObserveContext) -> Iterator[tuple[Key, Port]]:
    """Whosever they are."""
    for link in context.links:
        port = context.intent.get(Key("port", link.name))
        if isinstance(port, Port):
            floor = context.needed.get(link.index, 0) if port.exact else 0
            tag_bytes = VLAN_TAG_BYTES if link.kind == "macsec" else 0
            seen = Port(link.name, link.mtu, link.up, port.affects, floor=floor, tag_bytes=tag_bytes)
            yield port.key, replace(seen, part_of=_part_of(context.view, link))


def _part_of(view: KernelView, link: LinkView) -> str:
    """The bond or team, with its kind, that spreads packets over a port and others."""
    master = view.links.get(link.master)
    return f"{master.name} ({master.kind})" if master is not None and master.kind in _SPREAD else ""
