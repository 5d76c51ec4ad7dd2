"""Which pass comes next, where it looks and when: what is asked for, what failed, what is due again.

Nothing here waits or looks by itself: time is handed in, and `changed` is called where a pass may be due sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FULL_PASS_SECONDS = 60.0  # between two looks at everything that nobody asked for
LATE_SECONDS = 30.0
RETRY_SECONDS, RETRY_SECONDS_MAX = 1.0, 30.0
DEBOUNCE_SECONDS = 0.01  # one cause mostly makes several events


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a prompt pass looks: links by index; their queues too; FRR; the firewall."""

    links: frozenset[int] = frozenset()
    queues: bool = False
    frr: bool = False
    firewall: bool = False

    def __or__(self, other: Scope) -> Scope:
        return Scope(
            self.links | other.links,
            self.queues or other.queues,
            self.frr or other.frr,
            self.firewall or other.firewall,
        )


@dataclass(frozen=True, slots=True)
class PassRequest:
    """One pass. `scope` None: over everything. `ordered`: it carries out an order, so what it does is no repair."""

    scope: Scope | None
    ordered: bool
    began: float


@dataclass(frozen=True, slots=True)
class PassEnd:
    """What of a pass's result decides what is due next."""

    complete: bool  # all is as ordered, and kept by FRR
    only_frr_waits: bool  # what is left to do is FRR's, or waits for a password
    look_again: bool = False  # something else changed during the pass, and nobody will tell of it
    release_at: float | None = None  # when something may be repaired again that somebody else kept undoing


class PassQueue:
    """What is to be looked at. Changes go first; but a look at everything that has waited for long goes before them.

    `clock` is monotonic; `changed` is called when what is due has changed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, changed: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._changed = changed
        self._prompt: Scope | None = None
        self._everything_since: float | None = None  # since when a look at everything is asked for
        self._ordered = False
        self._due_at: float | None = None  # of what was asked for
        self._looked = clock()  # when the last look at everything began
        self._patience = RETRY_SECONDS
        self._retry: tuple[float, Scope | None] | None = None  # when to try again what is not as ordered, and where
        self._release_at: float | None = None

    def ask(self, scope: Scope | None = None) -> None:
        """Ask for a pass where something changed, or (without a scope) for one over everything."""
        if scope is not None:
            self._prompt = scope if self._prompt is None else self._prompt | scope
        elif self._everything_since is None:
            self._everything_since = self._clock()
        if self._due_at is None:
            self._due_at = self._clock() + DEBOUNCE_SECONDS
        self._changed()

    def order_changed(self) -> None:
        """The next pass carries out an order: it looks where that differs from the last one."""
        self._ordered = True
        self.ask(Scope())

    @property
    def pending(self) -> bool:
        """Whether a pass is asked for, or one is due that carries out an order."""
        return self._due_at is not None

    def seconds_until_due(self) -> float:
        """How long nothing is to be done; 0 where a pass is due."""
        times = [self._looked + FULL_PASS_SECONDS]
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
        ordered, self._ordered = self._ordered, False
        late = self._everything_since is not None and now - self._everything_since > LATE_SECONDS
        scope = self._prompt
        if ordered:
            scope = scope or Scope()
        elif late:
            scope = None
        if scope is None:
            self._everything_since = None
            self._looked = now
        else:
            self._prompt = None
        self._due_at = now if self._prompt is not None or self._everything_since is not None else None
        return PassRequest(scope, ordered, now)

    def ended(self, end: PassEnd) -> None:
        """A pass has ended so."""
        now = self._clock()
        self._release_at = end.release_at
        if end.complete:
            self._patience, self._retry = RETRY_SECONDS, None
        elif self._retry is None:  # what is due already comes first
            self._retry = now + self._patience, Scope(frr=True) if end.only_frr_waits else None
            self._patience = min(self._patience * 2, RETRY_SECONDS_MAX)
        if end.look_again:
            self.ask()
        self._changed()

    def failed(self, request: PassRequest) -> None:
        """A pass was broken off: it is not known what it did, and what it was to do is still to be done."""
        self._ordered |= request.ordered
        if request.scope is not None:
            self._prompt = request.scope if self._prompt is None else self._prompt | request.scope
        self._due_at = None
        self._retry = self._clock() + self._patience, None
        self._patience = min(self._patience * 2, RETRY_SECONDS_MAX)
        self._changed()

    def _take_what_is_due(self, now: float) -> None:
        """Ask for what the time has come for."""
        if self._retry is not None and now >= self._retry[0]:
            (_, scope), self._retry = self._retry, None
            if scope is not None and now - self._looked < FULL_PASS_SECONDS:
                self._prompt = scope if self._prompt is None else self._prompt | scope
            elif self._everything_since is None:
                self._everything_since = now
        released = self._release_at is not None and now >= self._release_at
        if released:
            self._release_at = None
        if self._everything_since is None and (released or now - self._looked >= FULL_PASS_SECONDS):
            self._everything_since = now
