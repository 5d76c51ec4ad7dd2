"""Links as resources: what they should be, or are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dcedge.kernel.bond.resource import taken_by_others
from dcedge.kernel.for_all import ForAll
from dcedge.kernel.link.sysctls import Settings, settings_changed
from dcedge.kernel.ranks import RANK_LINK
from dcedge.kernel.resource import KernelResource
from dcedge.order.resolve import Tag
from dcedge.plan.resource import Change, Disruption, Key

INDEX_MAX = 2**31 - 2**20  # what is above this is no measure for new links' indices: few would be left


@dataclass(frozen=True, slots=True)
class Found:
    """What a port was like before an untagged virtual interface had it for itself; it becomes so again afterwards."""

    alias: str
    mtu: int
    conf4: Settings
    conf6: Settings
    up: bool = True


@dataclass(frozen=True, slots=True)
class Link(KernelResource):
    """A link of ours: an 802.1Q (or 802.1ad) subinterface, or (without a tag) a port that a VI has for itself."""

    name: str
    below: str | None  # the link that carries it; None on an untagged VI
    tag: Tag | None
    alias: str
    altname: str | None
    mtu: int
    up: bool
    conf4: Settings
    conf6: Settings
    affects: tuple[str, ...]
    foreign: bool = False  # it stands where ours should, and is not ours
    master: str | None = None  # its VRF
    control_pcp: int = 0  # the 802.1p priority of the router's own control packets
    depth: int = field(default=1, compare=False)  # its number of tags
    # Observed, of a port: the device of somebody else's that has it, with its kind; the MTU that other links on it
    # need, other people's or those of an order that has it for itself no longer; what it was like before.
    member_of: str = ""
    floor: int = 0
    found: Found | None = None

    @property
    def key(self) -> Key:
        return Key("link", self.name)

    @property
    def rank(self) -> int:
        # A link upon a link comes after it.
        return RANK_LINK + self.depth

    @property
    def parent(self) -> Key | None:
        return Key("link", self.below) if self.below is not None else None

    @property
    def links(self) -> tuple[str, ...]:
        return (self.name, self.below) if self.below is not None else (self.name,)

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def deletion(self) -> Disruption:
        return "link"

    def mtu_on(self, observed: Link) -> int:
        """The MTU that it gets: its own, and never less than others need on a port."""
        return max(self.mtu, observed.floor)

    def up_on(self, observed: Link) -> bool:
        """Whether it is set up: a port that carries others' links is not set down with what is ours."""
        return self.up or (observed.floor > 0 and observed.up)

    def describe(self) -> str:
        if self.tag is None:
            return f"untagged, MTU {self.mtu}" + (f", VRF {self.master}" if self.master else "")
        kind = "802.1ad" if self.tag.ethertype == 0x88A8 else "802.1Q"
        return f"{kind} VLAN {self.tag.vlan_id} on {self.below}, MTU {self.mtu}{self._where()}"

    def _where(self) -> str:
        return (f", VRF {self.master}" if self.master else "") + ("" if self.up else ", down")

    def changes_from(self, observed: Link) -> tuple[Change, ...]:
        if self == observed:
            return ()
        if observed.foreign:
            text = f"{self.name} exists and is not dcedge's: remove it, or order another VLAN"
            return (Change("owner", "somebody else's link of this name", "dcedge's", refusal=text),)
        if observed.member_of:
            text = taken_by_others(self.name, observed.member_of)
            return (Change("member of", observed.member_of, self.master or "none", refusal=text),)
        changes = []
        if (self.below, self.tag) != (observed.below, observed.tag):
            changes.append(Change("VLAN", _place(observed), _place(self), "link", in_place=False))
        if (mtu := self.mtu_on(observed)) != observed.mtu:
            # A driver resets its rings for a new MTU.
            harm: Disruption = "link" if self.tag is None else "none"
            changes.append(Change("MTU", str(observed.mtu), str(mtu), harm))
        if self.master != observed.master:
            changes.append(Change("VRF", observed.master or "none", self.master or "none", "link"))
        if self.control_pcp != observed.control_pcp:
            changes.append(Change("802.1p of control packets", str(observed.control_pcp), str(self.control_pcp)))
        if self.up_on(observed) != observed.up:
            before, after = ("up", "down") if observed.up else ("down", "up")
            changes.append(Change("state", before, after, "link" if observed.up else "none"))
        if self.alias != observed.alias:
            changes.append(Change("alias", observed.alias, self.alias))
        if self.altname != observed.altname:
            changes.append(Change("altname", observed.altname or "", self.altname or ""))
        changes += settings_changed("ipv4", self.conf4, observed.conf4)
        changes += settings_changed("ipv6", self.conf6, observed.conf6)
        return tuple(changes)

    def warnings(self, observed: Link, for_all: ForAll) -> Iterator[str]:
        if self.tag is not None:
            return
        if observed.floor > self.mtu:
            yield (
                f"{observed.name} keeps MTU {observed.floor}, which other links on it need: packets of more than"
                f" {self.mtu} bytes to {', '.join(self.affects)} may be lost"
            )
        if self.up_on(observed) != self.up:
            names = ", ".join(self.affects)
            yield f"{observed.name} stays up, which other links on it need: {names} is down for BGP and routes only"


def _place(link: Link) -> str:
    return f"{link.tag.vlan_id} on {link.below}" if link.tag is not None else "untagged"
