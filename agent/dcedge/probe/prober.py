"""Sends the probes, matches what comes back, and keeps the statistics of every stream.

One timer drives everything. The kernel stamps packets when they leave and arrive, so nothing is gained by
reading each reply at once: the sockets are read in ticks, which keeps a process with thousands of streams
from being woken for each packet.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import secrets
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dcedge.order.model import Address, Family, Seconds
from dcedge.probe.histogram import Histogram, HistogramCounts
from dcedge.probe.icmp import Arrival, Departure, EchoSocket, Path, path_to
from dcedge.probe.schedule import Request, Slot, arrange
from dcedge.probe.target import Target

TICK: Seconds = 0.01
LOST_AFTER: Seconds = 1.0
WINDOW = 64  # probes whose outcome the recent loss and RTT are computed over
_READ_AT_ONCE = 2048
_SEND_AT_ONCE = 512
_LOST_AFTER_NS = int(LOST_AFTER * 1e9)
_CLOCK_STEP_NS = 1_000_000

_PENDING, _ANSWERED, _LOST, _LATE = range(4)
_LOST_NS = 1 << 62  # stands for a lost probe among the round trips of a window


class ProbeStats(NamedTuple):
    """What is known of one stream. Totals count from its start; `window_*` and `rtt_*` cover its last 64.

    Times in seconds; None where nothing was measured yet. `interval` is the one in force, `ordered_interval`
    the order's. `error` says why the last probe could not be sent; such a probe counts as lost in the window
    and not at all in `sent`.
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


@dataclass(frozen=True, slots=True)
class ProberStats:
    """What is known of the prober itself: replies that fit no probe, and packets dropped unread."""

    strays: int
    overflows: int


class Transport(Protocol):
    """What the prober needs of a socket; EchoSocket is the real one."""

    def send(self, path: Path, sequence: int) -> None:
        """Send one request; raises OSError."""

    def receive(self, limit: int) -> list[Arrival]:
        """Replies that have come."""

    def departures(self, limit: int) -> list[Departure]:
        """Transmit timestamps that have come."""

    def overflows(self) -> int:
        """Packets dropped unread."""

    def close(self) -> None:
        """Give it back."""


class _Stream:
    """The state of one target: a ring of recent probes, counters, and the window."""

    __slots__ = (
        "duplicates", "error", "highest", "histogram", "jitter", "last_due", "last_rtt", "late", "lost",
        "path", "received", "reordered", "send_errors", "sent", "sequence", "slot", "states", "target",
        "times", "window", "window_judged", "window_lost", "window_sum",
    )  # fmt: skip

    def __init__(self, target: Target, slot: Slot) -> None:
        self.target = target
        self.slot = slot
        self.path = path_to(target.destination, target.source, target.ifindex, secrets.token_bytes(8))
        # Long enough that a reply some time after it was given up is still told from a duplicate.
        size = 16
        while size * slot.interval < 4 * LOST_AFTER:
            size *= 2
        self.times = array("q", bytes(8 * size))
        self.states = bytearray(size)
        self.sequence = 0  # of the next probe
        self.highest = -1  # sequence answered so far
        self.sent = self.received = self.lost = self.late = self.duplicates = self.reordered = 0
        self.send_errors = 0
        self.error: str | None = None
        self.window = array("q", [_LOST_NS]) * WINDOW
        self.window_judged = self.window_lost = self.window_sum = 0
        self.last_rtt: Seconds | None = None
        self.jitter: Seconds | None = None
        self.histogram = Histogram()
        self.last_due = float("-inf")

    def retarget(self, target: Target, slot: Slot) -> None:
        """Go on with another interface index, source or interval; the destination is the same."""
        if (target.ifindex, target.source) != (self.target.ifindex, self.target.source):
            self.path = path_to(target.destination, target.source, target.ifindex, self.path.cookie)
        self.target = target
        self.slot = slot

    def remembers(self, sequence: int) -> bool:
        """Whether the probe of this sequence was sent and is still in the ring."""
        return 0 < self.sequence - sequence <= len(self.times)

    def judge(self, outcome_ns: int) -> None:
        """Enter a round trip, or _LOST_NS, into the window, whose sums are kept as it moves."""
        place = self.window_judged % WINDOW
        if self.window_judged >= WINDOW:
            leaving = self.window[place]
            if leaving == _LOST_NS:
                self.window_lost -= 1
            else:
                self.window_sum -= leaving
        if outcome_ns == _LOST_NS:
            self.window_lost += 1
        else:
            self.window_sum += outcome_ns
        self.window[place] = outcome_ns
        self.window_judged += 1

    def lose(self) -> None:
        """Count a probe that was not answered in time."""
        self.lost += 1
        self.judge(_LOST_NS)

    def sample(self, rtt_ns: int) -> None:
        """Count a measured round trip; jitter as RFC 3550, 6.4.1 has it, on round trips."""
        self.judge(rtt_ns)
        rtt = rtt_ns / 1e9
        self.histogram.observe(rtt)
        if self.last_rtt is not None:
            previous = self.jitter or 0.0
            self.jitter = previous + (abs(rtt - self.last_rtt) - previous) / 16
        self.last_rtt = rtt

    def read(self) -> ProbeStats:
        probes = min(self.window_judged, WINDOW)
        answered = probes - self.window_lost
        return ProbeStats(
            virtual_interface=self.target.virtual_interface,
            family=self.target.family,
            destination=self.path.destination[0],
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
            window_probes=probes,
            window_lost=self.window_lost,
            rtt_last=self.last_rtt,
            rtt_min=min(self.window) / 1e9 if answered else None,
            rtt_average=self.window_sum / answered / 1e9 if answered else None,
            jitter=self.jitter,
            histogram=self.histogram.read(),
        )


class Prober:
    """Probes every target until closed; needs a running event loop from `start` on.

    `open_socket` makes the transport of a family; its KernelError comes out of `start` and `set_targets`.
    """

    def __init__(self, open_socket: Callable[[Family, int, int], Transport] = EchoSocket) -> None:
        self._open_socket = open_socket
        self._identifier = secrets.randbits(16)
        self._key = secrets.randbits(32)
        self._sockets: dict[Family, Transport] = {}
        self._streams: dict[tuple[str, Address], _Stream] = {}
        self._by_cookie: dict[bytes, _Stream] = {}
        self._heap: list[tuple[float, int, _Stream]] = []
        self._outstanding: deque[tuple[float, _Stream, int]] = deque()
        self._started: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._epoch = 0.0
        self._clock_offset = 0
        self._strays = 0

    def start(self) -> None:
        """Begin to send; call it within the running loop."""
        self._started = asyncio.get_running_loop()
        self._epoch = self._loop.time()
        self._clock_offset = _clock_offset()
        self._refill()

    def close(self) -> None:
        """Stop, and close the sockets; the statistics stay readable."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._started = None
        for transport in self._sockets.values():
            transport.close()
        self._sockets.clear()

    def set_targets(self, targets: Iterable[Target], budgets: Mapping[str, float] | None = None) -> None:
        """Probe exactly these; a stream whose virtual interface and destination stay keeps its statistics.

        `budgets`: echo requests a second that each connection tolerates.
        """
        wanted = {target.key: target for target in targets}
        requests = (Request(key, target.connection, target.interval) for key, target in wanted.items())
        slots = arrange(requests, budgets or {})
        present = {key: (stream.target, stream.slot) for key, stream in self._streams.items()}
        if present == {key: (target, slots[key]) for key, target in wanted.items()}:
            return
        streams: dict[tuple[str, Address], _Stream] = {}
        for key, target in wanted.items():
            stream = self._streams.get(key)
            if stream is None or len(stream.times) * slots[key].interval < 2 * LOST_AFTER:
                stream = _Stream(target, slots[key])
            else:
                stream.retarget(target, slots[key])
            streams[key] = stream
        self._streams = streams
        self._by_cookie = {stream.path.cookie: stream for stream in streams.values()}
        if self._started is not None:
            self._refill()

    def stats(self) -> list[ProbeStats]:
        """The statistics of every stream, in the order of `set_targets`."""
        return [stream.read() for stream in self._streams.values()]

    def prober_stats(self) -> ProberStats:
        """The statistics of the prober itself."""
        overflows = sum(transport.overflows() for transport in self._sockets.values())
        return ProberStats(self._strays, overflows)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._started is None:
            raise RuntimeError("the prober has not been started")
        return self._started

    def _refill(self) -> None:
        for family in {stream.target.family for stream in self._streams.values()} - self._sockets.keys():
            self._sockets[family] = self._open_socket(family, self._identifier, self._key)
        now = self._loop.time() - self._epoch
        self._heap = []
        for number, stream in enumerate(self._streams.values()):
            # A changed schedule never brings a stream's next probe nearer than an interval to its last one.
            earliest = max(now, stream.last_due + stream.slot.interval)
            self._heap.append((stream.slot.next_after(earliest), number, stream))
        heapq.heapify(self._heap)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        soonest = self._loop.time() - self._epoch + TICK
        if self._outstanding:
            due = soonest
        elif self._heap:
            due = max(self._heap[0][0], soonest)
        else:
            return
        self._timer = self._loop.call_at(self._epoch + due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            self._notice_clock_step()
            read_all = self._collect()
            now = self._loop.time() - self._epoch
            if read_all:
                self._expire(now)
            self._send_due(now)
        finally:
            self._set_timer()

    def _notice_clock_step(self) -> None:
        """Packets are stamped with the time of day: what was under way when it stepped has no round trip."""
        offset = _clock_offset()
        if abs(offset - self._clock_offset) > _CLOCK_STEP_NS:
            for _, stream, sequence in self._outstanding:
                stream.times[sequence % len(stream.times)] = 0
        self._clock_offset = offset

    def _collect(self) -> bool:
        """Read what has come; whether that was all. A timestamp is queued before its reply can come, so it is
        read after the replies and entered before them."""
        read_all = True
        for transport in self._sockets.values():
            arrivals = transport.receive(_READ_AT_ONCE)
            departures = transport.departures(_READ_AT_ONCE)
            read_all &= len(arrivals) < _READ_AT_ONCE
            by_cookie = self._by_cookie
            for cookie, sequence, sent_ns in departures:
                stream = by_cookie.get(cookie)
                if stream is not None and stream.remembers(sequence):
                    place = sequence % len(stream.times)
                    if stream.times[place]:
                        stream.times[place] = sent_ns
            for arrival in arrivals:
                self._arrived(arrival)
        return read_all

    def _arrived(self, arrival: Arrival) -> None:
        cookie, sequence, received_ns, ifindex, source = arrival
        stream = self._by_cookie.get(cookie)
        # A reply by another interface would prove the path of another virtual interface.
        if (
            stream is None
            or source != stream.path.destination[0]
            or ifindex != stream.target.ifindex
            or not stream.remembers(sequence)
        ):
            self._strays += 1
            return
        place = sequence % len(stream.times)
        state = stream.states[place]
        if state in {_ANSWERED, _LATE}:
            stream.duplicates += 1
            return
        if sequence < stream.highest:
            stream.reordered += 1
        else:
            stream.highest = sequence
        sent_ns = stream.times[place]
        rtt_ns = max(received_ns - sent_ns, 0)
        if state == _LOST or (sent_ns and rtt_ns > _LOST_AFTER_NS):
            if state == _PENDING:
                stream.lose()
            stream.late += 1
            stream.states[place] = _LATE
            return
        stream.states[place] = _ANSWERED
        stream.received += 1
        if sent_ns:
            stream.sample(rtt_ns)

    def _expire(self, now: float) -> None:
        outstanding = self._outstanding
        while outstanding and outstanding[0][0] <= now:
            _, stream, sequence = outstanding.popleft()
            place = sequence % len(stream.times)
            if stream.states[place] == _PENDING and stream.remembers(sequence):
                stream.states[place] = _LOST
                stream.lose()

    def _send_due(self, now: float) -> None:
        heap = self._heap
        for _ in range(_SEND_AT_ONCE):
            if not heap or heap[0][0] > now:
                return
            due, number, stream = heap[0]
            following = due + stream.slot.interval
            if following <= now:  # the loop was held: what was missed is not made up for in a burst
                following = stream.slot.next_after(now)
            heapq.heapreplace(heap, (following, number, stream))
            stream.last_due = due
            self._send(stream, now)

    def _send(self, stream: _Stream, now: float) -> None:
        sequence = stream.sequence
        place = sequence % len(stream.times)
        stream.times[place] = time.time_ns()  # until the kernel's own stamp comes
        stream.states[place] = _PENDING
        try:
            self._sockets[stream.target.family].send(stream.path, sequence)
        except OSError as error:
            stream.send_errors += 1
            stream.judge(_LOST_NS)
            stream.error = os.strerror(error.errno or 0)
            return
        stream.sequence = sequence + 1
        stream.sent += 1
        stream.error = None
        self._outstanding.append((now + LOST_AFTER, stream, sequence))


def _clock_offset() -> int:
    return time.time_ns() - time.monotonic_ns()
