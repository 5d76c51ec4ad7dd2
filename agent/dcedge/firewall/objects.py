"""The firewall's parts as resources: the table, what a virtual gateway may send, what guards one virtual interface.

They come first in a plan, before forwarding itself is switched on: nft goes by interface names, so a link's guard can
be up before the link exists. What is removed comes last among the deletions for the same reason; so everything that a
plan asks of the firewall stands in one stretch, and is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import NamedTuple

from dcedge.firewall.ranges import Range, in_words, merged, minus, of_prefix
from dcedge.plan.resource import Change, Key, Plain

TABLE_NAME = "dcedge"
TABLE_KEY = Key("firewall", TABLE_NAME)
RANK_TABLE, RANK_GATEWAY, RANK_GUARD = -3, -2, -1

# What no host may send (RFC 6890, RFC 4291): all that is checked where a gateway may send anything. The router's own
# prefixes are not among them: an aggregate is often announced to the cloud that holds a part of it.
_NEVER = ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/96", "::ffff:0:0/96", "fe80::/10", "ff00::/8")
NEVER_SOURCES = tuple(of_prefix(ip_network(text)) for text in _NEVER)
ANY = minus((of_prefix(ip_network("0.0.0.0/0")), of_prefix(ip_network("::/0"))), NEVER_SOURCES)


@dataclass(frozen=True, slots=True)
class Difference(Change):
    """A change of a list, told by what comes and what goes."""

    def __str__(self) -> str:
        came = f"+ {self.after}" if self.after else ""
        went = f"- {self.before}" if self.before else ""
        return f"{self.attribute}: {' '.join(part for part in (came, went) if part)}"


@dataclass(frozen=True, slots=True)
class FirewallTable(Plain):
    """The table itself with the rules that all virtual interfaces share.

    `vrf`: some virtual interface is in a VRF, so the rules look at the link below it too. `damage`: observed only, what
    in the table is not of our making or is gone.
    """

    vrf: bool
    affects: tuple[str, ...]
    damage: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return TABLE_KEY

    @property
    def rank(self) -> int:
        return RANK_TABLE

    def describe(self) -> str:
        return f"nft table inet {TABLE_NAME}"

    def changes_from(self, observed: FirewallTable) -> tuple[Change, ...]:
        changes = [Change("rules", problem, "as dcedge made them") for problem in observed.damage]
        if self.vrf != observed.vrf:
            changes.append(Change("VRF", _yes(observed.vrf), _yes(self.vrf)))
        return tuple(changes)


@dataclass(frozen=True, slots=True)
class GatewaySources(Plain):
    """The addresses that a virtual gateway may send from, its links' own subnets aside. Merged ranges."""

    name: str
    sources: tuple[Range, ...]
    affects: tuple[str, ...]

    @property
    def key(self) -> Key:
        return gateway_key(self.name)

    @property
    def rank(self) -> int:
        return RANK_GATEWAY

    @property
    def parent(self) -> Key:
        return TABLE_KEY

    def describe(self) -> str:
        return f"virtual gateway {self.name} may send from {', '.join(source_words(self.sources)) or 'its links only'}"

    def changes_from(self, observed: GatewaySources) -> tuple[Change, ...]:
        if self.sources == observed.sources:
            return ()
        gone = _told(minus(observed.sources, self.sources))
        come = _told(minus(self.sources, observed.sources))
        # What was let in until now is cut off.
        return (Difference(f"accept of {self.name}", gone, come, "link" if gone else "none"),)


class Element(NamedTuple):
    """One element of a set or map that stands for a link: which set, what else its key has, what it maps to."""

    set: str
    rest: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class Guard(Plain):
    """What the table holds for one virtual interface's link; `elements` sorted.

    `gateway` is the virtual gateway behind it, None where the table does not say (any more); `subnets` are those of
    its addresses, which its gateway may send from as well.
    """

    link: str
    gateway: str | None
    elements: tuple[Element, ...]
    subnets: tuple[Range, ...]
    affects: tuple[str, ...]

    @property
    def key(self) -> Key:
        return guard_key(self.link)

    @property
    def rank(self) -> int:
        return RANK_GUARD

    @property
    def parent(self) -> Key:
        return gateway_key(self.gateway) if self.gateway is not None else TABLE_KEY

    def describe(self) -> str:
        peers = [element.rest for element in self.elements if element.set in {"peers4", "peers6"}]
        who = f"BGP and BFD from {', '.join(peers)}, " if peers else ""
        isolated = any(element.set == "isolated" for element in self.elements)
        return (
            f"{self.link} of virtual gateway {self.gateway}: {who}ICMP and ND only reach this router"
            f"{', isolated' if isolated else ''}"
        )

    def changes_from(self, observed: Guard) -> tuple[Change, ...]:
        changes: list[Change] = []
        if self.elements != observed.elements:
            mine, theirs = _by_set(self.elements), _by_set(observed.elements)
            for name in sorted(mine.keys() | theirs.keys()):
                come, gone = mine.get(name, {}), theirs.get(name, {})
                if come != gone:
                    changes.append(_element_change(name, gone, come))
        if self.subnets != observed.subnets:
            gone_subnets, come_subnets = minus(observed.subnets, self.subnets), minus(self.subnets, observed.subnets)
            changes.append(Difference("link subnets", _told(gone_subnets), _told(come_subnets)))
        return tuple(changes)


_ATTRIBUTES = {
    "from": "virtual gateway",
    "mss": "MSS clamp",
    "peers4": "peers",
    "peers6": "peers",
    "links": "control-plane guard",
    "isolated": "isolation",
}


def _by_set(elements: Iterable[Element]) -> dict[str, dict[str, str]]:
    result: dict[str, dict[str, str]] = {}
    for name, rest, data in elements:
        result.setdefault(name, {})[rest] = data
    return result


def _element_change(name: str, gone: dict[str, str], come: dict[str, str]) -> Change:
    if name in {"from", "mss"}:
        before, after = (next(iter(side.values()), "") for side in (gone, come))
        return Change(_ATTRIBUTES[name], before.removeprefix(f"{name}-"), after.removeprefix(f"{name}-"))
    if name in {"peers4", "peers6"}:
        return Difference("peers", ", ".join(sorted(gone.keys() - come)), ", ".join(sorted(come.keys() - gone)))
    if name.startswith("to-"):
        # Traffic between two gateways stops where this goes.
        gateway = name.removeprefix("to-")
        return Change(f"reachable from {gateway}", _yes(bool(gone)), _yes(bool(come)), "link" if gone else "none")
    if name == "isolated":
        return Change("isolation", _yes(bool(gone)), _yes(bool(come)), "link" if come else "none")
    return Change(_ATTRIBUTES.get(name, f"counter {name}"), _yes(bool(gone)), _yes(bool(come)))


def gateway_key(name: str) -> Key:
    """The key of a virtual gateway's sources."""
    return Key("sources", name)


def guard_key(link: str) -> Key:
    """The key of a link's guard."""
    return Key("guard", link)


def source_words(sources: tuple[Range, ...]) -> tuple[str, ...]:
    """Sources in words: `any` where everything is let in."""
    return ("any",) if sources == ANY else in_words(sources)


def _told(ranges: tuple[Range, ...]) -> str:
    words = source_words(merged(ranges))
    return ", ".join(words) if len(words) <= 8 else f"{', '.join(words[:6])} and {len(words) - 6} more"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
