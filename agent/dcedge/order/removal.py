"""What an order removes from the one in force: more than a few virtual interfaces go only where that is meant.

A file that was cut while it was copied is often a good order, with fewer virtual interfaces.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dcedge.order.load import Loaded
from dcedge.order.model import Order, VirtualInterface
from dcedge.units import counted

_FEW = 5  # names that a message has of a kind


@dataclass(frozen=True, slots=True)
class Removal:
    """The virtual interfaces that would go, of those in force; by name, since the link of one with a new name goes."""

    in_force: int
    removed: tuple[str, ...] = ()
    set_down: tuple[str, ...] = ()
    unrouted: tuple[str, ...] = ()  # neither a session nor a static route is left

    @property
    def count(self) -> int:
        """How many would go."""
        return len(self.removed) + len(self.set_down) + len(self.unrouted)

    @property
    def objection(self) -> str | None:
        """Why these are too many to go unless somebody said so: more than a tenth, and at least two; None else."""
        mass = self.count >= 2 and self.count * 10 > self.in_force
        return f"removes {self}; {self.way_out}" if mass else None

    @property
    def way_out(self) -> str:
        """What to do where they are to go."""
        return f"if that is intended: `dcedge apply --allow-removal {self.count}`"

    def __str__(self) -> str:
        of = f"of {counted(self.in_force, 'virtual interface')} in force"
        if not self.count:
            return f"none {of}"
        kinds = {
            "removed": self.removed,
            "now `admin: down`": self.set_down,
            "without session and static route": self.unrouted,
        }
        return f"{self.count} {of} ({'; '.join(f'{kind}: {_few(names)}' for kind, names in kinds.items() if names)})"


def in_force(order: Order) -> frozenset[str]:
    """The virtual interfaces that an order has the router keep up."""
    return frozenset(name for name, vi in order.virtual_interfaces.items() if vi.admin != "down" and _is_routed(vi))


def removal(before: Collection[str], after: Order) -> Removal:
    """What an order removes from the virtual interfaces in force."""
    gone: dict[str, list[str]] = {"removed": [], "set_down": [], "unrouted": []}
    for name in sorted(before):
        vi = after.virtual_interfaces.get(name)
        if vi is None:
            gone["removed"].append(name)
        elif vi.admin == "down":
            gone["set_down"].append(name)
        elif not _is_routed(vi):
            gone["unrouted"].append(name)
    return Removal(len(before), **{kind: tuple(names) for kind, names in gone.items()})


def objection(before: Loaded | None, after: Loaded, allowed: int | None = None) -> str | None:
    """Why `after` is not to follow `before`, which is in force; None where it may.

    `allowed` is how many virtual interfaces somebody said are to go: just so many may, whatever else speaks against it.
    """
    going = removal(in_force(before.order) if before is not None else (), after.order)
    if allowed is not None:
        return None if going.count == allowed else f"removes {going}, and not {allowed}: {going.way_out}"
    if before is not None and (cut := _cut(before, after)):
        or_else = "" if after.ended else ", or end it with a line `...` if it is whole"
        return f"{cut} (it removes {going}); {going.way_out}{or_else}"
    return going.objection


def _cut(before: Loaded, after: Loaded) -> str | None:
    """What shows that the text of `after` is only a part of what was written."""
    whole, text = _with_plain_line_ends(before.text), _with_plain_line_ends(after.text)
    if len(text) < len(whole) and whole.startswith(text):
        missing = whole.count("\n") - text.count("\n")
        lacks = f"the last {counted(missing, 'line')}" if missing else "the last characters"
        return f"is cut: it is the last good order without {lacks}"
    if before.ended and not after.ended:
        return "is cut: the last good order ends with `...`, and this one does not"
    return None


def _with_plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_routed(vi: VirtualInterface) -> bool:
    """Whether there is a BGP session, or a static route, that could lead traffic here."""
    return bool(vi.addresses if vi.static is None else vi.static)


def _few(names: Sequence[str]) -> str:
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")
