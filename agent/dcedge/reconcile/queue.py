"""Which pass comes next, what it observes and when: what is asked for, what failed, what is due again.

Nothing here waits or observes by itself: time is handed in, and `changed` is called where a pass may be due sooner.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dcedge.kernel.context import Failure
from dcedge.reconcile.drift import Drift
from dcedge.reconcile.result import DirtySet, PassRequest, PassResult

log = logging.getLogger(__name__)

FULL_RESYNC_SECONDS = 60.0  # between two full resyncs that nobody asked for
LATE_SECONDS = 30.0
RETRY_SECONDS, RETRY_SECONDS_MAX = 1.0, 30.0
DEBOUNCE_SECONDS = 0.01  # one cause mostly makes several events


class PassQueue:
    """The passes to come. Incremental ones go first; but a full resync that has waited for long begins before them.

    `clock` is monotonic; `changed` is called when what is due has changed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, changed: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._changed = changed
        self._dirty: DirtySet | None = None
        self._full_asked_at: float | None = None  # since when a full resync is asked for
        self._ordered = False
        self._due_at: float | None = None  # of what was asked for
        self._resynced_at = clock()  # when the last full resync began
        self._patience = RETRY_SECONDS
        self._retry: tuple[float, DirtySet | None] | None = None  # when to retry, and the dirty set
        self._release_at: float | None = None  # when a suppressed repair is allowed again
        self._failures: tuple[Failure, ...] = ()  # of the passes so far, as far as they stand
        self._drift = Drift()
        self.waiting: dict[str, None] = {}  # why passes are asked for, since the last one was taken
        self.reasons: tuple[str, ...] = ()  # why the last one was

    def ask(self, dirty: DirtySet | None = None, why: str = "another pass was requested") -> None:
        """Ask for an incremental pass over a dirty set, or (without one) for a full resync."""
        self.waiting[why] = None
        if dirty is not None:
            self._dirty = dirty if self._dirty is None else self._dirty | dirty
        elif self._full_asked_at is None:
            self._full_asked_at = self._clock()
        if self._due_at is None:
            self._due_at = self._clock() + DEBOUNCE_SECONDS
        self._changed()

    def order_changed(self) -> None:
        """The next pass carries out an order: it observes what differs from the last one."""
        self._ordered = True
        self.ask(DirtySet(), "an order must be carried out")

    @property
    def pending(self) -> bool:
        """Whether a pass is asked for, or one is due that carries out an order."""
        return self._due_at is not None

    def seconds_until_due(self) -> float:
        """How long nothing is to be done; 0 where a pass is due."""
        times = [self._resynced_at + FULL_RESYNC_SECONDS]
        if self._due_at is not None:
            times.append(self._due_at)
        if self._retry is not None:
            times.append(self._retry[0])
        if self._release_at is not None:
            times.append(self._release_at)
        return max(0.0, min(times) - self._clock())

    def take(self) -> PassRequest:
        """The pass to be made now, due or not; what remains stays asked for."""
        now = self._clock()
        self._take_what_is_due(now)
        self.reasons, self.waiting = tuple(self.waiting) or ("an earlier request was not finished",), {}
        ordered, self._ordered = self._ordered, False
        late = self._full_asked_at is not None and now - self._full_asked_at > LATE_SECONDS
        dirty = self._dirty
        if ordered:
            dirty = dirty or DirtySet()
        elif late:
            dirty = None
        if dirty is None:
            self._full_asked_at = None
            self._resynced_at = now
        else:
            self._dirty = None
        self._due_at = now if self._dirty is not None or self._full_asked_at is not None else None
        return PassRequest(dirty, ordered, now, self._failures, self._drift.suppressed(now))

    def urgent(self) -> bool:
        """Whether an incremental pass is due that a full resync should give way to. For any thread."""
        due = self._due_at
        return self._dirty is not None and not self._ordered and due is not None and self._clock() >= due

    def take_urgent(self, accept: Callable[[DirtySet], bool]) -> PassRequest | None:
        """The incremental pass to be made now, in the middle of a full resync, if its dirty set is accepted.

        What has failed before it does not try again: the full resync does.
        """
        now, dirty = self._clock(), self._dirty
        if dirty is None or not self.urgent() or not accept(dirty):
            return None
        self.reasons, self.waiting, self._dirty = tuple(self.waiting), {}, None
        self._due_at = now if self._full_asked_at is not None else None
        return PassRequest(dirty, False, now, (), self._drift.suppressed(now))

    def repaired_meanwhile(self, result: PassResult) -> None:
        """An incremental pass has repaired this; whether all is as ordered, the full resync about it tells."""
        now = self._clock()
        for key in self._drift.repaired(result.repaired, now):
            log.error("repair of %s is suppressed for a while: something else keeps undoing it", key)
        self._release_at = self._drift.next_end(now)

    def ended(self, result: PassResult) -> None:
        """A pass has ended so."""
        now = self._clock()
        self._failures = result.failures
        if result.anew:
            self._drift.forget()
        self.repaired_meanwhile(result)
        settled = result.complete and not result.frr_unsaved
        if settled or (result.complete and result.done):
            self._patience, self._retry = RETRY_SECONDS, None  # what failed before is over
        if self._retry is None and not settled:
            only_frr_waits = not result.failures
            self._retry = now + self._patience, DirtySet(frr=True) if only_frr_waits else None
            self._patience = min(self._patience * 2, RETRY_SECONDS_MAX)
        if result.changed_meanwhile:
            self.ask(why="something changed during a pass")
        self._changed()

    def suppressed(self) -> int:
        """How many repairs are suppressed now."""
        return len(self._drift.suppressed(self._clock()))

    def drift_notes(self) -> list[str]:
        """Which they are, in words."""
        return self._drift.notes(self._clock())

    def failed(self, request: PassRequest) -> None:
        """A pass was broken off: it is not known what it did, and what it was to do is still to be done."""
        self._ordered |= request.ordered
        if request.dirty is not None:
            self._dirty = request.dirty if self._dirty is None else self._dirty | request.dirty
        self._due_at = None
        self._retry = self._clock() + self._patience, None
        self._patience = min(self._patience * 2, RETRY_SECONDS_MAX)
        self._changed()

    def _take_what_is_due(self, now: float) -> None:
        """Ask for what the time has come for."""
        if self._retry is not None and now >= self._retry[0]:
            (_, dirty), self._retry = self._retry, None
            self.waiting["retry of what is not as ordered"] = None
            if dirty is not None and now - self._resynced_at < FULL_RESYNC_SECONDS:
                self._dirty = dirty if self._dirty is None else self._dirty | dirty
            elif self._full_asked_at is None:
                self._full_asked_at = now
        released = self._release_at is not None and now >= self._release_at
        if released:
            self._release_at = None
            self.waiting["a suppressed repair is allowed again"] = None
        if now - self._resynced_at >= FULL_RESYNC_SECONDS:
            self.waiting[f"{FULL_RESYNC_SECONDS:.0f} s without a full resync"] = None
        if self._full_asked_at is None and (released or now - self._resynced_at >= FULL_RESYNC_SECONDS):
            self._full_asked_at = now
