"""The bonds that an order asks for."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.bond.resource import Bond, Member
from dcedge.kernel.ordered import Ordered
from dcedge.order.model import BondPort


def derive_shared(ordered: Ordered) -> Iterator[Bond | Member]:
    """Each bond, after the ports that it takes in."""
    made: dict[str, tuple[BondPort, list[str]]] = {}
    for interface in ordered.interfaces:
        if interface.bond is not None:
            made.setdefault(interface.port, (interface.bond, []))[1].append(interface.name)
    for name, (bond, users) in made.items():
        yield from (Member(member, name, tuple(users)) for member in bond.members)
        yield Bond(name, tuple(sorted(bond.members)), bond.lacp_rate, bond.min_links, tuple(users))
