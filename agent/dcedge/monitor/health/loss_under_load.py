"""Whether probes get lost just when a virtual interface is busy: what a policer below the ordered rate looks like.

A policer counts bytes and so hits full-size packets first; therefore more of the probes are of full size while a
virtual interface is busy. Loss that does not care about load is the line's or ICMP policing's. Time is not read: one
feed is one poll.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dcedge.monitor.health.facts import LoadFacts

BUSY, QUIET = 0.10, 0.02  # shares of the ordered rate
_MEMORY = 0.9  # what each new sample leaves of the older ones' weight: some ten samples count
_PROBES_MIN = 8.0
_REMEMBERED_POLLS = 10  # after the load is gone


class _Tally(NamedTuple):
    """Probes sent and lost under one kind of load, the older ones counting less."""

    sent: float
    lost: float

    def plus(self, sent: int, lost: int) -> _Tally:
        return _Tally(self.sent * _MEMORY + sent, self.lost * _MEMORY + lost) if sent > 0 else self

    @property
    def loss(self) -> float | None:
        return min(1.0, self.lost / self.sent) if self.sent >= _PROBES_MIN else None


_NONE = _Tally(0.0, 0.0)


class _LoadTrack:
    __slots__ = ("before", "bps", "busy", "full_size", "last", "outward", "quiet", "since_busy")

    def __init__(self) -> None:
        self.busy = self.quiet = self.full_size = _NONE
        self.before: bool | None = None  # whether the poll before was busy (None: neither busy nor quiet)
        self.last = ProbeTotals(0, 0, 0, 0)
        self.bps = 0.0
        self.outward = True
        self.since_busy = 0  # polls


class ProbeTotals(NamedTuple):
    """Probes of a virtual interface since their start, and the full-size ones among them."""

    sent: int
    lost: int
    full_size_sent: int
    full_size_lost: int


def is_busy(ordered_bps: int | None, in_bps: float, out_bps: float) -> bool:
    """Whether a virtual interface carries a good part of what was ordered."""
    return bool(ordered_bps) and max(in_bps, out_bps) >= BUSY * (ordered_bps or 0)


class LoadMeter:
    """Sets loss beside load, a virtual interface at a time."""

    def __init__(self) -> None:
        self._tracks: dict[str, _LoadTrack] = {}

    def feed(
        self, name: str, totals: ProbeTotals, ordered_bps: int | None, in_bps: float, out_bps: float
    ) -> LoadFacts | None:
        """Take the probes' totals and the rates since the last poll; None while too little is known or long past.

        A probe is known to be lost a poll later than it was sent, so a sample counts only where the load was of the
        same kind over two polls.
        """
        if not ordered_bps:
            return None
        track = self._tracks.setdefault(name, _LoadTrack())
        last, track.last = track.last, totals
        new = ProbeTotals(*(now - before for now, before in zip(totals, last, strict=True)))
        busy: bool | None = is_busy(ordered_bps, in_bps, out_bps)
        if not busy and max(in_bps, out_bps) > QUIET * ordered_bps:
            busy = None
        if new.lost >= new.sent > 0:
            busy = None  # an outage, which no policer makes
        if busy is not None and busy is track.before and min(new) >= 0:
            if busy:
                track.busy = track.busy.plus(new.sent, new.lost)
                track.full_size = track.full_size.plus(new.full_size_sent, new.full_size_lost)
                track.bps, track.outward = max(in_bps, out_bps), out_bps >= in_bps
            else:
                track.quiet = track.quiet.plus(new.sent, new.lost)
        track.before = busy
        track.since_busy = 0 if busy else track.since_busy + 1
        busy_loss, quiet_loss = track.busy.loss, track.quiet.loss
        if busy_loss is None or quiet_loss is None or track.since_busy > _REMEMBERED_POLLS:
            return None
        return LoadFacts(busy_loss, quiet_loss, track.bps, track.outward, track.full_size.loss)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget the virtual interfaces that left the order."""
        kept = set(names)
        for name in self._tracks.keys() - kept:
            del self._tracks[name]
