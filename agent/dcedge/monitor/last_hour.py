"""The last hour of every virtual interface, a point a minute: what the status page and `top` draw.

Time is handed in.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from dcedge.monitor.snapshot import VirtualInterfaceSnapshot

POINTS, STEP_SECONDS = 60, 60.0


class Curves(NamedTuple):
    """One virtual interface's points, oldest first, the last one of the time just past; None: not known.

    Round trips in seconds, loss as a share, rates in bits a second.
    """

    rtt: tuple[float | None, ...] = ()
    loss: tuple[float | None, ...] = ()
    receive_bps: tuple[float | None, ...] = ()
    transmit_bps: tuple[float | None, ...] = ()


_WIDTH = len(Curves._fields)


class _Series:
    """One virtual interface: its points, each as long as `Curves`, and the totals at the last of them."""

    __slots__ = ("points", "totals")

    def __init__(self, totals: array[float]) -> None:
        self.points = array("f")  # NaN where nothing is known
        self.totals = totals


class Hour:
    """Takes a point of everything whenever a step is over."""

    def __init__(self, step: float = STEP_SECONDS) -> None:
        self._step = step
        self._last: float | None = None
        self._tracks: dict[str, _Series] = {}

    def feed(self, interfaces: Iterable[VirtualInterfaceSnapshot], at: float) -> None:
        """Look at all virtual interfaces, as often as you like; those that are not among them are forgotten."""
        if self._last is not None and 0 <= at - self._last < self._step:
            return
        seconds = at - self._last if self._last is not None else 0.0
        self._last = at
        missed = min(POINTS, round(seconds / self._step) - 1) if seconds > 0 else 0
        before, self._tracks = self._tracks, {}
        for vi in interfaces:
            totals = _totals(vi)
            track = before.get(vi.name)
            if track is None:
                track = _Series(totals)
            else:
                track.points.extend([math.nan] * _WIDTH * missed)
                track.points.extend(_point(track.totals, totals, seconds))
                del track.points[: -POINTS * _WIDTH]
                track.totals = totals
            self._tracks[vi.name] = track

    def curves(self, name: str) -> Curves:
        """What is kept of one virtual interface."""
        track = self._tracks.get(name)
        if track is None:
            return Curves()
        points = track.points[:]  # another thread may be adding to them
        return Curves(*(tuple(map(_known, points[at::_WIDTH])) for at in range(_WIDTH)))


def _known(value: float) -> float | None:
    """To three digits: a line that is drawn shows no more."""
    return None if math.isnan(value) else float(f"{value:.3g}")


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


def _point(before: array[float], now: array[float], seconds: float) -> tuple[float, ...]:
    """Round trip, loss and the two rates of the time between two totals; one that ran backwards began anew."""
    sent, lost, answered, together, received, transmitted = (b - a for a, b in zip(before, now, strict=True))
    return (
        together / answered if answered > 0 <= together else math.nan,
        # A probe is known to be lost a second after it was sent.
        min(1.0, lost / sent) if sent > 0 <= lost else math.nan,
        received * 8 / seconds if received >= 0 < seconds else math.nan,
        transmitted * 8 / seconds if transmitted >= 0 < seconds else math.nan,
    )
