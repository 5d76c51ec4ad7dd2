"""Which BGP sessions do without BFD until they are established. Pure.

FRR 10.2 and 10.3, before their fixes, do not set a session up while its BFD is down. A cloud that has no BFD, or begins
it only when BGP is up, waits for ever there. Such a session is set up without BFD, which joins it when it is up.

A cloud that does the same waits for our BFD, and its BFD needs ours. So BFD has its chance first, from when the cloud
can be reached; and where BGP does not come up without it either, the two take turns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from dcedge.frr.state import SessionState

# A BFD session starts with a packet a second, each way (RFC 5880, 6.8.3), and takes three of them.
HELD_SECONDS = 6.0
STUCK_SECONDS = 3.0
TURN_SECONDS = 20.0  # several of bgpd's attempts to connect


@dataclass(frozen=True, slots=True)
class BfdWaits:
    """The sessions whose BFD waits until they are established, by `place_of`.

    `held` and `since` are when a session was first seen held back, and when it began to wait (monotonic seconds).
    `stuck` are those that bgpd does not start though their BFD is gone: now and then FRR 10.3 has to be told to.
    """

    waiting: frozenset[str] = frozenset()
    held: Mapping[str, float] = field(default_factory=dict)
    since: Mapping[str, float] = field(default_factory=dict)
    stuck: tuple[SessionState, ...] = ()


def place_of(vrf: str | None, peer: object) -> str:
    """A session by its VRF and its peer's address, as it is kept over a restart."""
    return f"{vrf or 'default'} {peer}"


def held_by_bfd(state: SessionState) -> bool:
    """Whether bgpd leaves it Idle, and its BFD is not up: seen, so that no version has to be known."""
    return state.held and state.bfd not in {None, "up"}


def waits_for_bgp(
    sessions: Iterable[SessionState],
    ordered: Collection[str],
    unreachable: Collection[str],
    previous: BfdWaits,
    now: float,
) -> BfdWaits:
    """Whose BFD waits from now on; `now` is in monotonic seconds.

    `ordered` are the sessions that are to have BFD, `unreachable` those whose cloud answers nothing: they wait for it.
    """
    since = {place: previous.since.get(place, now) for place in previous.waiting if place in ordered}
    held, stuck = {}, []
    for state in sessions:
        place = place_of(state.vrf, state.peer)
        if place not in ordered:
            continue
        if state.up or (place in since and now - since[place] >= TURN_SECONDS):
            since.pop(place, None)
        elif place in since and state.bfd is None and state.held:
            held[place] = begun = previous.held.get(place, now)
            if now - begun >= STUCK_SECONDS:
                stuck.append(state)
                held[place] = now
        elif place not in since and place not in unreachable and held_by_bfd(state):
            held[place] = begun = previous.held.get(place, now)
            if now - begun >= HELD_SECONDS:
                since[place] = now
    return BfdWaits(frozenset(since), held, since, tuple(stuck))
