"""Whatever the pages tell their readers to type is typed by a scenario of `make fresh`: nothing there can rot."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from typer.main import get_group

from dcedge.cli.app import app
from tests.fresh.hand import filled_in
from tests.fresh.pages import ELSEWHERE, NOT_TYPED, PAGES, ROOT, Command, commands, every_command

SCENARIOS = sorted((ROOT / "tests/fresh").glob("test_*.py"))
PAGE = """\
`make demo` shows it; `make
shell` leaves you inside, `dcedge` at hand, with `router bgp` as it was.

```
apt-get install --yes git && cd dcedge          # in a checkout
systemctl reload dcedge                         # fails where the order is bad
```

| look | `dcedge status NAME` or `http://127.0.0.1:9478/`; not `/etc/dcedge` nor `drain` |

```
$ dcedge status
lab  AS 65010
```

```
[Service]
AmbientCapabilities=CAP_NET_BIND_SERVICE
```
"""


def typed_in(scenario: Path) -> set[str]:
    """Every command that a scenario has the hand type: a constant, or one of those that a loop goes over."""
    known = {command.text for command in every_command()}
    tree = ast.parse(scenario.read_text())
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return {text for text in constants if isinstance(text, str) and text in known}


def test_a_pages_commands_are_the_lines_of_its_shells_and_inline_code() -> None:
    assert [(command.line, command.text) for command in commands("page", PAGE)] == [
        (1, "make demo"),
        (1, "make shell"),
        (5, "apt-get install --yes git && cd dcedge"),
        (6, "systemctl reload dcedge"),
        (9, "dcedge status NAME"),
        (9, "http://127.0.0.1:9478/"),
        (12, "dcedge status"),
    ]


@pytest.mark.parametrize("command", every_command(), ids=str)
def test_each_command_of_the_pages_is_typed_by_a_scenario(command: Command) -> None:
    typed = set[str]().union(*map(typed_in, SCENARIOS))
    assert command.text in typed | ELSEWHERE.keys(), "let a scenario in tests/fresh type it"


def test_what_is_tried_elsewhere_is_a_test_there() -> None:
    for test in ELSEWHERE.values():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(), test


def test_what_is_set_aside_still_stands_in_a_page() -> None:
    pages = " ".join(" ".join((ROOT / page).read_text() for page in PAGES).split())
    typed = {command.text for command in every_command()}
    assert [words for words in NOT_TYPED if f"`{words}`" not in pages] == []
    assert ELSEWHERE.keys() <= typed


def test_every_verb_takes_the_options_that_readme_promises_of_each() -> None:
    (promise,) = re.findall(
        r"^Every verb \(but `schema`\) takes (.*?),\s+or", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    promised = set(re.findall(r"`(--[a-z-]+)`", promise))
    assert "--order" in promised
    verbs = get_group(app).commands
    lacking = {verb for verb, command in verbs.items() if not promised <= {o for p in command.params for o in p.opts}}
    assert lacking == {"schema"}


def test_names_in_a_command_are_filled_in_and_nothing_else() -> None:
    assert filled_in("dcedge drain NAME…", {}) == "dcedge drain prod-a"
    assert filled_in("ip link show vi-NAME", {}) == "ip link show vi-prod-a"
    assert filled_in("dcedge measure VI --to ADDRESS --token TOKEN", {"TOKEN": "ab12"}) == (
        "dcedge measure prod-a --to 10.20.0.10 --token ab12"
    )
    assert filled_in("journalctl DCEDGE_VIRTUAL_INTERFACE=prod-a", {}) == "journalctl DCEDGE_VIRTUAL_INTERFACE=prod-a"
