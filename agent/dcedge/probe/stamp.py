"""STAMP (RFC 8762), unauthenticated: test packets to the cloud's side, and the reflection of its own.

For sites that own both ends. It tells the two directions apart: the delay of each where both clocks are set by a
reference, and on which way packets were lost where the reflector counts what it reflects.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from dcedge.order.field_types import Seconds

REFLECTOR_PORT = 862  # RFC 8762, 4.1
# Of the dynamic range, and a fixed one, so that the firewall can know it.
SENDER_PORT = 49862
LOST_AFTER: Seconds = 1.0
WINDOW = 64

# RFC 8762, 4.2.1 and 4.3.1: sequence, time stamp, error estimate; in a reflection also when the packet came, and what
# it said. Both have 44 bytes.
_SENT = struct.Struct("!IQH30x")
_REFLECTED = struct.Struct("!IQH2xQIQH2xB3x")
LENGTH = _SENT.size
_NTP_EPOCH = 2_208_988_800  # 1970 in seconds since 1900 (RFC 868)
_SYNCHRONIZED = 0x8000  # RFC 4656, 4.1.2: the S bit; Z is 0, as the stamps are NTP's
_FRACTION = 1 << 32

# adjtimex(2): struct timex, of which the first members are read.
_TIMEX = struct.Struct("@IqqqqI")
_TIMEX_BYTES = 256
_STA_UNSYNC = 0x0040


class Reflected(NamedTuple):
    """A reflection: of which test packet, and when that came (`t2`) and the reflection left (`t3`), ns since 1970."""

    sequence: int
    sent_sequence: int
    t2: int
    t3: int
    synchronized: bool


def ntp_stamp(ns: int) -> int:
    """Nanoseconds since 1970 as an NTP time stamp (RFC 5905, 6), which begins anew in 2036."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return ((seconds + _NTP_EPOCH) % _FRACTION) << 32 | rest * _FRACTION // 1_000_000_000


def from_ntp(stamp: int, near: int) -> int:
    """The nanoseconds since 1970 that an NTP time stamp means, in the era that is nearest to `near`."""
    seconds, fraction = stamp >> 32, stamp & 0xFFFFFFFF
    found = (seconds - _NTP_EPOCH) * 1_000_000_000 + (fraction * 1_000_000_000 + _FRACTION // 2) // _FRACTION
    era = _FRACTION * 1_000_000_000
    return found + round((near - found) / era) * era


def error_estimate(error: Seconds | None) -> int:
    """RFC 4656, 4.1.2: at least this error, as multiplier x 2^(scale - 32) s; None: the clock is set by nobody."""
    scaled = int((1.0 if error is None else error) * _FRACTION) + 1
    scale = 0
    while scaled >> scale > 254:
        scale += 1
    return (0 if error is None else _SYNCHRONIZED) | scale << 8 | (scaled >> scale) + 1


def clock_error() -> Seconds | None:
    """How far the time of day may be off, as whoever sets it tells the kernel (adjtimex(2)); None where nobody does."""
    room = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None, use_errno=True).adjtimex(room) < 0:
        return None
    _, _, _, error_max, _, status = _TIMEX.unpack_from(room)
    return None if status & _STA_UNSYNC else error_max / 1e6


def encode_test(sequence: int, now: int, error: Seconds | None) -> bytes:
    """A test packet; `now` in ns since 1970."""
    return _SENT.pack(sequence & 0xFFFFFFFF, ntp_stamp(now), error_estimate(error))


def reflect(packet: bytes, sequence: int, came: int, now: int, ttl: int, error: Seconds | None) -> bytes | None:
    """The reflection of a test packet, as long as it (RFC 8762, 4.3); None of what is none."""
    if len(packet) < LENGTH:
        return None
    sent_sequence, stamp, estimate = _SENT.unpack_from(packet)
    answer = _REFLECTED.pack(
        *(sequence & 0xFFFFFFFF, ntp_stamp(now), error_estimate(error), ntp_stamp(came)),
        *(sent_sequence, stamp, estimate, ttl),
    )
    return answer + bytes(len(packet) - LENGTH)


def decode_reflection(packet: bytes, now: int) -> Reflected | None:
    """What a reflection says; None of what is too short. `now` in ns since 1970."""
    if len(packet) < LENGTH:
        return None
    sequence, t3, estimate, t2, sent_sequence, *_ = _REFLECTED.unpack_from(packet)
    synchronized = bool(estimate & _SYNCHRONIZED)
    return Reflected(sequence, sent_sequence, from_ntp(t2, now), from_ntp(t3, now), synchronized)


@dataclass(frozen=True, slots=True)
class StampStats:
    """What is known of one path. Delays in seconds, means of the last 64; None where not known.

    The one-way delays are known where both clocks are set by a reference. `lost_forward` never came to the reflector,
    `lost_backward` was reflected and never came back; a reflector that does not count makes every loss one of these.
    """

    virtual_interface: str
    destination: str
    sent: int
    received: int
    lost: int
    lost_forward: int
    lost_backward: int
    round_trip: Seconds | None
    forward: Seconds | None
    backward: Seconds | None


class StampSession:
    """The sender's accounting of one path. Pure: times are handed in, in ns since 1970."""

    def __init__(self, virtual_interface: str, destination: str) -> None:
        self._names = (virtual_interface, destination)
        self._sequence = int.from_bytes(os.urandom(2), "big")
        self._under_way: dict[int, int] = {}
        self._last: tuple[int, int] | None = None  # sent and reflector's sequence of the latest reflection
        self._sent = self._received = self._lost = self._forward_lost = self._backward_lost = 0
        self._delays: tuple[deque[int], ...] = tuple(deque(maxlen=WINDOW) for _ in range(3))

    def next_test(self, now: int, error: Seconds | None) -> bytes:
        """The test packet that is sent now; what had no answer in time is lost."""
        for sequence, left in list(self._under_way.items()):
            if now - left <= LOST_AFTER * 1e9:
                break
            del self._under_way[sequence]
            self._lost += 1
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self._under_way[self._sequence] = now
        self._sent += 1
        return encode_test(self._sequence, now, error)

    def arrived(self, packet: bytes, came: int, synchronized: bool) -> None:
        """A reflection that came; one that fits no test packet under way counts for nothing."""
        reflected = decode_reflection(packet, came)
        left = self._under_way.pop(reflected.sent_sequence, None) if reflected is not None else None
        if reflected is None or left is None:
            return
        self._received += 1
        self._tell_ways_apart(reflected)
        round_trip = (came - left) - (reflected.t3 - reflected.t2)
        self._delays[0].append(max(0, round_trip))
        if synchronized and reflected.synchronized:
            self._delays[1].append(reflected.t2 - left)
            self._delays[2].append(came - reflected.t3)

    def _tell_ways_apart(self, reflected: Reflected) -> None:
        last, self._last = self._last, (reflected.sent_sequence, reflected.sequence)
        if last is None:
            return
        missing = reflected.sent_sequence - last[0] - 1
        seen = reflected.sequence - last[1] - 1  # of those, by the reflector
        if 0 <= seen <= missing:  # else it began to count anew, or one overtook another
            self._forward_lost += missing - seen
            self._backward_lost += seen

    def read(self) -> StampStats:
        """What is known now."""
        means = [sum(delays) / len(delays) / 1e9 if delays else None for delays in self._delays]
        counts = (self._sent, self._received, self._lost, self._forward_lost, self._backward_lost)
        return StampStats(*self._names, *counts, *means)


def now_ns() -> int:
    """The time of day."""
    return time.time_ns()
