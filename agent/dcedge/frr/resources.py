"""FRR's part of the intent, cut into blocks of lines that the plan can name: one a virtual interface, gateway, VRF."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from dcedge.frr.config import ConfigLine, mask, unpack
from dcedge.frr.grammar import meaning, slot_of
from dcedge.plan.diff import worst
from dcedge.plan.resource import Change, Disruption, Key, Plain

COMMON, PROFILE, POLICY = "bgp-common", "bfd-profile", "bgp-policy"
MAP, ROUTER, SESSION = "bgp-map", "bgp-router", "bgp-session"
# Above every rank of the kernel's: a session needs its addresses and its VRF.
RANKS = {COMMON: 100, PROFILE: 110, POLICY: 120, MAP: 125, ROUTER: 130, SESSION: 140}

COMMON_KEY = Key(COMMON, "dcedge")
_BFD = "bfd"  # opens bfdd's context


@dataclass(frozen=True, slots=True)
class FrrBlock(Plain):
    """The lines that belong to one thing: the intent's, or those of it that FRR has.

    They are kept packed (`ConfigLine.packed`), each on a line, and sorted, so equal sets are equal blocks: as values
    they would be tens of times as large, and thousands of sessions have a hundred thousand lines. Blocks are disjoint:
    no line is in two. `packed` is empty where there is no line, and may hold a secret.
    """

    key: Key
    affects: tuple[str, ...]
    packed: str = field(repr=False)

    @classmethod
    def of(cls, key: Key, affects: Iterable[str], lines: Iterable[ConfigLine]) -> FrrBlock:
        """A block of the lines, in whatever order they come."""
        return cls.of_entries(key, affects, {line.packed() for line in lines})

    @classmethod
    def of_entries(cls, key: Key, affects: Iterable[str], entries: Collection[str]) -> FrrBlock:
        """A block of packed lines, each there once."""
        return cls(key, tuple(sorted(set(affects))), "\n".join(sorted(entries)))

    @property
    def lines(self) -> tuple[ConfigLine, ...]:
        """Its lines, sorted."""
        return tuple(sorted(map(unpack, self.entries)))

    @property
    def entries(self) -> list[str]:
        """Its lines, packed."""
        return self.packed.split("\n") if self.packed else []

    @property
    def rank(self) -> int:
        """Definitions before what uses them."""
        return RANKS[self.key.type]

    @property
    def parent(self) -> Key | None:
        """None: each block's lines are undone by name."""
        return None

    @property
    def creation(self) -> Disruption:
        """A new thing disturbs nobody; a router ID given to a VRF that runs already resets its sessions."""
        return worst(
            "session" if line.text.startswith("bgp router-id ") and not self._opens_router else "none"
            for line in self.lines
        )

    @property
    def deletion(self) -> Disruption:
        """Removing a neighbour ends its session."""
        return worst(meaning(line.text).disruption for line in self.lines)

    @property
    def _opens_router(self) -> bool:
        return any(line.text.startswith("router bgp ") for line in self.lines)

    def describe(self) -> str:
        """Its lines in a few words, no secret among them."""
        lines = self.lines
        told = [str(line) for line in lines if _tells(line)] or [str(line) for line in lines[:1]]
        shown = ", ".join(told[:4]) + (", …" if len(told) > 4 else "")
        return f"{shown} ({len(lines)} lines)"

    def changes_from(self, observed: Self) -> tuple[Change, ...]:
        """One change for each thing set differently; a password shows only that it changed."""
        if self.packed == observed.packed:
            return ()
        before, after = _by_slot(observed.lines), _by_slot(self.lines)
        changes = tuple(_changes(before, after))
        if self.key.type != SESSION:
            return changes
        # A route-map that goes because the session leaves it is no news beside that.
        return tuple(change for change in changes if not change.attribute.startswith("route-map ")) or changes


def without_bfdd(blocks: Mapping[Key, FrrBlock]) -> Mapping[Key, FrrBlock]:
    """The blocks without what bfdd keeps: sessions name a profile, which is without effect until it is there."""
    left = {key: block for key, block in blocks.items() if key.type != PROFILE}
    if (common := blocks.get(COMMON_KEY)) is not None and _BFD in common.entries:
        left[COMMON_KEY] = FrrBlock.of_entries(common.key, common.affects, set(common.entries) - {_BFD})
    return left


def _tells(line: ConfigLine) -> bool:
    return " remote-as " in line.text or line.text.startswith(("network ", "router bgp ", "ip", "profile ", "set "))


def _by_slot(lines: Iterable[ConfigLine]) -> dict[tuple[tuple[str, ...], str], ConfigLine]:
    return {slot_of(line): line for line in lines}


def _changes(
    before: dict[tuple[tuple[str, ...], str], ConfigLine], after: dict[tuple[tuple[str, ...], str], ConfigLine]
) -> Iterator[Change]:
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        if old == new:
            continue
        path, slot = place
        text_before, text_after = _told(old), _told(new)
        if text_before == text_after:
            text_after = f"{text_after} (changed)"
        ends = [meaning(line.text) for line in (old, new) if line is not None]
        yield Change(
            ": ".join((*path, slot)),
            text_before,
            text_after,
            worst(end.disruption for end in ends),
        )


def _told(line: ConfigLine | None) -> str:
    if line is None:
        return ""
    told = mask(line.text)
    slot = meaning(line.text).slot.split(" ")
    words = []
    for word in told.split(" "):
        if slot and word == slot[0]:
            slot.pop(0)
        else:
            words.append(word)
    return " ".join(words) or "yes"
