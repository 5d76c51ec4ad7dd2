"""Whether probes get lost just when a virtual interface is busy: what a policer below the ordered rate looks like.

Loss that does not care about load is the line's or ICMP policing's. Time is not read: one feed is one poll.
"""

from __future__ import annotations

from collections.abc import Iterable

from dcedge.health.verdict import LoadFacts

BUSY, QUIET = 0.10, 0.02  # shares of the ordered rate
_MEMORY = 0.9  # what each new sample leaves of the older ones' weight: some ten samples count
_PROBES_MIN = 8.0


class _Tally:
    """Probes sent and lost under one kind of load, the older ones counting less."""

    __slots__ = ("lost", "sent")

    def __init__(self) -> None:
        self.sent = self.lost = 0.0

    def add(self, sent: int, lost: int) -> None:
        if sent > 0:
            self.sent = self.sent * _MEMORY + sent
            self.lost = self.lost * _MEMORY + lost

    @property
    def loss(self) -> float | None:
        return min(1.0, self.lost / self.sent) if self.sent >= _PROBES_MIN else None


class _Track:
    __slots__ = ("before", "bps", "busy", "lost", "outward", "quiet", "sent")

    def __init__(self) -> None:
        self.busy, self.quiet = _Tally(), _Tally()
        self.before: bool | None = None  # whether the poll before was busy (None: neither busy nor quiet)
        self.sent = self.lost = 0
        self.bps = 0.0
        self.outward = True


class LoadMeter:
    """Sets loss beside load, a virtual interface at a time."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}

    def feed(
        self, name: str, sent: int, lost: int, ordered_bps: int | None, in_bps: float, out_bps: float
    ) -> LoadFacts | None:
        """Take the probes' totals and the rates since the last poll; None while too little is known.

        A probe is known to be lost a poll later than it was sent, so a sample counts only where the load was of the
        same kind over two polls.
        """
        if not ordered_bps:
            return None
        track = self._tracks.setdefault(name, _Track())
        new_sent, new_lost = sent - track.sent, lost - track.lost
        track.sent, track.lost = sent, lost
        share = max(in_bps, out_bps) / ordered_bps
        busy = True if share >= BUSY else (False if share <= QUIET else None)
        if busy is not None and busy is track.before and new_sent >= 0 <= new_lost:
            (track.busy if busy else track.quiet).add(new_sent, new_lost)
            if busy:
                track.bps, track.outward = max(in_bps, out_bps), out_bps >= in_bps
        track.before = busy
        busy_loss, quiet_loss = track.busy.loss, track.quiet.loss
        if busy_loss is None or quiet_loss is None:
            return None
        return LoadFacts(busy_loss, quiet_loss, track.bps, track.outward)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget the virtual interfaces that left the order."""
        kept = set(names)
        for name in self._tracks.keys() - kept:
            del self._tracks[name]
