"""Repairs that do not last: somebody else keeps undoing them. Noticed, slowed down, and said; never fought for ever.

Pure: time is handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from dcedge.resource import Key

REPAIRS, WINDOW_SECONDS = 5, 60.0  # as many repairs of one thing in this time are a fight
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 30.0, 600.0
KEPT_SECONDS = 3600.0  # without a repair for so long, a fight is over


@dataclass(slots=True)
class _Fight:
    device: int
    repairs: deque[float] = field(default_factory=lambda: deque(maxlen=REPAIRS))
    pause: float = 0.0
    held_until: float = 0.0
    last: float = 0.0  # repair


@dataclass(slots=True)
class Fights:
    """What was repaired how often, and what is left alone for a while because of it."""

    _by_key: dict[Key, _Fight] = field(default_factory=dict)

    def repaired(self, keys: Mapping[Key, int], now: float) -> list[Key]:
        """Note repairs; those that have become a fight with this one.

        Each with the index of the device that it rests on: what goes with its port comes back with it, and nobody
        fights.
        """
        fresh = []
        for key, device in keys.items():
            fight = self._by_key.setdefault(key, _Fight(device))
            if fight.device != device:
                fight.device = device
                fight.repairs.clear()
            fight.repairs.append(now)
            fight.last = now
            if len(fight.repairs) == REPAIRS and now - fight.repairs[0] <= WINDOW_SECONDS:
                fight.pause = min(max(PAUSE_SECONDS, fight.pause * 2), PAUSE_SECONDS_MAX)
                fight.held_until = now + fight.pause
                fight.repairs.clear()
                fresh.append(key)
        for key in [key for key, fight in self._by_key.items() if fight.last < now - KEPT_SECONDS]:
            del self._by_key[key]
        return fresh

    def held(self, now: float) -> frozenset[Key]:
        """What is not to be repaired now."""
        return frozenset(key for key, fight in self._told() if fight.held_until > now)

    def next_release(self, now: float) -> float | None:
        """When the next of those may be repaired again; None where there is none."""
        return min((fight.held_until for _, fight in self._told() if fight.held_until > now), default=None)

    def forget(self) -> None:
        """A new order: whatever it asks for is asked for afresh."""
        self._by_key.clear()

    def told(self, now: float) -> list[str]:
        """The fights under way, in words."""
        return [
            f"{key} is undone by somebody else again and again; not repaired for another {fight.held_until - now:.0f} s"
            for key, fight in sorted(self._told(), key=lambda told: told[0])
            if fight.held_until > now
        ]

    def _told(self) -> list[tuple[Key, _Fight]]:
        """All of them, at this moment: a pass in another thread may add some."""
        return list(self._by_key.items())
