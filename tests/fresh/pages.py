"""The commands in a page of documentation, as its readers find them there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "config/operations.md")

_FENCE = "```"
_PROMPT = "$ "
_COMMENT = re.compile(r"\s+#\s.*$")
_COMMAND = re.compile(r"https?://\S+|[a-z][a-z0-9.-]*( \S+)+")
_SHELL_LINE = re.compile(r"[a-z][a-z0-9.-]*( |$)")

NOT_TYPED = {
    "no bgp ebgp-requires-policy": "a line of FRR's configuration",
    "router bgp": "a line of FRR's configuration",
    "could not obtain user info (dcedge)": "a line in the journal",
}
"""What looks like a command in the pages and is none."""

_ASKED = "tests/unit/test_cli.py::test_asked_by_signal_the_daemon_says_what_it_is_at_and_why"
_UPGRADE = "tests/system/test_service.py::test_no_packet_is_lost_to_a_kill_a_restart_and_an_upgrade"
ELSEWHERE = {
    "apt install": _UPGRADE,  # of a newer package
    "kill -9": _UPGRADE,  # of the agent
    "systemctl kill -s USR1 dcedge": _ASKED,
}
"""What is not typed as it stands in the pages, each with the test that tries what is meant."""


@dataclass(frozen=True)
class Command:
    """One command in a page."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def every_command() -> list[Command]:
    """All that the pages tell their readers to type, or to open in a browser."""
    return [command for page in PAGES for command in commands(page, (ROOT / page).read_text())]


def commands(page: str, text: str) -> list[Command]:
    """What is to be typed: the lines of a block in a shell, after the prompt where it has one, and inline code."""
    prose: list[str] = []
    block: list[tuple[int, str]] = []
    found: list[tuple[int, str]] = []
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        fence = line.startswith(_FENCE)
        prose.append("" if fence or fenced else line)
        if fence:
            found += _typed_in(block)
            block, fenced = [], not fenced
        elif fenced:
            block.append((number, line))
    found += _inline("\n".join(prose))
    return [Command(page, at, command) for at, command in sorted(found)]


def block_with(page: str, words: str) -> str:
    """The block of a page in which these words stand, as it is there."""
    (found,) = (block for block in (ROOT / page).read_text().split(f"\n{_FENCE}\n")[1::2] if words in block)
    return found + "\n"


def _typed_in(block: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """A transcript's commands are behind the prompt; a block that starts with a command has one in every line."""
    transcript = any(line.startswith(_PROMPT) for _, line in block)
    if not transcript and not (block and _SHELL_LINE.match(block[0][1])):
        return
    for number, line in block:
        if not transcript or line.startswith(_PROMPT):
            command = _COMMENT.sub("", line.removeprefix(_PROMPT)).strip()
            if command:
                yield number, command


def _inline(prose: str) -> Iterator[tuple[int, str]]:
    for span in re.finditer(r"`([^`]+)`", prose):
        text = " ".join(span[1].split())
        if _COMMAND.fullmatch(text) and text not in NOT_TYPED:
            yield prose.count("\n", 0, span.start()) + 1, text
