"""A policer is found from what it let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcedge.measure.policer import Policer, advice, find_policer
from dcedge.measure.protocol import BITS_A_CHUNK, MessageType, chunk, decode, encode, read_chunk

FRAME = 1514


def through(
    policer: Policer, send_bps: float, count: int, pauses: tuple[int, ...] = ()
) -> tuple[list[float], set[int]]:
    """Send times, and what a policer lets through of frames at a steady rate, but for pauses before some of them."""
    gap = FRAME * 8 / send_bps
    times = [number * gap + 0.05 * sum(number >= pause for pause in pauses) for number in range(count)]
    bucket, last, came = policer.burst_bytes, 0.0, set()
    for number, at in enumerate(times):
        bucket, last = min(policer.burst_bytes, bucket + (at - last) * policer.rate_bps / 8), at
        if bucket >= FRAME:
            bucket -= FRAME
            came.add(number)
    return times, came


@given(rate=st.floats(5e6, 1e9), burst_ms=st.floats(2, 30))
def test_rate_and_burst_are_found_to_a_per_cent(rate: float, burst_ms: float) -> None:
    wanted = Policer(rate, max(2.0 * FRAME, rate / 8 * burst_ms / 1000))
    times, came = through(wanted, 2 * rate, 2000 + int(8 * wanted.burst_bytes / FRAME))
    found = find_policer(times, came, FRAME)
    assert found is not None
    assert found.rate_bps == pytest.approx(rate, rel=0.01)
    assert found.burst_bytes == pytest.approx(wanted.burst_bytes, rel=0.05, abs=FRAME)


def test_a_sender_that_was_kept_waiting_finds_it_all_the_same() -> None:
    times, came = through(Policer(19e6, 20_000), 40e6, 2000, pauses=(700, 1100, 1105, 1600))
    found = find_policer(times, came, FRAME)
    assert found is not None
    assert found.rate_bps == pytest.approx(19e6, rel=0.02)
    assert found.burst_bytes == pytest.approx(20_000, abs=FRAME)


def test_without_drops_there_is_no_policer_to_be_told_of() -> None:
    times, came = through(Policer(1e9, 1e6), 5e8, 2000)
    assert find_policer(times, came, FRAME) is None


def test_a_policer_as_ordered_needs_nothing() -> None:
    assert advice(Policer(50e6, 25_000), 50_000_000, 1500, 0) == [
        "the policer has the ordered rate: the shaper matches it"
    ]


def test_what_is_short_is_told_with_the_shaper_that_fits() -> None:
    said = " ".join(advice(Policer(47.6e6, 10_000), 50_000_000, 1500, 0))
    assert "4.8% less than what is ordered" in said
    assert "bandwidth: 47362K" in said
    assert "a burst of 10000 bytes" in said


def test_what_came_is_told_in_chunks() -> None:
    came = {0, 7, BITS_A_CHUNK - 1, BITS_A_CHUNK, 2 * BITS_A_CHUNK + 5}
    told: set[int] = set()
    for number in range(3):
        message = decode(encode(b"consents", MessageType.CHUNK, number, chunk(came, number, 0)))
        assert message is not None
        lost, part = read_chunk(number, message.rest)
        assert lost == 0
        told |= part
    assert told == came
    assert decode(b"anything else") is None
