"""What is true now and must survive a restart, and what we own; the order in force, the one before, one that waits.

Nothing on the router waits for a file (state_files.py), but for what is to undo a change: that is on disk before the
change begins (`PendingOrder.save`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dcedge.errors import StateError
from dcedge.order.load import digest_of
from dcedge.reconcile.state.files import StateFiles
from dcedge.reconcile.state.formats import (
    EVERY,
    INDICES,
    LAST_GOOD,
    OWNED,
    PENDING,
    PREVIOUS,
    RUNTIME,
    Owned,
    Pending,
    Runtime,
)
from dcedge.reconcile.state.owed_writes import Attempt, Rank
from dcedge.reconcile.state.writer_lock import writer_lock

HISTORY = "history.jsonl"


class Orders:
    """The orders that were put in force, and those that were rolled back."""

    def __init__(self, files: StateFiles) -> None:
        self._files = files

    @property
    def last_good_file(self) -> Path:
        """The file of the order that was last put in force."""
        return self._files.folder / LAST_GOOD.name

    def last_good(self) -> str | None:
        """The contents of the last good order; None before the first."""
        return self._files.get(LAST_GOOD)

    def previous(self) -> str | None:
        """The contents of the order that was in force before the last good one; None where that was rejected."""
        return self._files.get(PREVIOUS)

    def save_last_good(self, text: str) -> None:
        """Keep an order's contents as the last good one, and the one before as the previous.

        It is in force for good: of an order that waited, or of a rollback that could not be written down, nothing is
        to come back.
        """
        self._files.keep(PENDING, None, Rank.FIRST)
        before = self.last_good()
        if before == text:
            return
        if before is not None:
            self._files.keep(PREVIOUS, before)
        self._files.keep(LAST_GOOD, text)

    def save_rolled_back(self, text: str | None, rejected: str) -> None:
        """Keep `text` as the last good order, with none before it, and remember that the other one was rejected."""
        digest = digest_of(rejected)
        self._files.change(RUNTIME, lambda runtime: replace(runtime, rejected=runtime.rejected | {digest}))
        self._files.keep(PREVIOUS, None)
        self._files.keep(LAST_GOOD, text)

    def accept(self, digest: str) -> None:
        """Forget that an order was rejected: somebody asks for it now."""
        self._files.change(RUNTIME, lambda runtime: replace(runtime, rejected=runtime.rejected - {digest}))


class PendingOrder:
    """The order that waits for its confirmation."""

    def __init__(self, files: StateFiles) -> None:
        self._files = files

    def get(self) -> Pending | None:
        """The one that waits; None where none does."""
        return self._files.get(PENDING)

    @property
    def lost(self) -> bool:
        """Whether there was one, and nothing more is known of it."""
        return self._files.lost(PENDING)

    def save(self, pending: Pending, attempt: Attempt | None = None) -> None:
        """Remember how to go back, before the first operation. Raises StateError where that cannot be kept."""
        try:
            self._files.keep_now(PENDING, pending, attempt or Attempt())
        except StateError as error:
            raise StateError(f"{error}: nothing was changed") from error

    def expire(self) -> None:
        """Its time is over, whatever was left of it: a restart is to go back too.

        Where that cannot be written a restart gives it what was left.
        """
        self._files.change(PENDING, lambda pending: replace(pending, deadline=0.0) if pending is not None else None)

    def drop(self, attempt: Attempt | None = None) -> None:
        """Nothing waits for a confirmation any more. Raises StateError where a restart would still think so."""
        self._files.keep_now(PENDING, None, attempt or Attempt())

    def forget(self) -> None:
        """Nothing waits any more; its file goes once all else is written, since until then it is the one witness."""
        self._files.keep(PENDING, None, Rank.LAST)


class Store:
    """One state folder. Who changes anything holds `writer`; others only read, and need permission: else StateError."""

    KEPT = (OWNED.name, RUNTIME.name, INDICES.name, LAST_GOOD.name, PREVIOUS.name, HISTORY)  # none of them has a secret

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = StateFiles(folder, EVERY)
        self.orders = Orders(self.files)
        self.pending_order = PendingOrder(self.files)

    @contextmanager
    def writer(self, patience: float = 0.0) -> Iterator[None]:
        """Hold the one writer's lock, and read each file once.

        Raises BusyError where another process has it, for longer than `patience` seconds.
        """
        with writer_lock(self.folder, patience), self.files.writing():
            yield

    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the files, in words; empty where nothing is."""
        return self.files.troubles()

    @property
    def unwritten(self) -> int:
        """How many files are not as they should be, since they cannot be written."""
        return len(self.files.owed.reasons())

    def owned(self) -> Owned:
        """What is ours; nothing where that is not known."""
        return self.files.get(OWNED)

    def save_owned(self, owned: Owned) -> None:
        """Remember what is ours; no write where nothing changed."""
        self.files.keep(OWNED, owned)

    def forget_cards(self) -> None:
        """Whatever cards have the ports' names now is what is ordered."""
        self.save_owned(replace(self.owned(), cards={}))

    def highest_index(self) -> int:
        """The highest interface index that any link had in this boot, as far as it was noted; 0 where none was."""
        return self.files.get(INDICES)

    def save_highest_index(self, index: int) -> None:
        """Note the highest interface index so far: whoever makes links next goes on from there."""
        self.files.keep(INDICES, index)

    def runtime(self) -> Runtime:
        """The kept runtime."""
        return self.files.get(RUNTIME)

    @property
    def runtime_lost(self) -> bool:
        """Whether there was one, and nothing more is known of it."""
        return self.files.lost(RUNTIME)

    def save_runtime(self, runtime: Runtime) -> None:
        """Keep the runtime."""
        self.files.keep(RUNTIME, runtime)

    def change_runtime(self, **changes: frozenset[str]) -> None:
        """Change some of it, while others may change the rest."""
        self.files.change(RUNTIME, lambda runtime: replace(runtime, **changes))

    @property
    def history(self) -> Path:
        """The file of the verdicts' transitions."""
        return self.folder / HISTORY

    def clear(self) -> None:
        """Forget everything but the interface indices; the folder too where that leaves it empty. Raises StateError.

        zebra remembers for minutes what was on them: the next links must not have the same ones.
        """
        self.files.remove([*(format_.name for format_ in EVERY if format_ is not INDICES), HISTORY])
