"""Types commands just as the pages have them, with what stands for something filled in."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.fresh.pages import every_command

STANDS_FOR = {
    "<this repository>": "/srv/dcedge.git",
    "NAME…": "prod-a",
    "NAME": "prod-a",
    "VI": "prod-a",
    "ADDRESS": "10.20.0.10",  # of the host in vpc-prod, which prod-a leads to
    "N": "2",
    "ROUTER": "192.0.2.1",  # on its LAN
}
"""What the pages leave open, and what it is here. A token is known once it has been printed."""

Shell = Callable[[str, str], subprocess.CompletedProcess[str]]
"""Runs a line of a shell on whose standard input an answer lies."""


class Hand:
    """Somebody who reads the pages and types what they say.

    The folder `record` has, when all is done, the `commands` that were typed, as the pages have them, and the
    `transcript`: what was typed in fact, and what it printed.
    """

    def __init__(self, shell: Shell, record: Path) -> None:
        self._shell = shell
        self._record = record
        self._known = {command.text for command in every_command()}

    def types(
        self,
        command: str,
        *,
        status: int = 0,
        says: tuple[str, ...] = (),
        answers: str = "",
        meaning: Mapping[str, str] | None = None,
        shell: Shell | None = None,
    ) -> str:
        """Type a command of the pages; returns what it printed, which holds every one of `says`.

        `answers` is what is typed into it, `meaning` what stands for something besides, `shell` where it is typed
        if not where everything is.
        """
        assert command in self._known, f"no page says to type {command!r}"
        line = filled_in(command, meaning or {})
        done = (shell or self._shell)(line, answers)
        said = done.stdout + done.stderr
        account = f"$ {line}\n{said}"
        self._note("transcript", account)
        assert done.returncode == status, f"exit status {done.returncode} instead of {status}:\n{account}"
        missing = [words for words in says if words not in said]
        assert not missing, f"{missing} is not in:\n{account}"
        self._note("commands", command)
        return said

    def _note(self, file: str, text: str) -> None:
        with (self._record / file).open("a") as noted:
            noted.write(f"{text}\n")


def filled_in(command: str, meaning: Mapping[str, str]) -> str:
    """A command with values for what the page leaves open."""
    known = {**STANDS_FOR, **meaning}
    words = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    return re.sub(rf"(?<!\w)({words})(?!\w)", lambda found: known[found[1]], command)
