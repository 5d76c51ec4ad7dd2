"""The verdicts' transitions on disk: appended as they happen, so that a killed daemon loses none.

The file is written anew with what is still kept when it has grown to twice what that can be, so it stays bounded. It
is no journal of record: a line that cannot be read (the last one after a power failure) is left out.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from dcedge.errors import StateError
from dcedge.logging.masking import hide
from dcedge.monitor.health.tracker import KEPT, Transition
from dcedge.monitor.health.verdict import State
from dcedge.order.field_types import Seconds
from dcedge.reconcile.state.state_dir import StateDir

BYTES_MAX = 8 * 1024 * 1024
_REASON_MAX = 240  # characters
_STATES = frozenset(get_args(State))

Kept = Mapping[str, Iterable[Transition]]


class HistoryFile:
    """One file of transitions, a JSON object a line. `bytes_max` is the size at which it is written anew."""

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._folder = StateDir(path.parent)
        self._name = path.name
        self._bytes_max = bytes_max
        self._lacks_some = False  # what could not be written

    def read(self, now: Seconds) -> dict[str, list[Transition]]:
        """By virtual interface, oldest first, what happened in the last day and the one transition before.

        Raises StateError where the file is there and cannot be read.
        """
        try:
            contents = self._folder.read(self._name, 2 * self._bytes_max) or b""
        except OSError as error:
            # What is larger than any that we write is not ours, and makes way for one that is.
            self._lacks_some = self._lacks_some or error.errno == errno.EFBIG
            raise self._error(error) from error
        lines = contents.decode(errors="replace").splitlines()
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
        if not text and not self._lacks_some:
            return
        try:
            if self._lacks_some or self._folder.append(self._name, text.encode()) > self._bytes_max:
                whole = "".join(_line((name, t)) for name, kept in everything().items() for t in kept)
                self._folder.write(self._name, whole.encode())
        except OSError as error:
            self._lacks_some = True
            raise self._error(error) from error
        self._lacks_some = False

    def _error(self, error: OSError) -> StateError:
        return StateError(f"{self._folder.path / self._name}: {error.strerror or error}")


def _line(entry: tuple[str, Transition]) -> str:
    name, transition = entry
    reason = hide(transition.reason)[:_REASON_MAX]
    return json.dumps([name, transition.at, transition.before, transition.after, reason]) + "\n"


def _parsed(lines: Iterable[str]) -> Iterator[tuple[str, Transition]]:
    for line in lines:
        try:
            name, at, before, after, reason = json.loads(line)
            well = isinstance(name, str) and isinstance(at, (int, float)) and isinstance(reason, str)
            transition = Transition(float(at), before, after, reason)
            well = well and before in _STATES and after in _STATES
        except (ValueError, TypeError, OverflowError, RecursionError):
            continue
        if well:
            yield name, transition
