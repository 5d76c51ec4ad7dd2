"""An nft table as a value, in the words of nft(8) and libnftables-json(5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from dcedge.firewall.ranges import Range

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]
Command = dict[str, Json]
MARK = "dcedge:"  # every rule's comment begins so; the rest tells which rule it is
OWNER_CHAIN = "made-by-dcedge"  # no rule, no hook: says whose the table is
SPOOFED, ISOLATED, CONTROL_PLANE = COUNTERS = ("dropped-spoofed", "dropped-isolated", "dropped-control-plane")
SetKey = tuple[str, ...] | Range


@dataclass(frozen=True, slots=True)
class SetHeader:
    """What a set (or, with `data`, a map) is made for."""

    types: tuple[str, ...]
    data: str = ""
    interval: bool = False
    counted: bool = False
    timeout: int = 0


@dataclass(frozen=True, slots=True)
class NftRule:
    """A rule's expressions as JSON. Observed, only the mark is known: nft's releases print one rule differently."""

    mark: str
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain: the hook that it is attached to, where it is one of those, and its rules."""

    hook: str = ""
    rules: tuple[NftRule, ...] = ()


@dataclass(slots=True)
class Table:
    """Headers, chains and elements by name. The elements that packets add (`timeout`) are not counted among them."""

    headers: dict[str, SetHeader] = field(default_factory=dict)
    chains: dict[str, Chain] = field(default_factory=dict)
    elements: dict[str, dict[SetKey, str]] = field(default_factory=dict)

    def add_set(self, name: str, header: SetHeader) -> None:
        """Add an empty set."""
        self.headers[name] = header
        self.elements[name] = {}
