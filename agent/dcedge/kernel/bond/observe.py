"""The bonds that are ours or that the order wants, and who has the ports that they take in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dcedge.kernel.bond.resource import Bond, Member
from dcedge.kernel.link.observe import holder
from dcedge.kernel.link.view import LinkView
from dcedge.kernel.naming import BOND_ALIAS, VRF_ALIAS, bond_altname
from dcedge.kernel.observe_context import ObserveContext
from dcedge.netlink.descriptions import BOND_MODE_8023AD
from dcedge.plan.resource import Key


def observe(context: ObserveContext) -> Iterator[tuple[Key, Bond | Member]]:
    """Members first."""
    for key, wanted in context.intent.items():
        if isinstance(wanted, Member):
            link = context.view.by_name.get(wanted.name)
            yield key, replace(wanted, of=holder(context.view, link, wanted.bond) if link is not None else "")
    for link in context.links:
        if link.kind != "vlan" and (bond := _bond(context, link)) is not None:
            yield bond.key, bond


def _bond(context: ObserveContext, link: LinkView) -> Bond | None:
    if link.alias.startswith(VRF_ALIAS) or Key("vrf", link.name) in context.intent:
        return None
    bond = context.intent.get(Key("bond", link.name))
    mine = link.kind == "bond" and (link.alias.startswith(BOND_ALIAS) or bond_altname(link.name) in link.altnames)
    if bond is None and not mine:
        return None
    return Bond(
        name=link.name,
        members=tuple(sorted(other.name for other in context.view.links.values() if other.master == link.index)),
        lacp_rate=link.bond.lacp_rate if link.bond is not None else "",
        min_links=link.bond.min_links if link.bond is not None else 0,
        affects=bond.affects if bond is not None else (),
        lacp=link.bond is not None and link.bond.mode == BOND_MODE_8023AD,
        foreign=not mine,
    )
