"""Where the next passes look: first where something changed, then at everything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

LATE_SECONDS = 30.0


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


class Wanted:
    """The passes that are asked for and have not begun.

    Changes go first; but a look at everything that has waited for `LATE_SECONDS` goes before them, and is not put off
    again: it also sees to what nobody tells of.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked = asyncio.Event()
        self._prompt: Scope | None = None
        self._everything = False
        self._waits_since: float | None = None  # since when a look at everything is asked for, or begun and put off

    def ask(self, scope: Scope | None = None) -> None:
        """Ask for a pass where something changed, or (without a scope) for one over everything."""
        if scope is None:
            self._everything = True
            if self._waits_since is None:
                self._waits_since = self._clock()
        else:
            self._prompt = scope if self._prompt is None else self._prompt | scope
        self._asked.set()

    def take(self, *, ordered: bool) -> Scope | None:
        """Where the pass that begins now looks; None: everywhere. An `ordered` one looks where the order differs."""
        scope = self._prompt
        if ordered:
            scope = scope or Scope()
        elif self._everything and self._late:
            scope = None
        if scope is None:
            self._everything = False
        else:
            self._prompt = None
        if not self._everything and self._prompt is None:
            self._asked.clear()
        return scope

    def looked(self) -> None:
        """A look at everything is over."""
        self._waits_since = self._clock() if self._everything else None

    async def wait(self) -> None:
        """Until a pass is asked for."""
        await self._asked.wait()

    @property
    def pending(self) -> bool:
        """Whether any is asked for."""
        return self._asked.is_set()

    @property
    def pressing(self) -> bool:
        """Whether one is asked for that is not to wait for a look at everything. For any thread."""
        return self._prompt is not None and not self._late

    @property
    def _late(self) -> bool:
        since = self._waits_since
        return since is not None and self._clock() - since > LATE_SECONDS
