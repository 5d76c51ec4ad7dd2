"""A policer's rate and burst, from which packets of a burst came through. Pure.

A policer is a bucket of `burst` bytes that fills at `rate`: it drops where the bucket holds less than the packet. So at
each drop what has passed until then is burst + rate * time, less a packet's length at most: a line through the drops
has the rate as its slope and the burst where it begins.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dcedge.kernel.queue.shaping import POLICER_SECONDS, burst_bytes, packet_bytes

DROPS_MIN = 20  # fewer say nothing of a slope
PAUSE_SECONDS = 0.001  # a bucket holds longer than that
FITS = 0.005  # a rate this close to the order is the order's


@dataclass(frozen=True, slots=True)
class Policer:
    """Bits a second and bytes, as the shaper counts them."""

    rate_bps: float
    burst_bytes: float


def find_policer(sent_at: Sequence[float], came: Collection[int], size: int) -> Policer | None:
    """The policer that let through those of the packets (by number) that came, each of `size` bytes.

    `sent_at` in seconds. None where too few were dropped to tell: there is none, or the burst was too small for it.
    """
    stretches = _stretches(sent_at, came, size)
    if sum(map(len, stretches)) < DROPS_MIN:
        return None
    # One slope for all stretches, each with a beginning of its own.
    rise = spread = 0.0
    for drops in stretches:
        middle_at, middle_passed = _middle(drops)
        rise += sum((at - middle_at) * (passed - middle_passed) for at, passed in drops)
        spread += sum((at - middle_at) ** 2 for at, _ in drops)
    if not spread:
        return None
    slope = rise / spread
    middle_at, middle_passed = _middle(stretches[0])
    return Policer(slope * 8, max(0.0, middle_passed - slope * middle_at))


def _stretches(sent_at: Sequence[float], came: Collection[int], size: int) -> list[list[tuple[float, float]]]:
    """The drops as time and bytes passed by then, in stretches: where the sender paused, the bucket may have filled up.

    In the middle of a drop's packet's length lies what the bucket had, on average.
    """
    gaps = sorted(later - earlier for earlier, later in pairwise(sent_at))
    pause = max(PAUSE_SECONDS, 8 * gaps[len(gaps) // 2])
    stretches: list[list[tuple[float, float]]] = [[]]
    passed, before = 0, sent_at[0]
    for number, at in enumerate(sent_at):
        if at - before > pause:
            stretches.append([])
        before = at
        if number in came:
            passed += size
        else:
            stretches[-1].append((at - sent_at[0], passed + size / 2))
    return [drops for drops in stretches if len(drops) > 1]


def _middle(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


def advice(found: Policer, ordered_bps: int, mtu: int, overhead: int) -> list[str]:
    """What follows from it, in words."""
    lines = []
    difference = found.rate_bps / ordered_bps - 1
    if abs(difference) <= FITS:
        lines.append("the policer has the ordered rate: the shaper matches it")
    else:
        than = "less than" if difference < 0 else "more than"
        fitting = int(found.rate_bps * (1 - FITS) / 1000) * 1000
        lines.append(f"the policer has {abs(difference):.1%} {than} what is ordered")
        lines.append(f"a shaper that just matches: bandwidth: {fitting // 1000}K")
    needs = burst_bytes(ordered_bps, mtu, overhead) + packet_bytes(ordered_bps, mtu, overhead)
    if found.burst_bytes < needs:
        lines.append(
            f"it allows a burst of {found.burst_bytes:.0f} bytes, the shaper may send {needs}: ask the provider for"
            f" {needs} bytes of burst ({POLICER_SECONDS * 1000:g} ms is usual)"
        )
    return lines
