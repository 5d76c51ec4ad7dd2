"""Sends the probes, matches what comes back, and keeps the statistics of every stream.

One timer drives everything. The kernel stamps packets when they leave and arrive, so nothing is gained by
reading each reply at once: the sockets are read in ticks, which keeps a process with thousands of streams
from being woken for each packet.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dcedge.errors import KernelError
from dcedge.order.field_types import Family, Seconds
from dcedge.probe.icmp import Arrival, Departure, EchoSocket, Path
from dcedge.probe.schedule import ProbeRequest, ProbeSlot, arrange
from dcedge.probe.stream import LOST_AFTER, ProbeStats, Stream
from dcedge.probe.target import Target

log = logging.getLogger(__name__)

TICK: Seconds = 0.01
REOPEN_SECONDS: Seconds = 2.0  # between two tries to have a socket
_READ_AFTER: Seconds = 0.05  # the kernel has stamped what waits, so it may; with many under way it is read every tick
_MANY = 1000
_AT_ONCE = 32  # packets read or sent before the loop may do something else
_CLOCK_STEP_NS = 1_000_000
_CLOCK_READINGS = 3
_HAIR = 1e-6  # seconds, which sums of floats may be off


@dataclass(frozen=True, slots=True)
class ProberStats:
    """What is known of the prober itself: replies that fit no probe, and packets dropped unread."""

    strays: int
    overflows: int


class Transport(Protocol):
    """What the prober needs of a socket; EchoSocket is the real one."""

    def send(self, requests: Sequence[tuple[Path, int]]) -> Sequence[int]:
        """Send requests with these sequences; the errno of each, 0 where it was sent."""

    def send_sized(self, path: Path, sequence: int, size: int) -> int:
        """Send one request as an IP packet of `size` bytes; the errno, 0 where it was sent."""

    def receive(self, limit: int) -> list[Arrival]:
        """Replies that have come."""

    def departures(self, limit: int) -> list[Departure]:
        """Transmit timestamps that have come."""

    def overflows(self) -> int:
        """Packets dropped unread."""

    def close(self) -> None:
        """Give it back."""


Due = tuple[float, int, Stream]  # when a stream is due (seconds since the epoch), a number of its own, the stream


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is to be probed from now on: the streams by virtual interface, and those that go on with another target.

    All that takes long is in it already, as the event loop has no time: the streams by their cookies and by when they
    are due.
    """

    streams: Mapping[str, tuple[Stream, ...]]
    retargeted: tuple[tuple[Stream, Target, ProbeSlot], ...]
    by_cookie: dict[bytes, Stream]
    due: list[Due]


class Prober:
    """Probes every target until closed; needs a running event loop from `start` on.

    `open_socket` makes the transport of a family. Where that cannot be had (KernelError), `trouble` says why, none of
    that family's probes is sent or counts as lost, and it is tried again.
    """

    def __init__(self, open_socket: Callable[[Family, int, int], Transport] = EchoSocket) -> None:
        self._open_socket = open_socket
        self._identifier = secrets.randbits(16)
        self._key = secrets.randbits(32)
        self._sockets: dict[Family, Transport] = {}
        self._try_again = 0.0  # when to open those that could not be had; the loop's time
        self.trouble = ""  # why not all probes can be sent
        self.streams: Mapping[str, tuple[Stream, ...]] = {}  # by virtual interface; replaced, never changed
        self._by_cookie: dict[bytes, Stream] = {}
        self._heap: list[Due] = []
        self._outstanding: deque[tuple[float, Stream, int]] = deque()
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
        self._take(self._due((stream, stream.slot) for stream in self._each()))

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
        self.adopt(self.arrange(targets, budgets))

    def arrange(self, targets: Iterable[Target], budgets: Mapping[str, float] | None = None) -> Arrangement | None:
        """The first and long part of `set_targets`, for any thread; None where nothing is to change."""
        wanted = {target.key: target for target in targets}
        requests = (ProbeRequest(key, target.connection, target.interval) for key, target in wanted.items())
        slots = arrange(requests, budgets or {})
        streams: dict[str, tuple[Stream, ...]] = {}
        retargeted = []
        for key, target in wanted.items():
            name, slot = target.virtual_interface, slots[key]
            present = self.streams.get(name, ())
            stream = next((s for s in present if s.target.destination == target.destination), None)
            if stream is None or not stream.suits(slot):
                stream = Stream(target, slot)
            elif (stream.target, stream.slot) != (target, slot):
                retargeted.append((stream, target, slot))
            streams[name] = (*streams.get(name, ()), stream)
        if streams == self.streams and not retargeted:
            return None
        each = [stream for group in streams.values() for stream in group]
        due = self._due((stream, slots[stream.target.key]) for stream in each)
        return Arrangement(streams, tuple(retargeted), {stream.path.cookie: stream for stream in each}, due)

    def adopt(self, arrangement: Arrangement | None) -> None:
        """The second part of `set_targets`, for the event loop's thread."""
        if arrangement is None:
            return
        for stream, target, slot in arrangement.retargeted:
            stream.retarget(target, slot)
        self.streams, self._by_cookie = arrangement.streams, arrangement.by_cookie
        if self._started is not None:
            self._take(arrangement.due)

    def stats(self) -> list[ProbeStats]:
        """The statistics of every stream."""
        return [stream.read() for stream in self._each()]

    def prober_stats(self) -> ProberStats:
        """The statistics of the prober itself."""
        overflows = sum(transport.overflows() for transport in self._sockets.values())
        return ProberStats(self._strays, overflows)

    def _each(self) -> Iterable[Stream]:
        return (stream for streams in self.streams.values() for stream in streams)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._started is None:
            raise RuntimeError("the prober has not been started")
        return self._started

    def _due(self, streams: Iterable[tuple[Stream, ProbeSlot]]) -> list[Due]:
        """When each is due by these slots, the soonest first (heapq)."""
        now = self._started.time() - self._epoch if self._started is not None else 0.0
        due = [(slot.next_after(_earliest(stream, slot, now)), n, stream) for n, (stream, slot) in enumerate(streams)]
        heapq.heapify(due)
        return due

    def _take(self, due: list[Due]) -> None:
        self._open_sockets({stream.family for _, _, stream in due})
        self._heap = due
        self._set_timer()

    def _open_sockets(self, families: set[Family]) -> None:
        """Have a socket for each family, as far as they can be had."""
        reasons = []
        for family in sorted(families - self._sockets.keys()):
            try:
                self._sockets[family] = self._open_socket(family, self._identifier, self._key)
            except KernelError as error:
                reasons.append(str(error))
        trouble = f"probes cannot be sent: {'; '.join(reasons)}" if reasons else ""
        if trouble and trouble != self.trouble:
            log.error("%s", trouble)
        self.trouble = trouble
        self._try_again = self._loop.time() + REOPEN_SECONDS

    def _set_timer(self, after: Seconds = TICK) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._loop.time() - self._epoch
        due = [self._heap[0][0]] if self._heap else []
        if self._outstanding:
            due.append(now + (_READ_AFTER if len(self._outstanding) < _MANY else TICK))
        if due:
            self._timer = self._loop.call_at(self._epoch + max(min(due), now + after), self._tick)

    def _tick(self) -> None:
        self._timer = None
        wait = TICK
        try:
            self._notice_clock_step()
            # What has come goes before what is to go: nothing is called lost that lies unread.
            done = self._collect()
            if done:
                now = self._loop.time() - self._epoch
                self._expire(now)
                if self.trouble and self._loop.time() >= self._try_again:
                    self._open_sockets({stream.family for _, _, stream in self._heap})
                done = self._send_due(now)
            if not done:
                wait = 0.0  # the rest at once, but after whatever else the loop has to do
        finally:
            self._set_timer(wait)

    def _notice_clock_step(self) -> None:
        """Packets are stamped with the time of day: what was under way when it stepped has no round trip."""
        offset = _clock_offset()
        if abs(offset - self._clock_offset) > _CLOCK_STEP_NS:
            for _, stream, sequence in self._outstanding:
                stream.forget_time(sequence)
        self._clock_offset = offset

    def _collect(self) -> bool:
        """Read what has come; whether that was all. A timestamp is queued before its reply can come, so it is
        read after the replies and entered before them."""
        read_all = True
        for transport in self._sockets.values():
            arrivals = transport.receive(_AT_ONCE)
            # At least as many, as each of those replies may have its timestamp waiting.
            departures = transport.departures(2 * _AT_ONCE)
            read_all &= len(arrivals) < _AT_ONCE
            by_cookie = self._by_cookie
            for cookie, sequence, sent_ns in departures:
                stream = by_cookie.get(cookie)
                if stream is not None:
                    stream.stamp(sequence, sent_ns)
            for arrival in arrivals:
                self._arrived(arrival)
        return read_all

    def _arrived(self, arrival: Arrival) -> None:
        cookie, sequence, received_ns, ifindex, source = arrival
        stream = self._by_cookie.get(cookie)
        # A reply by another interface would prove the path of another virtual interface.
        if (
            stream is None
            or source != stream.path.destination
            or ifindex != stream.target.ifindex
            or not stream.reply(sequence, received_ns)
        ):
            self._strays += 1

    def _expire(self, now: float) -> None:
        outstanding = self._outstanding
        while outstanding and outstanding[0][0] <= now:
            _, stream, sequence = outstanding.popleft()
            stream.give_up(sequence)

    def _send_due(self, now: float) -> bool:
        """Send what is due; whether that was all."""
        heap = self._heap
        due_now: dict[Family, list[Stream]] = {}
        for _ in range(_AT_ONCE):
            if not heap or heap[0][0] > now:
                break
            due, number, stream = heap[0]
            if due < (soonest := _earliest(stream, stream.slot, due)) - _HAIR:  # it was sent since this was arranged
                heapq.heapreplace(heap, (stream.slot.next_after(soonest), number, stream))
                continue
            following = due + stream.slot.interval
            if following <= now:  # the loop was held: what was missed is not made up for in a burst
                following = stream.slot.next_after(now)
            heapq.heapreplace(heap, (following, number, stream))
            if stream.family not in self._sockets:
                continue
            stream.last_due = due
            if stream.full_size_turn():
                self._send_full_size(stream, now)
            else:
                due_now.setdefault(stream.family, []).append(stream)
        for family, streams in due_now.items():
            self._send(family, streams, now)
        return not heap or heap[0][0] > now

    def _send(self, family: Family, streams: list[Stream], now: float) -> None:
        now_ns = time.time_ns()
        requests = [(stream.path, stream.leaves(now_ns)) for stream in streams]
        errors = self._sockets[family].send(requests)
        for stream, (_, sequence), error in zip(streams, requests, errors, strict=True):
            if error:
                stream.refused(os.strerror(error))
            else:
                stream.has_left()
                self._outstanding.append((now + LOST_AFTER, stream, sequence))

    def _send_full_size(self, stream: Stream, now: float) -> None:
        assert stream.mtu is not None
        sequence = stream.full_size_leaves()
        if self._sockets[stream.family].send_sized(stream.path, sequence, stream.mtu):
            stream.give_up(sequence)
        else:
            self._outstanding.append((now + LOST_AFTER, stream, sequence))


def _earliest(stream: Stream, slot: ProbeSlot, now: float) -> float:
    """A changed schedule never brings a stream's next probe nearer than an interval to its last one."""
    return max(now, stream.last_due + slot.interval)


def _clock_offset() -> int:
    """The time of day over the steady clock, in ns: of a few readings the one least delayed between the two."""
    best = _clock_reading()
    for _ in range(_CLOCK_READINGS):
        if best[0] < _CLOCK_STEP_NS // 2:
            break
        best = min(best, _clock_reading())
    return best[1]


def _clock_reading() -> tuple[int, int]:
    """How long it took, and the time of day over the steady clock; both in ns."""
    steady = time.monotonic_ns()
    now = time.time_ns()
    return time.monotonic_ns() - steady, now - steady
