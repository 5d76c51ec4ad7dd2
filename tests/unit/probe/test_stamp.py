"""STAMP's packets and what a sender learns from them, with a reflector that the test plays."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcedge.probe import stamp
from dcedge.probe.stamp import (
    LENGTH,
    StampSession,
    decode_reflection,
    encode_test,
    error_estimate,
    from_ntp,
    ntp_stamp,
    reflect,
)
from dcedge.probe.stamping import Stamping, StampTarget

MS, SECOND = 1_000_000, 1_000_000_000
NOW = 1_700_000_000 * SECOND
ERA_END = (2**32 - 2_208_988_800) * SECOND  # 7 February 2036


@given(st.integers(0, 2 * ERA_END))
def test_a_time_stamp_reads_back_over_the_end_of_the_era_too(ns: int) -> None:
    assert abs(from_ntp(ntp_stamp(ns), ns + 5 * SECOND) - ns) <= 1


def test_a_test_packet_is_laid_out_as_the_rfc_has_it() -> None:
    packet = encode_test(7, 0, 0.001)
    assert len(packet) == 44
    sequence, seconds, fraction, estimate = struct.unpack_from("!IIIH", packet)
    assert (sequence, seconds, fraction) == (7, 2_208_988_800, 0)
    assert estimate & 0x8000, "the clock is synchronized"
    assert not estimate & 0x4000, "NTP's format"


@given(st.floats(1e-9, 1000))
def test_an_error_estimate_is_never_below_the_error_and_its_multiplier_never_zero(error: float) -> None:
    estimate = error_estimate(error)
    scale, multiplier = estimate >> 8 & 0x3F, estimate & 0xFF
    assert multiplier
    assert error <= multiplier * 2 ** (scale - 32) <= 1.1 * error + 2**-30
    assert not error_estimate(None) & 0x8000


def test_a_reflection_has_all_that_the_rfc_wants_and_the_test_packets_length() -> None:
    test = encode_test(7, NOW, None) + bytes(100)
    answer = reflect(test, 3, NOW + MS, NOW + 2 * MS, 254, 0.001)
    assert answer is not None
    assert len(answer) == len(test)
    assert answer[24:28] == (7).to_bytes(4, "big"), "the sender's sequence"
    assert answer[28:38] == test[4:14], "the sender's time stamp and error estimate"
    assert answer[40] == 254, "the sender's TTL"
    reflected = decode_reflection(answer, NOW)
    assert reflected is not None
    assert reflected[:2] == (3, 7)
    assert [round((t - NOW) / MS, 3) for t in reflected[2:4]] == [1, 2]
    assert reflected.synchronized


@pytest.mark.parametrize("length", [0, 1, LENGTH - 1])
def test_what_is_too_short_is_nothing(length: int) -> None:
    assert reflect(bytes(length), 0, NOW, NOW, 255, None) is None
    assert decode_reflection(bytes(length), NOW) is None


class Reflector:
    """A far end: 2 ms to it, 1 ms in it, 5 ms back; its clock is an hour ahead unless both are set."""

    def __init__(self, session: StampSession, *, ahead: int = 0, error: float | None = 0.001) -> None:
        self.session, self.ahead, self.error = session, ahead, error
        self.now, self.count = NOW, 0

    def exchange(self, *, forward: bool = True, backward: bool = True) -> None:
        """One test packet, which may be lost on either way."""
        self.now += SECOND // 10
        test = self.session.next_test(self.now, self.error)
        if forward:
            came = self.now + self.ahead + 2 * MS
            answer = reflect(test, self.count, came, came + MS, 255, self.error)
            assert answer is not None
            self.count += 1
            if backward:
                self.session.arrived(answer, self.now + 8 * MS, synchronized=self.error is not None)


def test_both_ways_and_the_round_trip_without_the_time_in_the_reflector() -> None:
    reflector = Reflector(StampSession("prod-a", "10.0.0.1"))
    reflector.exchange()
    stats = reflector.session.read()
    assert stats.round_trip == pytest.approx(0.007)
    assert stats.forward == pytest.approx(0.002)
    assert stats.backward == pytest.approx(0.005)


def test_clocks_that_nobody_sets_give_a_round_trip_and_no_more() -> None:
    reflector = Reflector(StampSession("prod-a", "10.0.0.1"), ahead=3600 * SECOND, error=None)
    reflector.exchange()
    stats = reflector.session.read()
    assert stats.round_trip == pytest.approx(0.007)
    assert stats.forward is stats.backward is None


def test_losses_of_the_two_ways_are_told_apart() -> None:
    reflector = Reflector(StampSession("prod-a", "10.0.0.1"))
    reflector.exchange()
    for _ in range(3):
        reflector.exchange(forward=False)
    for _ in range(2):
        reflector.exchange(backward=False)
    for _ in range(20):
        reflector.exchange()
    stats = reflector.session.read()
    assert (stats.sent, stats.received, stats.lost) == (26, 21, 5)
    assert (stats.lost_forward, stats.lost_backward) == (3, 2)


def test_a_reflection_counts_once_and_a_forged_one_never() -> None:
    session = StampSession("prod-a", "10.0.0.1")
    test = session.next_test(NOW, None)
    answer = reflect(test, 0, NOW, NOW, 255, None)
    assert answer is not None
    forged = answer[:24] + bytes(a ^ 255 for a in answer[24:28]) + answer[28:]
    for packet in (forged, answer, answer):
        session.arrived(packet, NOW + MS, synchronized=False)
    assert session.read().received == 1


def test_the_kernel_says_how_good_the_clock_is() -> None:
    error = stamp.clock_error()
    assert error is None or 0 <= error < 3600


def test_a_socket_that_cannot_be_had_is_said_until_it_can() -> None:
    missing = [True]
    target = StampTarget("prod-a", "lo", 1, ip_address("127.0.0.1"), ip_address("127.0.0.2"), 10.0)

    def open_socket(target: StampTarget, port: int) -> socket.socket:
        if missing[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    async def run() -> None:
        stamping = Stamping(open_socket)
        stamping.set_targets([target])
        assert "; ".join(stamping.troubles) == "prod-a: no STAMP on lo: Too many open files"
        missing[0] = False
        stamping.set_targets([target])
        assert not stamping.troubles
        assert len(stamping.stats()) == 1
        stamping.close()

    asyncio.run(run())
