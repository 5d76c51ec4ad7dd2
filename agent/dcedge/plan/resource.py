"""What a plan is made of: resources with a key, and how two versions of one resource differ.

A resource is a frozen value that says what one object in the kernel or in FRR is like. The same class serves
for what should be (intent) and what is (observed), so the inverse of a change is the change with its ends swapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self

Disruption = Literal["none", "session", "link"]
DISRUPTIONS: tuple[Disruption, ...] = ("none", "session", "link")


class Key(NamedTuple):
    """Names a resource: its type, and a name that is unique within the type and means something to people."""

    type: str
    name: str

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute that differs, in words, and what setting it right does to traffic.

    `in_place` is False where the object must be removed and made anew. `refusal`: why dcedge does not do it, and what
    helps; empty where it does.
    """

    attribute: str
    before: str
    after: str
    disruption: Disruption = "none"
    in_place: bool = True
    refusal: str = ""

    def __str__(self) -> str:
        return f"{self.attribute} {self.before or 'unset'} -> {self.after or 'unset'}"


class Resource(Protocol):
    """What the plan needs to know of a resource. `rank` orders creation; deletion goes the other way."""

    @property
    def key(self) -> Key: ...

    @property
    def rank(self) -> int: ...

    @property
    def parent(self) -> Key | None:
        """The resource whose removal takes this one along; None where there is none."""

    @property
    def affects(self) -> tuple[str, ...]:
        """The virtual interfaces that feel a change of it."""

    @property
    def creation(self) -> Disruption:
        """What making it does to traffic that flows already."""

    @property
    def deletion(self) -> Disruption:
        """What removing it does to traffic."""

    @property
    def made_by_kernel(self) -> bool:
        """Whether the kernel makes it by itself with its parent: it is made only where it was lost since."""

    @property
    def deleted_last(self) -> bool:
        """Whether it goes only when what takes its place is there: a route whose metric changes is two routes."""

    def describe(self) -> str:
        """What it is like, in words for a plan; no secret in it."""

    def changes_from(self, observed: Self) -> tuple[Change, ...]:
        """How `observed` must change to become this; empty where nothing differs."""


class Plain:
    """What most resources answer: they depend on nothing, and nobody feels it when they are made or removed."""

    __slots__ = ()

    @property
    def parent(self) -> Key | None:
        return None

    @property
    def creation(self) -> Disruption:
        return "none"

    @property
    def deletion(self) -> Disruption:
        return "none"

    @property
    def made_by_kernel(self) -> bool:
        return False

    @property
    def deleted_last(self) -> bool:
        return False


State = Mapping[Key, Resource]
