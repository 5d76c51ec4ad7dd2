"""Virtual interfaces grouped by what they have in common: what thousands share is worked out from a few groups.

A change of one among thousands moves that one, and the others are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from dcedge.layered import changed
from dcedge.order.model import Bond, Preference
from dcedge.order.resolve import ResolvedInterface

T = TypeVar("T")


class Traits(NamedTuple):
    """What of a virtual interface counts for the objects that it shares with others."""

    port: str
    bond: Bond | None
    vrf: str | None
    virtual_gateway: str
    preference: Preference
    mtu: int
    pairs: int  # of addresses
    keys: int  # of TCP-MD5
    speaks_bgp: bool  # has sessions, and is not ordered down
    singular: bool  # has static routes or outer tags, so that it counts by itself

    @classmethod
    def of(cls, interface: ResolvedInterface) -> Traits:
        """A virtual interface's."""
        return cls(
            port=interface.port,
            bond=interface.bond,
            vrf=interface.vrf,
            virtual_gateway=interface.virtual_gateway,
            preference=interface.preference,
            mtu=interface.mtu,
            pairs=len(interface.addresses),
            keys=interface.keys,
            speaks_bgp=bool(interface.sessions) and interface.admin != "down",
            singular=bool(interface.static) or len(interface.tags) > 1,
        )


@dataclass(frozen=True, slots=True)
class Roster:
    """All virtual interfaces of an order: their names as the order lists them, and in groups of equal traits."""

    names: tuple[str, ...] = ()
    groups: Mapping[Traits, Mapping[str, ResolvedInterface]] = field(default_factory=dict)

    def changed(
        self, gone: Iterable[ResolvedInterface], come: Iterable[ResolvedInterface], listed: tuple[str, ...]
    ) -> Roster:
        """The roster without the ones and with the others, `listed` as the order now has them."""
        leave: dict[Traits, list[str]] = {}
        join: dict[Traits, dict[str, ResolvedInterface]] = {}
        for interface in gone:
            leave.setdefault(Traits.of(interface), []).append(interface.name)
        for interface in come:
            join.setdefault(Traits.of(interface), {})[interface.name] = interface
        groups = dict(self.groups)
        for traits in leave.keys() | join.keys():
            group = changed(groups.get(traits, {}), leave.get(traits, ()), join.get(traits, {}))
            if group:
                groups[traits] = group
            else:
                del groups[traits]
        return Roster(listed, groups)

    def grouped(self, key: Callable[[Traits], T | None]) -> dict[T, tuple[str, ...]]:
        """The names that have the same key, in the order's order; those without one (None) are left out."""
        keys = {traits: key(traits) for traits in self.groups}
        different = set(keys.values())
        if len(different) == 1:
            (one,) = different
            return {one: self.names} if one is not None else {}
        key_of = {name: keys[traits] for traits, group in self.groups.items() for name in group}
        found: dict[T, list[str]] = {}
        for name in self.names:
            if (its := key_of[name]) is not None:
                found.setdefault(its, []).append(name)
        return {its: tuple(names) for its, names in found.items()}

    def singular(self) -> list[ResolvedInterface]:
        """Those that count by themselves, in the order's order."""
        single = {
            name: interface
            for traits, group in self.groups.items()
            if traits.singular
            for name, interface in group.items()
        }
        return [single[name] for name in self.names if name in single] if single else []

    def total(self, figure: Callable[[Traits], int]) -> int:
        """The sum of a figure over all."""
        return sum(figure(traits) * len(group) for traits, group in self.groups.items())
