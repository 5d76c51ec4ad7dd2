"""FRR's /etc/frr/daemons: with what its start script, which has the shell read it, starts the daemons. Never executed.

Assignments are understood, with the shell's quotes, continued lines and the names of earlier ones. Where there is more
of a shell in it than that, what it comes to is not guessed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DAEMONS_FILE = Path("/etc/frr/daemons")
_SIZE_MAX = 1 << 20
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ASSIGNMENT = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_AFTER = re.compile(r"[ \t]*(?:;[ \t]*)?(?:(?<=[ \t;])#[^\n]*)?(?:\n|\Z)")
_PIECE = re.compile(
    r"""'(?P<raw>[^']*)'|"(?P<quoted>(?:[^"\\]|\\.)*)"|\\(?P<escaped>.)|(?P<bare>[^\s"'\\;&|<>()#]+|(?<=\S)#)""",
    re.DOTALL,
)
_IN_QUOTES = re.compile(r"""\\(?P<escaped>[$`"\\\n])|\$(?:\{(?P<braced>\w+)\}|(?P<name>\w+))|(?P<more>[$`])""")


class _MoreThanAssignmentsError(Exception):
    """What follows only a shell can tell."""


@dataclass(frozen=True, slots=True)
class DaemonsFile:
    """What the file sets; None for what only a shell can tell."""

    settings: Mapping[str, str | None]
    whole: bool = True  # whether all of it was understood

    def options(self, daemon: str) -> tuple[str, ...] | None:
        """The words that a daemon is started with; None where they cannot be told."""
        said = [self._value("frr_global_options"), self._value(f"{daemon}_options")]
        try:
            return None if None in said else tuple(shlex.split(" ".join(filter(None, said))))
        except ValueError:
            return None

    def starts(self, daemon: str) -> bool:
        """Whether FRR starts a daemon; it is taken for granted where that cannot be told."""
        return self._value(daemon) in {"yes", None}

    def descriptors(self, default: int) -> int | None:
        """How many files a daemon may have open (MAX_FDS, else the default); None where it cannot be told."""
        said = self._value("MAX_FDS")
        if said == "":
            return default
        return int(said) if said is not None and said.isascii() and said.isdigit() else None

    def _value(self, name: str) -> str | None:
        return self.settings.get(name, "") if self.whole else None


def read_daemons_file(path: Path) -> DaemonsFile | None:
    """The file as it is now; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return parse_daemons_file(file.read(_SIZE_MAX).decode(errors="replace"))
    except OSError:
        return None


@lru_cache(maxsize=1)
def parse_daemons_file(text: str) -> DaemonsFile:
    """What the text sets, the last word of each name winning."""
    settings: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        if found := _NOTHING.match(text, at):
            at = found.end()
            continue
        if not (found := _ASSIGNMENT.match(text, at)):
            return DaemonsFile(settings, whole=False)
        name, adds = found.groups()
        try:
            value, end = _value(text, found.end(), settings)
        except _MoreThanAssignmentsError:
            return DaemonsFile(settings, whole=False)
        before = settings.get(name, "") if adds else ""
        settings[name] = None if value is None or before is None else before + value
        if not (after := _AFTER.match(text, end)):
            return DaemonsFile(settings, whole=False)
        at = after.end()
    return DaemonsFile(settings)


def _value(text: str, at: int, settings: Mapping[str, str | None]) -> tuple[str | None, int]:
    """A value that begins here, and where it ends; None where it cannot be told."""
    pieces: list[str | None] = []
    while found := _PIECE.match(text, at):
        at = found.end()
        if (raw := found["raw"]) is not None:
            pieces.append(raw)
        elif (escaped := found["escaped"]) is not None:
            pieces.append("" if escaped == "\n" else escaped)
        else:
            pieces.append(_expanded(found["quoted"] if found["quoted"] is not None else found["bare"], settings))
    if text[at : at + 1] in {"'", '"', "(", "\\"}:
        raise _MoreThanAssignmentsError  # a quote without its end, a list
    return (None if None in pieces else "".join(filter(None, pieces))), at


def _expanded(text: str, settings: Mapping[str, str | None]) -> str | None:
    """A text with what the names in it stand for; None where that cannot be told."""
    told, end = [], 0
    for found in _IN_QUOTES.finditer(text):
        told.append(text[end : found.start()])
        end = found.end()
        if (escaped := found["escaped"]) is not None:
            told.append("" if escaped == "\n" else escaped)
            continue
        value = settings.get(found["braced"] or found["name"]) if found["more"] is None else None
        if value is None:
            return None
        told.append(value)
    return "".join((*told, text[end:]))
