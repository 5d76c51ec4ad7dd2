"""LACP bonds, which stand for a port, and their members as resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dcedge.kernel.ranks import RANK_BOND, RANK_MEMBER
from dcedge.kernel.resource import KernelResource
from dcedge.plan.resource import Change, Disruption, Key


@dataclass(frozen=True, slots=True)
class Member(KernelResource):
    """A port that a bond of the order takes in; `of` (observed): the other device that has it, with its kind."""

    name: str
    bond: str
    affects: tuple[str, ...]
    of: str = ""

    wide: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        return Key("member", self.name)

    @property
    def rank(self) -> int:
        return RANK_MEMBER

    def describe(self) -> str:
        return f"{self.name} in {self.bond}"

    def changes_from(self, observed: Member) -> tuple[Change, ...]:
        if not observed.of:
            return ()
        return (Change("member of", observed.of, self.bond, refusal=taken_by_others(self.name, observed.of)),)


def taken_by_others(port: str, of: str) -> str:
    return f"{port} is a member of {of}: take it out there, or order another port"


@dataclass(frozen=True, slots=True)
class Bond(KernelResource):
    """A port that is made of several: an LACP bond. Members are in order of their names.

    A bond of this name that somebody else made is used as it is; members that differ are complained of.
    """

    name: str
    members: tuple[str, ...]
    lacp_rate: str
    min_links: int
    affects: tuple[str, ...]
    lacp: bool = True  # it is a bond, and its mode is 802.3ad
    foreign: bool = False

    wide: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        return Key("bond", self.name)

    @property
    def rank(self) -> int:
        return RANK_BOND

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def felt_by_many(self) -> tuple[str, ...]:
        return (self.name, *self.members)

    @property
    def creation(self) -> Disruption:
        """A member is taken down to be enslaved: what uses it stands still."""
        return "link"

    @property
    def deletion(self) -> Disruption:
        return "link"

    def describe(self) -> str:
        return (
            f"LACP bond of {', '.join(self.members) or 'no members'},"
            f" {self.lacp_rate} rate, at least {_count(self.min_links, 'link')}; traffic on the members stops"
        )

    def changes_from(self, observed: Bond) -> tuple[Change, ...]:
        if not observed.lacp:
            text = f"{self.name} exists and is no LACP bond: remove it, or order another port"
            return (Change("mode", "no LACP bond", "an LACP bond", refusal=text),)
        changes = []
        if self.members != observed.members:
            # What already is a member stays one, and goes on carrying traffic.
            harm: Disruption = "none" if set(observed.members) & set(self.members) else "link"
            there, wanted = " ".join(observed.members), " ".join(self.members)
            both = f"its members are {there or 'none'}, those of the order {wanted}"
            text = f"{self.name} exists and is not dcedge's: {both}" if observed.foreign else ""
            changes.append(Change("members", there, wanted, harm, refusal=text))
        if not observed.foreign:
            if self.lacp_rate != observed.lacp_rate:
                # bonding.rst: only while the bond is down.
                changes.append(Change("LACP rate", observed.lacp_rate, self.lacp_rate, "link"))
            if self.min_links != observed.min_links:
                changes.append(Change("min_links", str(observed.min_links), str(self.min_links)))
        return tuple(changes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
