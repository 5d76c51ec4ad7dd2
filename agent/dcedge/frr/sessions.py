"""Reads the sessions from bgpd, with what it tells of each only once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from dcedge.frr.announced import AnnouncedReader, Ask, table_sizes
from dcedge.frr.state import (
    ALL_NEIGHBORS,
    SUMMARY,
    Place,
    SessionState,
    more_telling,
    parse_neighbor,
    parse_object,
    parse_sessions,
    summary_states,
)

# More sessions than this are asked for all at once: a question costs a millisecond, the account of a session a third.
_SINGLE_QUESTIONS_MAX = 16


class SessionReader:
    """Reads all sessions from bgpd, the full account only of those that are down or were lost since the last time.

    Why a session was lost is remembered: bgpd forgets it with the next attempt, or as soon as the session is up again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._last: dict[Place, SessionState] = {}
        self._announced = AnnouncedReader(clock)

    def read(self, ask: Ask) -> tuple[SessionState, ...]:
        """Every session; `ask` puts a question to bgpd.

        Raises:
            FrrError: bgpd's answer is none.
        """
        summary = parse_object(ask(SUMMARY), SUMMARY)
        seen = summary_states(summary, self._announced.known)
        unclear = [state for state in seen if not state.up or self._lost_since(state)]
        told: dict[Place, SessionState] = {}
        if len(unclear) > _SINGLE_QUESTIONS_MAX:
            told = {state.place: state for state in parse_sessions(ask(ALL_NEIGHBORS))}
        else:
            for state in unclear:
                answer = ask(f"show bgp vrf {state.vrf} neighbors {state.peer} json")
                told |= {one.place: one for one in parse_neighbor(answer, state.vrf)}
        states = tuple(self._with_reason(told.get(state.place, state)) for state in seen)
        self._last = {state.place: state for state in states}
        return self._announced.fill(states, table_sizes(summary), ask)

    def _lost_since(self, state: SessionState) -> bool:
        last = self._last.get(state.place)
        return last is None or last.transitions != state.transitions

    def _with_reason(self, state: SessionState) -> SessionState:
        last = self._last.get(state.place)
        if last is None or last.transitions > state.transitions:  # the latter: bgpd was restarted, and counts anew
            return state
        if last.transitions < state.transitions:
            return replace(state, earlier_reset=last.last_reset or last.earlier_reset)
        reason = more_telling(state.last_reset, last.last_reset)
        return replace(state, last_reset=reason, earlier_reset=last.earlier_reset)
