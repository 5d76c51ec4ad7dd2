"""Hysteresis and history of verdicts. Time is handed in, never read.

Bad news is believed at once. Good news after bad news is believed once it has lasted, so that a flapping
virtual interface reads as the trouble it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dcedge.monitor.health.verdict import State, Verdict
from dcedge.order.field_types import Seconds

STEADY: Seconds = 3.0
KEPT: Seconds = 24 * 3600.0
_TOTAL_TRANSITIONS = 20_000  # over all virtual interfaces: what bounds the memory
_FEWEST, _MOST = 8, 200  # a virtual interface


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state; `at` in seconds of the clock that was handed in."""

    at: Seconds
    before: State
    after: State
    reason: str


class _Track:
    __slots__ = ("better_since", "history", "since", "verdict", "was_up")

    def __init__(self, verdict: Verdict, now: Seconds) -> None:
        self.verdict = verdict
        self.since = now
        self.better_since: Seconds | None = None
        self.was_up = verdict.state == "up"
        self.history: tuple[Transition, ...] = ()


class Tracker:
    """Holds the verdict in force of every virtual interface."""

    def __init__(self, steady: Seconds = STEADY) -> None:
        self._steady = steady
        self._tracks: dict[str, _Track] = {}
        self._new: list[tuple[str, Transition]] = []

    def feed(self, name: str, verdict: Verdict, now: Seconds) -> Verdict:
        """Take a fresh verdict; the one in force comes back."""
        track = self._tracks.get(name)
        if track is None:
            self._tracks[name] = _Track(verdict, now)
            return verdict
        held = track.verdict
        if verdict == held:
            verdict = held  # the same object for as long as nothing changes
        if verdict.state == held.state:
            track.verdict = verdict
            track.better_since = None
            return verdict
        # A virtual interface that was never up has nothing to recover from: it has merely arrived.
        if verdict.state == "up" and held.state in {"down", "degraded"} and track.was_up:
            if track.better_since is None:
                track.better_since = now
            if now - track.better_since < self._steady:
                steady = f"{held.reason.removesuffix(_RECOVERING)}{_RECOVERING}"
                track.verdict = replace(held, reason=steady)
                return track.verdict
        self._enter(name, track, verdict, now)
        return verdict

    def was_up(self, name: str) -> bool:
        """Whether it has ever been up, as far as is remembered."""
        track = self._tracks.get(name)
        return track is not None and track.was_up

    def since(self, name: str) -> Seconds | None:
        """When the state in force began; None of an unknown virtual interface."""
        track = self._tracks.get(name)
        return None if track is None else track.since

    def history(self, name: str) -> tuple[Transition, ...]:
        """The transitions that are kept, oldest first."""
        track = self._tracks.get(name)
        return () if track is None else track.history

    def histories(self) -> dict[str, tuple[Transition, ...]]:
        """The transitions that are kept, of every virtual interface that has any."""
        tracks = list(self._tracks.items())  # at once: verdicts are fed meanwhile
        return {name: track.history for name, track in tracks if track.history}

    def take_new(self) -> list[tuple[str, Transition]]:
        """The transitions since this was last asked, by virtual interface."""
        new, self._new = self._new, []
        return new

    def restore(self, histories: Mapping[str, Iterable[Transition]]) -> None:
        """Take over what an earlier run kept; it comes before what was fed meanwhile."""
        for name, history in histories.items():
            kept = tuple(history)[-_MOST:]
            if not kept:
                continue
            last, fed = kept[-1], self._tracks.get(name)
            track = self._tracks[name] = _Track(Verdict(last.after, last.reason), last.at)
            track.history = kept
            track.was_up = any("up" in (t.before, t.after) for t in kept)
            if fed is not None:
                self._go_on(name, track, fed)

    def _go_on(self, name: str, track: _Track, fed: _Track) -> None:
        """Have a track go on as another one that begins later."""
        if fed.history:
            track.history = (*track.history, *fed.history)[-_MOST:]
            track.verdict, track.since, track.better_since = fed.verdict, fed.since, fed.better_since
        elif fed.verdict.state == track.verdict.state:
            track.verdict = fed.verdict
        else:
            self._enter(name, track, fed.verdict, fed.since)
        track.was_up = track.was_up or fed.was_up

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget the virtual interfaces that left the order."""
        kept = set(names)
        self._tracks = {name: track for name, track in self._tracks.items() if name in kept}

    def _enter(self, name: str, track: _Track, verdict: Verdict, now: Seconds) -> None:
        transition = Transition(now, track.verdict.state, verdict.state, verdict.reason)
        limit = max(_FEWEST, min(_MOST, _TOTAL_TRANSITIONS // len(self._tracks)))
        kept = [*track.history, transition][-limit:]
        self._new.append((name, transition))
        del self._new[:-_TOTAL_TRANSITIONS]
        while len(kept) > 1 and kept[0].at < now - KEPT:
            del kept[0]
        track.history = tuple(kept)
        track.verdict = verdict
        track.since = now
        track.better_since = None
        track.was_up = track.was_up or verdict.state == "up"


_RECOVERING = "; it has recovered, waiting for that to last"
