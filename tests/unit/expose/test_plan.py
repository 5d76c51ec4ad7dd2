"""A plan as people read it: short ones whole, long ones by kind and by virtual interface first."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import cast

import pytest
from rich.console import Console

from dcedge.api.control.replies import AppliedReply
from dcedge.cli.print_plan import print_applied, print_plan
from dcedge.kernel.link.resource import Link
from dcedge.order.resolve import Tag
from dcedge.plan.diff import Plan, plan
from dcedge.plan.resource import Key, Resource
from dcedge.reconcile.desired import NOTHING

HINT = "dcedge plan --all"


def link(number: int, mtu: int = 1500) -> Link:
    name = f"vi-{number}"
    return Link(
        f"eth1.{number}", "eth1", Tag(number, 0x8100), f"dcedge:{name}", name, mtu, True, (), (), affects=(name,)
    )


def links(count: int, mtu: int = 1500) -> dict[Key, Resource]:
    return {one.key: one for one in (link(number, mtu) for number in range(1, count + 1))}


def printed(show: Callable[[Console], None], *, terminal: bool = False) -> str:
    out = io.StringIO()
    show(Console(file=out, width=160, force_terminal=terminal, color_system=None, soft_wrap=not terminal))
    return out.getvalue()


def told(todo: Plan, *notes: str, whole: bool = False, terminal: bool = False) -> str:
    return printed(lambda console: print_plan(console, todo, notes, whole=whole, hint=HINT), terminal=terminal)


def test_a_short_plan_is_shown_as_it_is() -> None:
    said = told(plan(links(10), {}))
    assert all(f"link eth1.{number} " in said for number in range(1, 11))
    assert HINT not in said
    assert said.splitlines()[-1] == "10 operations (10 to create); disruption: none."


@pytest.mark.parametrize("terminal", [False, True], ids=["piped", "on a terminal"])
def test_a_long_plan_is_summed_up_and_whole_where_that_is_asked_for(terminal: bool) -> None:
    todo = plan(links(4000), {})
    said = told(todo, terminal=terminal)
    assert len(said.splitlines()) < 40, said
    head, row = said.splitlines()[:2]
    assert head.split() == ["resource", "type", "create", "change", "replace", "delete", "disruption"]
    assert row.split() == ["link", "4000", "none"]
    assert "and 3980 more" in said
    assert f"Every operation: {HINT}" in said
    whole = told(todo, whole=True, terminal=terminal)
    assert whole.startswith(head.rstrip())
    assert all(f"link eth1.{number} " in whole for number in range(1, 4001))


def test_who_is_worst_off_is_named_first() -> None:
    observed = {**links(2000), **{one.key: one for one in (link(2001), link(2002))}}
    said = told(plan(links(2000, mtu=1400), observed)).splitlines()
    table = said[next(n for n, line in enumerate(said) if line.startswith("virtual interface")) + 1 :]
    assert [line.split()[0] for line in table[:3]] == ["vi-2001", "vi-2002", "vi-1"]
    assert table[0].split()[-1] == "link"
    kinds = [line.split() for line in said[1 : said.index("")]]
    assert kinds == [["link", "2000", "2", "link"]]


def test_of_a_thousand_notes_and_failures_the_first_are_shown() -> None:
    notes = [f"vi-{number}: its password cannot be read" for number in range(1000)]
    said = told(plan({}, {}), *notes).splitlines()
    assert (said[0], said[40]) == (notes[0], "and 960 more (--json has them all)")
    failure = {"action": "create", "kind": "link", "name": "eth1.1", "text": "no such port"}
    answer = {
        "failures": [failure] * 1000,
        "done": {"operations": [{}] * 1000},
        "notes": [],
        "complete": False,
        "duration_seconds": 1.0,
    }
    said = printed(lambda console: print_applied(console, cast("AppliedReply", answer))).splitlines()
    assert len(said) == 42
    assert said[-1] == "0 of 1000 operations done in 1 s."


def test_nothing_to_do_is_one_line() -> None:
    assert told(plan(NOTHING.kernel, {})) == "Nothing to do: everything is as ordered.\n"
