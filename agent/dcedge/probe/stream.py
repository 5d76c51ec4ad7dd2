"""One stream of probes: what is under way, what came back, and the statistics of both.

There are thousands of them, so a stream is small, and what is only looked at now and then is computed when it is.
"""

from __future__ import annotations

import secrets
from array import array
from typing import NamedTuple

from dcedge.order.field_types import Family, Seconds
from dcedge.probe.histogram import Histogram, HistogramCounts
from dcedge.probe.icmp import path_to
from dcedge.probe.schedule import ProbeSlot
from dcedge.probe.target import Target

LOST_AFTER: Seconds = 1.0
SILENT_IN_A_ROW = 4
WINDOW = 64  # probes whose outcome the recent loss and RTT are computed over
_LOST_AFTER_NS = int(LOST_AFTER * 1e9)
_RING_MIN = 8

# One probe in so many is a packet of full size instead; where that had no answer, the next comes sooner. They have
# sequences of their own, and say nothing of loss or round trips: they are few, and may fail for another reason.
FULL_SIZE_EVERY, FULL_SIZE_AGAIN = 60, 10
# While its virtual interface is busy they are many more: a policer, which counts bytes, lets small packets through.
FULL_SIZE_BUSY = 3
FULL_SIZE_MISSES = 3  # where a tenth is lost, that is one false word in a thousand
FULL_SIZE = 1 << 31  # marks their sequences

# In the ring a probe under way stands as the time it left at (ns of CLOCK_REALTIME), later as what became of it.
_UNTIMED, _ANSWERED, _LOST, _LATE = 0, -1, -2, -3
# In the window a round trip stands as nanoseconds: at most LOST_AFTER, so this is none.
_NO_ROUND_TRIP = 0xFFFFFFFF


class ProbeStats(NamedTuple):
    """What is known of one stream. Totals count from its start; `window_*` and `rtt_*` cover its last 64.

    Times in seconds; None where nothing was measured yet. `interval` is the one in force, `ordered_interval`
    the order's. `error` says why the last probe could not be sent; such a probe counts as lost in the window
    and not at all in `sent`. `mtu` is the size of the full-size probes (an IP packet, not to be fragmented), of which
    the last one was answered or not, `full_size_misses` in a row not. `router_late` is what this router waited for a
    processor in a second of the window's: then its round trips and losses are no word on the line.
    """

    virtual_interface: str
    family: Family
    destination: str
    interval: Seconds
    ordered_interval: Seconds
    sent: int
    received: int
    lost: int
    late: int
    duplicates: int
    reordered: int
    send_errors: int
    error: str | None
    window_probes: int
    window_lost: int
    rtt_last: Seconds | None
    rtt_min: Seconds | None
    rtt_average: Seconds | None
    jitter: Seconds | None
    histogram: HistogramCounts
    lost_in_a_row: int = 0
    mtu: int | None = None
    full_size_answered: bool | None = None
    full_size_misses: int = 0
    full_size_sent: int = 0
    full_size_lost: int = 0
    router_late: Seconds = 0.0


class Stream:
    """The state of one target: a ring of recent probes, counters, and the window.

    Read from another thread, its figures may be a probe apart.
    """

    __slots__ = (
        "_full_size_open", "_full_size_sequence", "_highest", "_histogram", "_judged", "_probes", "_turns", "_window",
        "_window_sum",
        "busy", "duplicates", "error", "full_size_answered", "full_size_lost", "full_size_misses", "full_size_sent",
        "jitter",
        "last_due", "late", "lost", "lost_in_a_row", "path", "received", "reordered", "router_late", "rtt_last",
        "send_errors", "sent", "sequence", "slot", "target", "window_lost",
    )  # fmt: skip

    def __init__(self, target: Target, slot: ProbeSlot) -> None:
        self.target = target
        self.slot = slot
        self.path = path_to(target.destination, target.source, target.ifindex, secrets.token_bytes(8))
        # Long enough that a reply some time after it was given up is still told from a duplicate.
        size = _RING_MIN
        while size * slot.interval < 4 * LOST_AFTER:
            size *= 2
        self._probes = array("q", bytes(8 * size))
        self.sequence = 0  # of the next probe
        self._highest = -1  # sequence answered so far
        self.sent = self.received = self.lost = self.late = self.duplicates = self.reordered = 0
        self.send_errors = 0
        self.error: str | None = None
        self._window = array("I", [_NO_ROUND_TRIP]) * WINDOW
        self._histogram = Histogram()
        self._judged = self._window_sum = 0
        self.lost_in_a_row = 0  # of those whose outcome is known, the latest
        self.window_lost = 0
        self.rtt_last: Seconds | None = None
        self.jitter: Seconds | None = None
        self.last_due = float("-inf")
        self._turns = secrets.randbelow(FULL_SIZE_EVERY - FULL_SIZE_AGAIN) + FULL_SIZE_AGAIN
        self._full_size_sequence = FULL_SIZE
        self._full_size_open = False
        self.full_size_answered: bool | None = None
        self.full_size_misses = self.full_size_sent = self.full_size_lost = 0
        self.busy = False
        self.router_late: Seconds = 0.0

    def suits(self, slot: ProbeSlot) -> bool:
        """Whether the ring is long enough for this slot's interval."""
        return len(self._probes) * slot.interval >= 2 * LOST_AFTER

    def retarget(self, target: Target, slot: ProbeSlot) -> None:
        """Go on with another interface index, source or interval; the destination is the same."""
        if (target.ifindex, target.source) != (self.target.ifindex, self.target.source):
            self.path = path_to(target.destination, target.source, target.ifindex, self.path.cookie)
        self.target = target
        self.slot = slot

    def leaves(self, now_ns: int) -> int:
        """Note that the next probe is handed to the kernel; its sequence."""
        self._probes[self.sequence % len(self._probes)] = now_ns  # until the kernel's own stamp comes
        return self.sequence

    def has_left(self) -> None:
        """The kernel took it."""
        self.sequence += 1
        self.sent += 1
        self.error = None

    def refused(self, reason: str) -> None:
        """The kernel did not take it."""
        self.send_errors += 1
        self.error = reason
        self._judge(_NO_ROUND_TRIP)

    def full_size_turn(self) -> bool:
        """Whether the probe that is due now is to be one of full size."""
        if self.target.mtu is None:
            return False
        self._turns = min(self._turns - 1, FULL_SIZE_BUSY) if self.busy else self._turns - 1
        return self._turns <= 0 and not self._full_size_open

    def full_size_leaves(self) -> int:
        """Note that a full-size probe is handed to the kernel; its sequence."""
        self._turns = FULL_SIZE_BUSY if self.busy else FULL_SIZE_EVERY
        self.full_size_sent += 1
        self._full_size_open = True
        self._full_size_sequence = FULL_SIZE | (self._full_size_sequence + 1)
        return self._full_size_sequence

    def _full_size_reply(self, sequence: int) -> bool:
        if sequence != self._full_size_sequence:
            return False
        self._full_size_open = False
        self.full_size_answered = True  # a late answer too: it is the size that got through
        self.full_size_misses = 0
        return True

    def _full_size_missed(self, sequence: int) -> None:
        if self._full_size_open and sequence == self._full_size_sequence:
            self._full_size_open = self.full_size_answered = False
            self.full_size_misses += 1
            self.full_size_lost += 1
            self._turns = FULL_SIZE_AGAIN

    def stamp(self, sequence: int, sent_ns: int) -> None:
        """The kernel's word on when a probe left."""
        place = sequence % len(self._probes)
        if self._remembers(sequence) and self._probes[place] > 0:
            self._probes[place] = sent_ns

    def forget_time(self, sequence: int) -> None:
        """The clock was set while this probe was under way: it has no round trip."""
        place = sequence % len(self._probes)
        if not sequence & FULL_SIZE and self._probes[place] > 0:
            self._probes[place] = _UNTIMED

    def reply(self, sequence: int, received_ns: int) -> bool:
        """Enter a reply; whether it fits a probe of this stream."""
        if sequence & FULL_SIZE:
            return self._full_size_reply(sequence)
        if not self._remembers(sequence):
            return False
        place = sequence % len(self._probes)
        state = self._probes[place]
        if state in {_ANSWERED, _LATE}:
            self.duplicates += 1
            return True
        if sequence < self._highest:
            self.reordered += 1
        else:
            self._highest = sequence
        rtt_ns = max(received_ns - state, 0) if state > 0 else None
        if state == _LOST or (rtt_ns is not None and rtt_ns > _LOST_AFTER_NS):
            if state != _LOST:
                self._lose()
            self.late += 1
            self._probes[place] = _LATE
            return True
        self._probes[place] = _ANSWERED
        self.received += 1
        if rtt_ns is not None:
            self._sample(rtt_ns)
        return True

    def give_up(self, sequence: int) -> None:
        """Its time is over: lost, unless it was answered."""
        if sequence & FULL_SIZE:
            self._full_size_missed(sequence)
            return
        place = sequence % len(self._probes)
        if self._probes[place] >= 0 and self._remembers(sequence):
            self._probes[place] = _LOST
            self._lose()

    def _remembers(self, sequence: int) -> bool:
        """Whether the probe of this sequence was sent and is still in the ring."""
        return 0 < self.sequence - sequence <= len(self._probes)

    def _judge(self, outcome: int) -> None:
        """Enter a round trip (or none) into the window, whose sums are kept as it moves."""
        place = self._judged % WINDOW
        if self._judged >= WINDOW:
            leaving = self._window[place]
            if leaving == _NO_ROUND_TRIP:
                self.window_lost -= 1
            else:
                self._window_sum -= leaving
        if outcome == _NO_ROUND_TRIP:
            self.window_lost += 1
            self.lost_in_a_row += 1
        else:
            self._window_sum += outcome
            self.lost_in_a_row = 0
        self._window[place] = outcome
        self._judged += 1

    def _lose(self) -> None:
        self.lost += 1
        self._judge(_NO_ROUND_TRIP)

    def _sample(self, rtt_ns: int) -> None:
        """Count a measured round trip; jitter as RFC 3550, 6.4.1 has it, on round trips."""
        self._judge(rtt_ns)
        rtt = rtt_ns / 1e9
        self._histogram.observe(rtt)
        if self.rtt_last is not None:
            previous = self.jitter or 0.0
            self.jitter = previous + (abs(rtt - self.rtt_last) - previous) / 16
        self.rtt_last = rtt

    @property
    def virtual_interface(self) -> str:
        """Whose stream it is."""
        return self.target.virtual_interface

    @property
    def family(self) -> Family:
        """Of its destination."""
        return self.target.family

    @property
    def destination(self) -> str:
        """The cloud's address."""
        return self.path.destination

    @property
    def interval(self) -> Seconds:
        """The interval in force."""
        return self.slot.interval

    @property
    def ordered_interval(self) -> Seconds:
        """The interval that was ordered."""
        return self.target.interval

    @property
    def mtu(self) -> int | None:
        """The size of its full-size probes."""
        return self.target.mtu

    @property
    def window_probes(self) -> int:
        """How many probes the window has."""
        return min(self._judged, WINDOW)

    @property
    def silent(self) -> bool:
        """Whether no probe in the window was answered, though some were sent, or none of the latest few."""
        return self._judged > 0 and (self.window_lost == self.window_probes or self.lost_in_a_row >= SILENT_IN_A_ROW)

    @property
    def histogram(self) -> HistogramCounts:
        """Every measured round trip, as it is now."""
        return self._histogram.read()

    @property
    def rtt_min(self) -> Seconds | None:
        """The shortest round trip in the window."""
        shortest = min(self._window)
        return None if shortest == _NO_ROUND_TRIP else shortest / 1e9

    @property
    def rtt_average(self) -> Seconds | None:
        """The mean round trip in the window."""
        answered = self.window_probes - self.window_lost
        return self._window_sum / answered / 1e9 if answered else None

    def read(self) -> ProbeStats:
        """A copy that later probes leave alone."""
        return ProbeStats(
            virtual_interface=self.target.virtual_interface,
            family=self.target.family,
            destination=self.path.destination,
            interval=self.slot.interval,
            ordered_interval=self.target.interval,
            sent=self.sent,
            received=self.received,
            lost=self.lost,
            late=self.late,
            duplicates=self.duplicates,
            reordered=self.reordered,
            send_errors=self.send_errors,
            error=self.error,
            window_probes=self.window_probes,
            window_lost=self.window_lost,
            rtt_last=self.rtt_last,
            rtt_min=self.rtt_min,
            rtt_average=self.rtt_average,
            jitter=self.jitter,
            histogram=self.histogram,
            lost_in_a_row=self.lost_in_a_row,
            mtu=self.target.mtu,
            full_size_answered=self.full_size_answered,
            full_size_misses=self.full_size_misses,
            full_size_sent=self.full_size_sent,
            full_size_lost=self.full_size_lost,
        )


def full_size_passes(probe: ProbeStats) -> bool | None:
    """Whether packets of full size get through: some misses in a row say no, fewer of them nothing."""
    if probe.full_size_misses:
        return False if probe.full_size_misses >= FULL_SIZE_MISSES else None
    return probe.full_size_answered
