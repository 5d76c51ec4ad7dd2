"""What shapes the way out and the way in, as resources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from dcedge.kernel.for_all import ForAll
from dcedge.kernel.queue.shaping import HtbClass, Leaf, Tree
from dcedge.kernel.ranks import RANK_INGRESS, RANK_SHAPER
from dcedge.kernel.resource import KernelResource, OnLink
from dcedge.plan.resource import Change, Disruption, Key
from dcedge.units import format_rate


@dataclass(frozen=True, slots=True)
class Shaper(OnLink):
    """The HTB tree that holds a rate on a link.

    Observed, a part that is missing is left out; `foreign`: on a port, the root qdisc that somebody else put there.
    """

    link: str
    tree: Tree | None
    affects: tuple[str, ...]
    foreign: str | None = None

    @property
    def key(self) -> Key:
        return Key("shaper", self.link)

    @property
    def rank(self) -> int:
        return RANK_SHAPER

    @property
    def creation(self) -> Disruption:
        return self._exchange

    @property
    def deletion(self) -> Disruption:
        return self._exchange

    @property
    def _exchange(self) -> Disruption:
        """While the kernel exchanges a device's root qdisc it drops what is sent (dev_deactivate; 4 ms measured).

        A virtual interface's own link comes with its tree; one that others send through has their traffic.
        """
        return "link" if self.tree is not None and self.tree.shared else "none"

    def describe(self) -> str:
        if self.tree is None:
            return f"nothing on {self.link}"
        kinds = dict.fromkeys(leaf.queue.kind for leaf in self.tree.leaves if leaf.queue is not None)
        where = f"the wire of {self.link}" if self.tree.on_wire else self.link
        return f"{_rate(self.tree.classes[:1])} on {where}, {', '.join(kinds) or 'no queue'}"

    @property
    def _can_be_spared(self) -> bool:
        """Whether no ordered rate depends on it: a wire holds what it holds."""
        return self.tree is not None and self.tree.shared and self.tree.on_wire

    def changes_from(self, observed: Shaper) -> tuple[Change, ...]:
        if observed.foreign is not None and self._can_be_spared:
            return ()
        if observed.foreign is not None:
            text = f"{self.link} has {observed.foreign}: remove it, or order without a rate"
            return (Change("owner", observed.foreign, "dcedge's", refusal=text),)
        mine, theirs = self.tree, observed.tree
        if mine == theirs or mine is None:
            return ()
        if theirs is None or mine.default != theirs.default:
            return (Change("tree", "another" if theirs is not None else "", "dcedge's"),)
        changes = list(_class_changes(mine.classes, theirs.classes))
        was = {leaf.minor: leaf for leaf in theirs.leaves}
        for leaf in mine.leaves:
            changes += _leaf_changes(was.get(leaf.minor, Leaf(leaf.minor, None, leaf.cut_bytes)), leaf)
        if mine.classifier != theirs.classifier:
            changes.append(Change("control packets", "sorted otherwise" if theirs.classifier else "", "sorted"))
        return tuple(changes)

    def warnings(self, observed: Shaper, for_all: ForAll) -> Iterator[str]:
        if observed.foreign is not None and self._can_be_spared:
            yield (
                f"{self.link} has {observed.foreign}, so what its virtual interfaces send beyond its wire waits there"
                " or in the card, control packets too"
            )


@dataclass(frozen=True, slots=True)
class Ingress(KernelResource):
    """What holds the rate of what comes in by a link: a device of its own (ifb) with a tree, and the way there.

    `redirected`: all that comes in by the link goes through the device.
    """

    link: str
    device: str
    tree: Tree | None
    redirected: bool
    affects: tuple[str, ...]

    @property
    def key(self) -> Key:
        return Key("ingress", self.link)

    @property
    def rank(self) -> int:
        return RANK_INGRESS

    @property
    def parent(self) -> None:
        """The device outlives the link."""
        return None

    @property
    def links(self) -> tuple[str, ...]:
        return (self.link, self.device)

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.device,)

    def describe(self) -> str:
        return f"{_rate(self.tree.classes[:1] if self.tree is not None else ())} on what comes in by {self.link}"

    def changes_from(self, observed: Ingress) -> tuple[Change, ...]:
        mine, theirs = (Shaper(self.device, one.tree, ()) for one in (self, observed))
        changes = mine.changes_from(theirs)
        if self.redirected != observed.redirected:
            changes += (Change(f"what comes in by {self.link}", "unshaped", f"through {self.device}"),)
        return changes


def _rate(classes: tuple[HtbClass, ...]) -> str:
    return format_rate(classes[0].rate_bytes * 8) if classes else "no class"


def _class_changes(mine: tuple[HtbClass, ...], theirs: tuple[HtbClass, ...]) -> Iterator[Change]:
    """What differs between classes: the first one's rate is what was ordered, the others follow from it."""
    was = {htb.minor: htb for htb in theirs}
    first = mine[0]
    ordered = was.get(first.minor)
    if ordered is None or ordered.rate_bytes != first.rate_bytes:
        yield Change("rate", _rate((ordered,) if ordered is not None else ()), _rate(mine))
        return
    for htb in mine:
        before = was.pop(htb.minor, None)
        if before == htb:
            continue
        where = f"class {htb.minor:x} " if htb is not first else ""
        if before is None:
            yield Change(f"class {htb.minor:x}", "", format_rate(htb.rate_bytes * 8))
            continue
        for field_ in fields(htb):
            old, new = getattr(before, field_.name), getattr(htb, field_.name)
            if old != new:
                yield Change(where + field_.name.replace("_", " "), str(old), str(new))
    for htb in was.values():
        yield Change(f"class {htb.minor:x}", format_rate(htb.rate_bytes * 8), "")


def _leaf_changes(before: Leaf, after: Leaf) -> Iterator[Change]:
    """What differs between two leaves; another kind of queue, or other flows, drop what the old one held alone."""
    old, new = before.queue, after.queue
    if before.cut_bytes != after.cut_bytes:
        yield Change("packets cut beyond", str(before.cut_bytes or ""), str(after.cut_bytes or ""))
    if old == new:
        return
    if old is None or new is None or old.kind != new.kind:
        name = "queue" if old is None else "queue (drops what waits in it)"
        yield Change(name, old.kind if old else "", new.kind if new else "")
        return
    was, will = dict(old.settings), dict(new.settings)
    differing = [name for name in will if was.get(name) != will[name]]
    yield Change(
        f"{new.kind} {', '.join(differing)}",
        ", ".join(str(was.get(name, "")) for name in differing),
        ", ".join(str(will[name]) for name in differing),
    )
