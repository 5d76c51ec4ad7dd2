"""How many prefixes each peer announces, whatever the inbound policy makes of them.

bgpd keeps them (`soft-reconfiguration inbound`) and counts them when asked, by a walk of the whole table: 10,000
prefixes take a few milliseconds of its main thread, a full table a third of a second. So it is asked only where a table
has changed in size since, for a few sessions at a time, and for a small share of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.frr.state import FAMILY_NAMES, Place, SessionState, parse_object
from dcedge.order.field_types import Family

Ask = Callable[[str], str]
Table = tuple[str, Family]  # of a VRF
Counted = tuple[Place, Family]

_QUESTIONS_MAX = 16
_SECONDS_MAX = 0.02
_SHARE = 0.02  # of the time, at most, bgpd counts


def table_sizes(summary: Mapping[str, object]) -> dict[Table, int]:
    """The number of entries of each table, as bgpd's summary has it."""
    return {
        (vrf, FAMILY_NAMES[name]): size
        for vrf, families in summary.items()
        for name, table in (families.items() if isinstance(families, dict) else ())
        if name in FAMILY_NAMES and isinstance(table, dict) and isinstance(size := table.get("ribCount"), int)
    }


@dataclass(frozen=True, slots=True)
class _Count:
    """When it was counted (monotonic), and for what: the session's number, its table's size."""

    at: float
    transitions: int
    size: int


class AnnouncedReader:
    """Keeps the counts up to date, a few questions a look. `known` are the counts as they are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.known: dict[Counted, int | None] = {}
        self._clock = clock
        self._counts: dict[Counted, _Count] = {}
        self._rests_until = 0.0

    def fill(self, states: tuple[SessionState, ...], sizes: Mapping[Table, int], ask: Ask) -> tuple[SessionState, ...]:
        """The sessions, which have what was known before, with what was counted now.

        Raises:
            FrrUnavailableError: bgpd does not answer.
        """
        current = {
            (state.place, counts.family): (state, size)
            for state in states
            if state.up
            for counts in state.prefixes
            if (size := sizes.get((state.vrf, counts.family))) is not None
        }
        for key in self._counts.keys() - current.keys():
            del self._counts[key], self.known[key]
        fresh = self._count(current, ask)
        return tuple(self._filled(state) if state.place in fresh else state for state in states) if fresh else states

    def _count(self, current: Mapping[Counted, tuple[SessionState, int]], ask: Ask) -> set[Place]:
        """Have some more counted; whose sessions they are."""
        started = now = self._clock()
        if now < self._rests_until:
            return set()
        due = [key for key, (state, size) in current.items() if self._is_due(key, state, size)]
        due.sort(key=lambda key: self._counts[key].at if key in self._counts else 0.0)
        fresh = set()
        for key in due[:_QUESTIONS_MAX]:
            state, size = current[key]
            self.known[key] = _announced(state, key[1], ask)
            self._counts[key] = _Count(now, state.transitions, size)
            fresh.add(key[0])
            if (now := self._clock()) - started > _SECONDS_MAX:
                break
        self._rests_until = now + (now - started) / _SHARE
        return fresh

    def _is_due(self, key: Counted, state: SessionState, size: int) -> bool:
        count = self._counts.get(key)
        return count is None or (count.transitions, count.size) != (state.transitions, size)

    def _filled(self, state: SessionState) -> SessionState:
        prefixes = (replace(one, received=self.known.get((state.place, one.family))) for one in state.prefixes)
        return replace(state, prefixes=tuple(prefixes))


def _announced(state: SessionState, family: Family, ask: Ask) -> int | None:
    """What a peer announces; None where bgpd does not say, as of a session that has ended meanwhile."""
    command = f"show bgp vrf {state.vrf} {family} unicast neighbors {state.peer} prefix-counts json"
    try:
        answer = ask(command)
    except FrrUnavailableError:
        raise
    except FrrError:
        return None
    with suppress(FrrError):
        counters = parse_object(answer, command).get("ribTableWalkCounters")
        found = counters.get("Adj-in") if isinstance(counters, dict) else None
        return found if isinstance(found, int) else None
    return None
