"""What is to be written into a folder, and is not there yet: tried again until it can be, by whoever has the time.

Two locks: the one on what is owed is held for an instant, the one on the disk for as long as the disk takes, which may
be for ever. Nobody takes the first while waiting for the second.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

from dcedge.reconcile.state.state_dir import StateDir

log = logging.getLogger(__name__)

HANGS_SECONDS = 1.0  # a disk that takes longer for one file is said not to answer


class Rank(IntEnum):
    """What is written before what."""

    FIRST = 0
    ANY = 1
    LAST = 2  # when nothing else is owed any more: until then it is to stay as it is


@dataclass(eq=False, slots=True)
class _Owed:
    contents: bytes | None  # None: removed
    rank: Rank
    tried: bool = False
    why: str = ""  # it could not be written the last time


class Attempt:
    """Something that a thread does, and that whoever waits for it may give up: what comes first holds."""

    def __init__(self) -> None:
        self._over = threading.Lock()

    @property
    def over(self) -> bool:
        """Whether it is done or given up."""
        return self._over.locked()

    def succeed(self) -> bool:
        """It is done; whether that came in time."""
        return self._over.acquire(blocking=False)

    def give_up(self) -> bool:
        """It is not to count any more; whether that came in time."""
        return self._over.acquire(blocking=False)


class OwedWrites:
    """The writes of one folder. `wake` is called where there is something to write; without it, it is written then."""

    def __init__(self, folder: StateDir) -> None:
        self._folder = folder
        self._owed: dict[str, _Owed] = {}
        self._held = threading.Lock()
        self._disk = threading.Lock()
        self._busy: tuple[str, float] | None = None  # with which file, since when (monotonic)
        self.wake: Callable[[], None] | None = None

    def add(self, name: str, contents: bytes | None, rank: Rank = Rank.ANY) -> None:
        """Have a file written, or removed (None), whatever was to become of it before."""
        with self._held:
            before = self._owed.get(name)
            self._owed[name] = _Owed(contents, rank, why=before.why if before is not None else "")

    def attend(self) -> None:
        """See to what was added: now, or where somebody else has the time, soon."""
        wake = self.wake
        if wake is None:
            self.write()
        else:
            wake()

    def owes(self, name: str) -> bool:
        """Whether a file is not as it should be."""
        return name in self._owed

    @property
    def untried(self) -> bool:
        """Whether there is something whose fate is not known."""
        with self._held:
            return any(not owed.tried for owed in self._owed.values())

    @property
    def hangs(self) -> bool:
        """Whether the disk has been at one file for so long that nobody need wait for it."""
        busy = self._busy
        return busy is not None and time.monotonic() - busy[1] > HANGS_SECONDS

    def forget(self) -> None:
        """Owe nothing any more."""
        with self._held:
            self._owed.clear()

    def write(self) -> bool:
        """Try to write everything, each file once; whether nothing is owed any more."""
        with self._disk:
            tried: set[_Owed] = set()
            while (found := self._next(tried)) is not None:
                name, owed = found
                tried.add(owed)
                self._try(name, owed)
        return not self._owed

    def write_now(self, name: str, contents: bytes | None, attempt: Attempt) -> None:
        """Write a file, or remove it (None), before anything else is done. Raises OSError: then it is as it was.

        A file that is new and may be there all the same is taken away again, unless it is owed. Who has given the
        `attempt` up meanwhile has to look to the file.
        """
        with self._disk:
            if attempt.over:
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
            try:
                self._change(name, contents)
            except OSError:
                if contents is not None and not self.owes(name):
                    with suppress(OSError):
                        self._folder.remove(name)
                raise
            with self._held:
                self._owed.pop(name, None)

    def reasons(self) -> Mapping[str, str]:
        """Why a file is not as it should be, by its name, of those of which that is known."""
        with self._held:
            said = {name: owed.why for name, owed in self._owed.items()}
        if self.hangs and (busy := self._busy) is not None:
            said = {name: said.get(name) or "the disk does not answer" for name in (*said, busy[0])}
        return {name: why for name, why in said.items() if why}

    def _next(self, tried: set[_Owed]) -> tuple[str, _Owed] | None:
        with self._held:
            first = [(name, owed) for name, owed in self._owed.items() if owed.rank < Rank.LAST]
            last = [(name, owed) for name, owed in self._owed.items() if owed.rank == Rank.LAST]
            left = [(name, owed) for name, owed in first or last if owed not in tried]
            if first and not left:
                for _, owed in last:
                    owed.tried, owed.why = True, "it goes when the others are written"
            return min(left, key=lambda found: found[1].rank, default=None)

    def _try(self, name: str, owed: _Owed) -> None:
        try:
            self._change(name, owed.contents)
        except OSError as error:
            why = error.strerror or str(error)
            if owed.why != why:
                log.error("%s cannot be written: %s", self._folder.path / name, why)
            owed.tried, owed.why = True, why
            return
        if owed.why:
            log.info("%s can be written again", self._folder.path / name)
        with self._held:
            if self._owed.get(name) is owed:
                del self._owed[name]

    def _change(self, name: str, contents: bytes | None) -> None:
        self._busy = name, time.monotonic()
        try:
            if contents is None:
                self._folder.remove(name)
            else:
                self._folder.write(name, contents)
        finally:
            self._busy = None
