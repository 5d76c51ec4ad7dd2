"""What each processor did with received packets, as the kernel counts it in /proc/net/softnet_stat.

The kernel's net/core/net-procfs.c: hexadecimal words of 32 bits, a row a processor: packets processed, packets dropped
because the backlog was full, how often the time or the budget ended with work left, …; the thirteenth is its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOFTNET_STAT = Path("/proc/self/net/softnet_stat")
_NUMBER = 12


@dataclass(frozen=True, slots=True)
class SoftnetCounters:
    """One processor's counters since boot; they begin anew at 2**32."""

    processor: int
    processed: int
    dropped: int
    time_squeezed: int


def read_softnet(path: Path = SOFTNET_STAT) -> tuple[SoftnetCounters, ...]:
    """Every processor's; none where the kernel does not tell."""
    try:
        rows = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
        return tuple(_counters(place, [int(word, 16) for word in row]) for place, row in enumerate(rows))
    except (OSError, ValueError):
        return ()


def _counters(place: int, words: list[int]) -> SoftnetCounters:
    processed, dropped, squeezed = words[:3]
    return SoftnetCounters(words[_NUMBER] if len(words) > _NUMBER else place, processed, dropped, squeezed)
