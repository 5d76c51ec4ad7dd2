"""The verdicts' transitions on disk: appended as they happen, so that a killed daemon loses none.

The file is written anew with what is still kept when it has grown to twice what that can be, so it stays bounded. It
is no journal of record: a line that cannot be read (the last one after a power failure) is left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from dcedge.errors import StateError
from dcedge.health.tracker import KEPT, Transition
from dcedge.health.verdict import State
from dcedge.masking import hide
from dcedge.order.kinds import Seconds
from dcedge.plain_files import open_plain
from dcedge.store import give_to_owner

BYTES_MAX = 8 * 1024 * 1024
_REASON_MAX = 240  # characters
_STATES = frozenset(get_args(State))

Kept = Mapping[str, Iterable[Transition]]


class HistoryFile:
    """One file of transitions, a JSON object a line. `bytes_max` is the size at which it is written anew."""

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max

    def read(self, now: Seconds) -> dict[str, list[Transition]]:
        """By virtual interface, oldest first, what happened in the last day and the one transition before.

        Raises StateError where the file is there and cannot be read.
        """
        try:
            with os.fdopen(open_plain(self._path, os.O_RDONLY), errors="replace") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StateError(f"{self._path}: {error.strerror}") from error
        found: dict[str, list[Transition]] = {}
        for name, transition in _parsed(lines):
            kept = found.setdefault(name, [])
            kept.append(transition)
            while len(kept) > 1 and kept[1].at < now - KEPT:
                del kept[0]
        return found

    def append(self, new: Iterable[tuple[str, Transition]], everything: Callable[[], Kept]) -> None:
        """Add transitions; `everything` is asked for what is kept where the file is to be written anew.

        Raises StateError.
        """
        text = "".join(map(_line, new))
        if not text:
            return
        try:
            with os.fdopen(open_plain(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a") as file:
                give_to_owner(file.fileno(), self._path.parent)
                file.write(text)
                size = file.tell()
            if size > self._bytes_max:
                fresh = self._path.with_name(f".{self._path.name}.new")
                fresh.unlink(missing_ok=True)
                with os.fdopen(open_plain(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w") as file:
                    give_to_owner(file.fileno(), self._path.parent)
                    file.writelines(_line((name, t)) for name, kept in everything().items() for t in kept)
                fresh.replace(self._path)
        except OSError as error:
            raise StateError(f"{self._path}: {error.strerror}") from error


def _line(entry: tuple[str, Transition]) -> str:
    name, transition = entry
    reason = hide(transition.reason)[:_REASON_MAX]
    return json.dumps([name, transition.at, transition.before, transition.after, reason]) + "\n"


def _parsed(lines: Iterable[str]) -> Iterator[tuple[str, Transition]]:
    for line in lines:
        try:
            name, at, before, after, reason = json.loads(line)
        except ValueError:
            continue
        well = isinstance(name, str) and isinstance(at, (int, float)) and isinstance(reason, str)
        if well and before in _STATES and after in _STATES:
            yield name, Transition(float(at), before, after, reason)
