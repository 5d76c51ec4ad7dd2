"""A plan for people: aligned, coloured on a terminal only. Apart from its JSON, so that the daemon needs no rich."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dcedge.api.control.replies import AppliedReply
from dcedge.plan.diff import Action, Plan, worst
from dcedge.plan.resource import DISRUPTIONS, Disruption
from dcedge.units import counted, format_seconds

_SIGN: dict[Action, tuple[str, str]] = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "replace": ("!", "magenta"),
    "delete": ("-", "red"),
}
_AFFECTED_SHOWN = 4
_SHORT = 60  # operations: what a screen or so shows
_INTERFACES_SHOWN = 20
_LINES_SHOWN = 40  # failures, notes: where one thing is wrong there may be thousands


def print_plan(console: Console, plan: Plan, notes: Iterable[str], *, whole: bool = False, hint: str = "") -> None:
    """The plan, and a last line that sums it up: an operation a line, a long one by kind and virtual interface first.

    `whole`: every operation of a long one too; `hint` says how to see them.
    """
    long = len(plan.operations) > _SHORT
    if long:
        console.print(_by_kind(plan))
        console.print()
        console.print(_by_interface(plan))
    if plan and (whole or not long):
        console.print("\n" if long else "", end="")
        _print_operations(console, plan)
    said = list(notes)
    print_notes(console, said)
    if long and not whole and hint:
        console.print(Text(f"Every operation: {hint}", style="dim"))
    console.print(Text(summary(plan, aside=bool(said)), style="bold"))


def _by_kind(plan: Plan) -> Table:
    """How many operations of each action a kind has, and the worst that they do."""
    table = _table("resource type", *_SIGN, "disruption")
    counts = Counter((operation.key.type, operation.action) for operation in plan.operations)
    harm: dict[str, Disruption] = {}
    for operation in plan.operations:
        resource_type = operation.key.type
        harm[resource_type] = worst((harm.get(resource_type, "none"), operation.disruption))
    for resource_type, disruption in harm.items():
        cells = [
            Text(str(counts[resource_type, action]) if counts[resource_type, action] else "", style=colour)
            for action, (_, colour) in _SIGN.items()
        ]
        table.add_row(Text(resource_type), *cells, _harm(disruption))
    return table


def _by_interface(plan: Plan) -> Table:
    """The virtual interfaces that feel it, the worst off first."""
    counts: dict[str, Counter[Action]] = defaultdict(Counter)
    harm: dict[str, Disruption] = defaultdict(lambda: "none")
    for operation in plan.operations:
        for name in operation.affects:
            counts[name][operation.action] += 1
            harm[name] = worst((harm[name], operation.disruption))
    names = sorted(counts, key=lambda name: (-DISRUPTIONS.index(harm[name]), name))
    table = _table("virtual interface", "operations", "disruption")
    for name in names[:_INTERFACES_SHOWN]:
        table.add_row(Text(name), Text(_counted(counts[name])), _harm(harm[name]))
    if left := names[_INTERFACES_SHOWN:]:
        table.add_row(Text(f"and {len(left)} more"), Text(), _harm(worst(harm[name] for name in left)))
    return table


def _print_operations(console: Console, plan: Plan) -> None:
    rows = [
        (
            _SIGN[operation.action][0],
            str(operation.key),
            operation.describe(),
            operation.reason,
            operation.disruption,
            affected(operation.affects),
        )
        for operation in plan.operations
    ]
    titles = ("", "resource", "what", "why", "disruption", "affects")
    if len(rows) > _SHORT and not console.is_terminal:
        _print_plainly(console, (titles, *rows))
        return
    table = _table(*titles)
    for operation, row in zip(plan.operations, rows, strict=True):
        colour = _SIGN[operation.action][1]
        sign, resource, what, why, _, affects = row
        told = Text(what), Text(why), _harm(operation.disruption), Text(affects)
        table.add_row(Text(sign, style=colour), Text(resource, style=colour), *told)
    console.print(table)


def _print_plainly(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """Aligned, a row a line: a table of twenty thousand rows takes rich longer than all the rest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.file.write(f"{line.rstrip()}\n")


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    for title in titles:
        number = title in _SIGN
        table.add_column(
            title, overflow="fold", no_wrap=title in {"", "disruption"}, justify="right" if number else "left"
        )
    return table


def _harm(disruption: Disruption) -> Text:
    return Text(disruption, style="bold red" if disruption != "none" else "")


def affected(names: tuple[str, ...]) -> str:
    """A few names, and how many more."""
    more = len(names) - _AFFECTED_SHOWN
    return ", ".join(names[:_AFFECTED_SHOWN]) + (f" and {more} more" if more > 0 else "")


def summary(plan: Plan, *, aside: bool = False) -> str:
    """One line: how much, and how bad; `aside` where something has been said that no operation mends."""
    if not plan:
        return "Nothing to do apart from the above." if aside else "Nothing to do: everything is as ordered."
    parts = _counted(Counter(operation.action for operation in plan.operations))
    felt = sorted({name for o in plan.operations if o.disruption != "none" for name in o.affects})
    harm = f"disruption: {plan.disruption}; affects {affected(tuple(felt))}" if felt else "disruption: none"
    return f"{counted(len(plan.operations), 'operation')} ({parts}); {harm}."


def _print_some(console: Console, lines: Sequence[str], style: str) -> None:
    """The first lines, and how many more there are."""
    for line in lines[:_LINES_SHOWN]:
        console.print(Text(line, style=style))
    if (more := len(lines) - _LINES_SHOWN) > 0:
        console.print(Text(f"and {more} more (--json has them all)", style=style))


def _counted(counts: Counter[Action]) -> str:
    return ", ".join(f"{counts[action]} to {action}" for action in _SIGN if counts[action])


def print_notes(console: Console, notes: Sequence[str]) -> None:
    """What is to be said beside a plan or an answer."""
    _print_some(console, notes, "yellow")


def print_applied(console: Console, answer: AppliedReply) -> None:
    """What was done, in one line, and every failure and note on its own."""
    failed = answer["failures"]
    total = len(answer["done"]["operations"])
    told = [f"failed: {one['action']} {one['kind']} {one['name']}: {one['text']}" for one in failed]
    _print_some(console, told, "red")
    print_notes(console, answer["notes"])
    if not total:
        nothing = (
            "Nothing to do apart from the above." if answer["notes"] else "Nothing to do: everything is as ordered."
        )
        said = nothing if answer["complete"] else "Nothing could be done."
    else:
        said = f"{total - len(failed)} of {total} operations done in {format_seconds(answer['duration_seconds'])}."
    console.print(Text(said, style="bold"))
