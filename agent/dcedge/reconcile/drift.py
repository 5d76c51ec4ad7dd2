"""Repairs that do not last, as something else keeps undoing them: noticed, suppressed for a while, and reported.

Pure: time is handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from dcedge.kernel.sysctl.derive import IPV4_FORWARDING, IPV6_FORWARDING
from dcedge.plan.resource import Key

REPAIRS, WINDOW_SECONDS = 5, 60.0  # as many repairs of one thing in this time are too many
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 30.0, 600.0
# Whoever switches forwarding off again and again means it: it stays off until somebody applies an order.
FORWARDING = frozenset({setting.key for setting in (IPV4_FORWARDING, IPV6_FORWARDING)})
FORWARDING_REPAIRS, FORWARDING_WINDOW_SECONDS = 3, 600.0
KEPT_SECONDS = 3600.0  # without a repair for so long, all is forgotten


@dataclass(frozen=True, slots=True)
class PortState:
    """A port as it was at a repair: its index, and how often it had lost or got its carrier."""

    index: int
    carrier_changes: int = 0


@dataclass(slots=True)
class _Repairs:
    port: PortState
    times: deque[float] = field(default_factory=lambda: deque(maxlen=REPAIRS))
    pause: float = 0.0
    suppressed_until: float = 0.0
    last: float = 0.0


@dataclass(slots=True)
class Drift:
    """What was repaired how often, and whose repair is suppressed because of it."""

    _by_key: dict[Key, _Repairs] = field(default_factory=dict)

    def repaired(self, keys: Mapping[Key, PortState], now: float) -> list[Key]:
        """Note repairs; those whose next repair is suppressed from now on.

        Each with the port that it depends on: what goes with that, or with its carrier, comes back with it, and nobody
        has undone it.
        """
        fresh = []
        for key, port in keys.items():
            repairs = self._by_key.setdefault(key, _Repairs(port))
            if repairs.port != port:
                repairs.port = port
                repairs.times.clear()
            repairs.times.append(now)
            repairs.last = now
            many, window = _limits(key)
            if len(repairs.times) >= many and now - repairs.times[-many] <= window:
                longer = min(max(PAUSE_SECONDS, repairs.pause * 2), PAUSE_SECONDS_MAX)
                repairs.pause = inf if key in FORWARDING else longer
                repairs.suppressed_until = now + repairs.pause
                repairs.times.clear()
                fresh.append(key)
        for key in [key for key, repairs in self._by_key.items() if _is_over(repairs, now)]:
            del self._by_key[key]
        return fresh

    def suppressed(self, now: float) -> frozenset[Key]:
        """What is not to be repaired now."""
        return frozenset(key for key, repairs in self._by_key.items() if repairs.suppressed_until > now)

    def next_end(self, now: float) -> float | None:
        """When the next of those may be repaired again; None where there is none."""
        until = (repairs.suppressed_until for repairs in self._by_key.values())
        return min((end for end in until if now < end < inf), default=None)

    def forget(self) -> None:
        """A new order: whatever it asks for is asked for afresh."""
        self._by_key.clear()

    def notes(self, now: float) -> list[str]:
        """What is suppressed, in words."""
        return [
            f"repair of {key} is suppressed {_until(end, now)}: something else keeps undoing it"
            for key, repairs in sorted(self._by_key.items(), key=lambda item: item[0])
            if (end := repairs.suppressed_until) > now
        ]


def _limits(key: Key) -> tuple[int, float]:
    """How many repairs of it in how many seconds are too many."""
    return (FORWARDING_REPAIRS, FORWARDING_WINDOW_SECONDS) if key in FORWARDING else (REPAIRS, WINDOW_SECONDS)


def _is_over(repairs: _Repairs, now: float) -> bool:
    return repairs.last < now - KEPT_SECONDS and repairs.suppressed_until < now


def _until(end: float, now: float) -> str:
    return "until the next apply" if end == inf else f"for {end - now:.0f} s"
