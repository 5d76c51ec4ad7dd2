"""The order file, written by root's command: whole or not at all, the one before kept beside it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from dcedge.errors import DcedgeError


class NewOrderFile:
    """An order's contents beside the order file, ready to take its place: what could prevent that shows before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fresh = path.with_name(f".{path.name}.new")

    @classmethod
    def beside(cls, path: Path, text: str | None = None) -> NewOrderFile:
        """The one that waits there; with `text` it is made. Raises DcedgeError, and nothing has changed."""
        made = cls(path)
        if text is not None:
            made._write(text)
        return made

    def contents(self) -> str | None:
        """What waits there; None where nothing does."""
        try:
            return self._fresh.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def _write(self, text: str) -> None:
        path = self._path
        try:
            if path.is_symlink():
                raise DcedgeError(
                    f"{path} is a symbolic link: write the order to its target yourself, then run `dcedge reload`"
                )
            self._fresh.unlink(missing_ok=True)
            descriptor = os.open(self._fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                _like(path, descriptor)
                os.fsync(descriptor)
        except OSError as error:
            raise DcedgeError(f"{path} cannot be written ({error.strerror}): nothing was changed") from error

    def take_place(self) -> None:
        """Become the order file. Raises DcedgeError."""
        before = self._path.with_name(f"{self._path.name}.before")
        try:
            if self._path.exists():
                before.unlink(missing_ok=True)
                os.link(self._path, before)
            self._fresh.rename(self._path)
        except OSError as error:
            why = f"{self._path} cannot be written ({error.strerror}): a restart would load the file as it is"
            raise DcedgeError(f"the order is in force, but {why}") from error

    def discard(self) -> None:
        """It is not wanted; fine where it has taken its place."""
        with suppress(OSError):
            self._fresh.unlink(missing_ok=True)


def take_place_if_waiting(path: Path, text: str) -> None:
    """Make the contents that wait beside the order file that file, where they are the order that was confirmed.

    `text` may be anybody's: it is only compared. Raises DcedgeError.
    """
    waiting = NewOrderFile.beside(path)
    if waiting.contents() == text:
        waiting.take_place()


def _like(path: Path, descriptor: int) -> None:
    """Owner and mode of the file that is there; else what any order has."""
    try:
        there = path.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, 0o644)
        return
    os.fchown(descriptor, there.st_uid, there.st_gid)
    os.fchmod(descriptor, there.st_mode & 0o777)
