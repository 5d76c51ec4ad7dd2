"""A plan for people: aligned, coloured on a terminal only. Apart from its JSON, so that the daemon needs no rich."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcedge.plan import Action, Plan
from dcedge.units import counted, format_seconds

_SIGN: dict[Action, tuple[str, str]] = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "replace": ("!", "magenta"),
    "delete": ("-", "red"),
}
_AFFECTED_SHOWN = 4


def print_plan(console: Console, plan: Plan, notes: Iterable[str]) -> None:
    """The plan, an operation a line, and a last line that sums it up."""
    if plan:
        table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
        for title in ("", "resource", "what", "why", "disruption", "affects"):
            table.add_column(title, overflow="fold", no_wrap=title in {"", "disruption"})
        for operation in plan.operations:
            sign, colour = _SIGN[operation.action]
            harm = Text(operation.disruption, style="bold red" if operation.disruption != "none" else "")
            table.add_row(
                Text(sign, style=colour),
                Text(str(operation.key), style=colour),
                Text(operation.describe()),
                Text(operation.reason),
                harm,
                Text(affected(operation.affects)),
            )
        console.print(table)
    said = list(notes)
    for note in said:
        console.print(Text(note, style="yellow"))
    console.print(Text(summary(plan, aside=bool(said)), style="bold"))


def affected(names: tuple[str, ...]) -> str:
    """A few names, and how many more."""
    more = len(names) - _AFFECTED_SHOWN
    return ", ".join(names[:_AFFECTED_SHOWN]) + (f" and {more} more" if more > 0 else "")


def summary(plan: Plan, *, aside: bool = False) -> str:
    """One line: how much, and how bad; `aside` where something has been said that no operation mends."""
    if not plan:
        return "Nothing to do beside that." if aside else "Nothing to do: everything is as ordered."
    counts = Counter(operation.action for operation in plan.operations)
    parts = ", ".join(f"{counts[action]} to {action}" for action in _SIGN if counts[action])
    felt = sorted({name for o in plan.operations if o.disruption != "none" for name in o.affects})
    harm = f"disruption: {plan.disruption}, felt by {affected(tuple(felt))}" if felt else "disruption: none"
    return f"{counted(len(plan.operations), 'operation')} ({parts}); {harm}."


def print_applied(console: Console, answer: dict[str, Any]) -> None:
    """What was done, in one line, and every failure and note on its own."""
    failed = answer["failures"]
    total = len(answer["done"]["operations"])
    for failure in failed:
        line = f"failed: {failure['action']} {failure['kind']} {failure['name']}: {failure['text']}"
        console.print(Text(line, style="red"))
    for note in answer["notes"]:
        console.print(Text(note, style="yellow"))
    if not total:
        nothing = "Nothing to do beside that." if answer["notes"] else "Nothing to do: everything is as ordered."
        said = nothing if answer["complete"] else "Nothing could be done."
    else:
        said = f"{total - len(failed)} of {total} operations done in {format_seconds(answer['duration_seconds'])}."
    console.print(Text(said, style="bold"))
