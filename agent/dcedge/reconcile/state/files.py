"""The files of a state folder, in memory first: nothing on the router waits for a disk.

Who writes (`writing`) reads each file once, and what is kept counts from then on, written or not. Who only reads looks
at the files each time. What cannot be read is as if it were not there; what is damaged is set aside.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from dcedge.errors import StateError
from dcedge.reconcile.state.formats import VERSION, Format, version_of, with_our_version
from dcedge.reconcile.state.owed_writes import Attempt, OwedWrites, Rank
from dcedge.reconcile.state.state_dir import StateDir

log = logging.getLogger(__name__)
T = TypeVar("T")


class StateFiles:
    """The files of one folder, by their formats."""

    def __init__(self, folder: Path, formats: Sequence[Format[Any]]) -> None:
        self.folder = folder
        self._formats = {format_.name: format_ for format_ in formats}
        self._dir = StateDir(folder)
        self.owed = OwedWrites(self._dir)
        self._writes = False
        self._values: dict[str, Any] = {}  # as they were read or are meant to be, by file
        self._unread: dict[str, str] = {}  # what was wrong with a file that was read, by file
        self._changing = threading.RLock()  # passes, polls and commands run in threads of their own

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one who writes, as nobody else may be; what is owed at the end is given up: others may go on."""
        self._values.clear()
        self._unread.clear()
        self._writes = True
        try:
            for format_ in self._formats.values():
                self._values[format_.name] = self._read(format_)
            yield
        finally:
            self._writes = False
            self.owed.forget()

    def get(self, format_: Format[T]) -> T:
        """What a file says; its `empty` where it cannot tell. Raises StateError where others may not read it."""
        if self._writes or self.owed.owes(format_.name):
            value: T = self._values.get(format_.name, format_.empty)
            return value
        value = self._values[format_.name] = self._read(format_)
        return value

    def change(self, format_: Format[T], changed: Callable[[T], T], rank: Rank = Rank.ANY) -> None:
        """Have a file say what becomes of what it says; no write where that is the same."""
        with self._changing:
            before = self.get(format_)
            after = changed(before)
            if after == before and not self.owed.owes(format_.name):
                return
            self._values[format_.name] = after
            self.owed.add(format_.name, format_.contents(after), rank)
        self.owed.attend()

    def keep(self, format_: Format[T], value: T, rank: Rank = Rank.ANY) -> None:
        """Have a file say something."""
        self.change(format_, lambda _: value, rank)

    def keep_now(self, format_: Format[T], value: T, attempt: Attempt) -> None:
        """The same, on disk before anything else is done. Raises StateError: then nothing has changed.

        Where the `attempt` was given up meanwhile, the file is to say again what it says to everybody else.
        """
        name = format_.name
        try:
            self.owed.write_now(name, format_.contents(value), attempt)
        except OSError as error:
            raise StateError(f"{self.folder / name}: {error.strerror or error}") from error
        with self._changing:
            if attempt.succeed():
                self._values[name] = value
                return
            self.owed.add(name, format_.contents(self.get(format_)), Rank.FIRST)
        self.owed.attend()
        raise StateError(f"{self.folder / name}: it was written too late")

    def remove(self, names: Sequence[str]) -> None:
        """Forget these files and remove them; the folder too where that leaves it empty. Raises StateError."""
        with self._changing:
            self.owed.forget()
            for name in names:
                self._values.pop(name, None)
                self._unread.pop(name, None)
        try:
            for name in names:
                self._dir.remove(name)
        except OSError as error:
            raise StateError(f"{self.folder}: {error.strerror or error}") from error
        try:
            self.folder.rmdir()
        except OSError:
            return  # it holds others, or what is not ours

    def lost(self, format_: Format[Any]) -> bool:
        """Whether there was such a file, and nothing more is known of it."""
        return format_.name in self._unread and self._values.get(format_.name) == format_.empty

    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the files, in words; empty where nothing is."""
        unwritten = (
            f"{self.folder / name} cannot be written ({why}): a restart would lose {self._formats[name].forgotten}"
            for name, why in sorted(self.owed.reasons().items())
        )
        return (*unwritten, *(f"{self.folder / name} {why}" for name, why in sorted(self._unread.items())))

    def _read(self, format_: Format[T]) -> T:
        name = format_.name
        known: T = self._values.get(name, format_.empty)
        try:
            contents = self._dir.read(name)
        except OSError as error:
            if isinstance(error, PermissionError) and not self._writes:
                raise StateError(f"{self.folder / name}: {error.strerror}") from error
            if error.errno == errno.EFBIG:
                self._set_aside(name, f"{name}.damaged", f"was damaged ({error.strerror})")
            else:
                self._tell_unread(name, f"cannot be read ({error.strerror or error})")
            return known
        if contents is None:
            return format_.empty
        try:
            value = format_.parsed(contents)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            self._set_aside(name, f"{name}.damaged", f"was damaged ({error})")
            return known
        self._look_at_version(name, contents)
        return value

    def _look_at_version(self, name: str, contents: bytes) -> None:
        """What a later dcedge wrote is read as far as it is understood, and kept beside before it is written over."""
        if (version := version_of(name, contents)) <= VERSION:
            return
        self._set_aside(name, f"{name}.version-{version}", "was written by a newer dcedge")
        if self._writes:
            self.owed.add(name, with_our_version(contents, version))
            self.owed.attend()

    def _set_aside(self, name: str, other: str, why: str) -> None:
        if not self._writes:
            self._unread[name] = why
            return
        try:
            self._dir.rename(name, other)
        except OSError as error:
            self._tell_unread(name, f"{why} and cannot be set aside ({error.strerror or error})")
        else:
            self._tell_unread(name, f"{why}: it is kept as {other}")

    def _tell_unread(self, name: str, why: str) -> None:
        if self._writes and self._unread.get(name) != why:
            log.error("%s %s", self.folder / name, why)
        self._unread[name] = why
