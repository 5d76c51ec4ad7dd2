"""Where the next passes look: first where something changed, then at everything."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


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
    """The passes that are asked for and have not begun."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._prompt: Scope | None = None
        self._everything = False

    def ask(self, scope: Scope | None = None) -> None:
        """Ask for a pass where something changed, or (without a scope) for one over everything."""
        if scope is None:
            self._everything = True
        else:
            self._prompt = scope if self._prompt is None else self._prompt | scope
        self._asked.set()

    def take(self, *, ordered: bool) -> Scope | None:
        """Where the pass that begins now looks; None: everywhere. An `ordered` one looks where the order differs."""
        scope = self._prompt
        if scope is None and ordered:
            scope = Scope()
        self._prompt = None
        if scope is None:
            self._everything = False
        if not self._everything:
            self._asked.clear()
        return scope

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
        return self._prompt is not None
