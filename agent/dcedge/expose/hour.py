"""The last hour of every virtual interface, a point a minute: what the status page and `top` draw.

There are thousands, so a point is four numbers of 16 bits, on scales on which they are off by less than a thousandth:
half a kilobyte a virtual interface. Time is handed in.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from dcedge.expose.snapshot import VirtualInterfaceSnapshot
from dcedge.turns import in_turns

POINTS, STEP_SECONDS = 60, 60.0
_UNKNOWN, _FULL = 0, 0xFFFF
_LONGEST_SECONDS, _MICROSECOND = 10.0, 1e-6
_FASTEST_BPS = 1e12


class Curves(NamedTuple):
    """One virtual interface's points, oldest first, the last one of the time just past; None: not known.

    Round trips in seconds, loss as a share, rates in bits a second.
    """

    rtt: tuple[float | None, ...] = ()
    loss: tuple[float | None, ...] = ()
    receive_bps: tuple[float | None, ...] = ()
    transmit_bps: tuple[float | None, ...] = ()


class _Scale:
    """Numbers from 0 to `largest` as 1 to 65535: evenly spaced below `unit`, by their logarithm above it."""

    def __init__(self, largest: float, unit: float) -> None:
        self._unit = unit
        self._steps = (_FULL - 1) / math.log1p(largest / unit)

    def write(self, value: float | None) -> int:
        if value is None or value < 0:
            return _UNKNOWN
        return min(_FULL, 1 + round(self._steps * math.log1p(value / self._unit)))

    def read(self, written: int) -> float | None:
        if written == _UNKNOWN:
            return None
        return float(f"{self._unit * math.expm1((written - 1) / self._steps):.3g}")  # no more than was kept


_RTT, _LOSS, _BPS = _Scale(_LONGEST_SECONDS, _MICROSECOND), _Scale(1.0, 1e-3), _Scale(_FASTEST_BPS, 1.0)
_SCALES = (_RTT, _LOSS, _BPS, _BPS)


class _Track:
    """One virtual interface: its points, one after the other, and the totals at the last of them."""

    __slots__ = ("points", "totals")

    def __init__(self, totals: array[float]) -> None:
        self.points = array("H")
        self.totals = totals


class Hour:
    """Takes a point of everything whenever a step is over."""

    def __init__(self, step: float = STEP_SECONDS) -> None:
        self._step = step
        self._last: float | None = None
        self._tracks: dict[str, _Track] = {}

    def feed(self, interfaces: Iterable[VirtualInterfaceSnapshot], at: float) -> None:
        """Look at all virtual interfaces, as often as you like; those that are not among them are forgotten."""
        if self._last is not None and 0 <= at - self._last < self._step:
            return
        seconds = at - self._last if self._last is not None else 0.0
        self._last = at
        missed = min(POINTS, round(seconds / self._step) - 1) if seconds > 0 else 0
        before, self._tracks = self._tracks, {}
        for vi in in_turns(interfaces):
            totals = _totals(vi)
            track = before.get(vi.name)
            if track is None:
                track = _Track(totals)
            else:
                track.points.extend([_UNKNOWN] * len(_SCALES) * missed)
                point = _point(track.totals, totals, seconds)
                track.points.extend(scale.write(value) for scale, value in zip(_SCALES, point, strict=True))
                del track.points[: -POINTS * len(_SCALES)]
                track.totals = totals
            self._tracks[vi.name] = track

    def curves(self, name: str) -> Curves:
        """What is kept of one virtual interface."""
        track = self._tracks.get(name)
        if track is None:
            return Curves()
        points = track.points[:]  # another thread may be adding to them
        read = [
            tuple(map(scale.read, points[at :: len(_SCALES)])) for at, scale in enumerate(_SCALES)
        ]  # fmt: skip
        return Curves(*read)


def _totals(vi: VirtualInterfaceSnapshot) -> array[float]:
    """Probes sent and lost, round trips and their sum, bytes received and sent; all since their start."""
    counters = vi.counters
    return array(
        "d",
        (
            sum(probe.sent for probe in vi.probes),
            sum(probe.lost for probe in vi.probes),
            sum(sum(probe.histogram.counts) for probe in vi.probes),
            sum(probe.histogram.total for probe in vi.probes),
            math.nan if counters is None else counters.receive_bytes,
            math.nan if counters is None else counters.transmit_bytes,
        ),
    )


def _point(before: array[float], now: array[float], seconds: float) -> tuple[float | None, ...]:
    """Round trip, loss and the two rates of the time between two totals; one that ran backwards began anew."""
    sent, lost, answered, together, received, transmitted = (b - a for a, b in zip(before, now, strict=True))
    well = sent > 0 <= lost
    return (
        together / answered if answered > 0 <= together else None,
        # A probe is known to be lost a second after it was sent.
        min(1.0, lost / sent) if well else None,
        received * 8 / seconds if received >= 0 < seconds else None,
        transmitted * 8 / seconds if transmitted >= 0 < seconds else None,
    )
