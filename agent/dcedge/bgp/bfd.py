"""Which BGP sessions do without BFD until they are established. Pure.

FRR 10.2 and 10.3, before their fixes, do not set a session up while its BFD is down. A cloud that has no BFD, or begins
it only when BGP is up, waits for ever there. Such a session is set up without BFD, which joins it when it is up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from dcedge.bgp.state import SessionState

# Two looks at FRR: one may fall between a failure and the timer that bgpd starts after it.
HELD_SECONDS = 1.5
STUCK_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class BfdWaits:
    """The sessions whose BFD waits until they are established, by `place_of`; since when sessions are held back.

    `stuck` are those that bgpd does not start though their BFD is gone: now and then FRR 10.3 has to be told to.
    """

    waiting: frozenset[str] = frozenset()
    held: Mapping[str, float] = field(default_factory=dict)
    stuck: tuple[SessionState, ...] = ()


def place_of(vrf: str | None, peer: object) -> str:
    """A session by its VRF and its peer's address, as it is kept over a restart."""
    return f"{vrf or 'default'} {peer}"


def held_by_bfd(state: SessionState) -> bool:
    """Whether bgpd leaves it Idle, and its BFD is not up: seen, so that no version has to be known."""
    return state.held and state.bfd not in {None, "up"}


def waits_for_bgp(
    sessions: Iterable[SessionState], ordered: Collection[str], previous: BfdWaits, now: float
) -> BfdWaits:
    """Whose BFD waits from now on; `ordered` are the sessions that are to have BFD, `now` is in monotonic seconds."""
    waiting, held, stuck = set(previous.waiting & set(ordered)), {}, []
    for state in sessions:
        place = place_of(state.vrf, state.peer)
        if place not in ordered:
            continue
        if state.up:
            waiting.discard(place)
        elif held_by_bfd(state):
            held[place] = since = previous.held.get(place, now)
            if now - since >= HELD_SECONDS:
                waiting.add(place)
        elif state.held and state.bfd is None and place in waiting:
            held[place] = since = previous.held.get(place, now)
            if now - since >= STUCK_SECONDS:
                stuck.append(state)
                held[place] = now
    return BfdWaits(frozenset(waiting), held, tuple(stuck))
