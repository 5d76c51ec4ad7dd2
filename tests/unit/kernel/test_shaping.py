"""The shaping arithmetic: what a class is told must be what the kernel reads back, and what a policer forgives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcedge.kernel.queue.shaping import (
    CONTROL,
    DATA,
    TICK_NS,
    UNCUT_BYTES,
    WHOLE,
    burst_bytes,
    codel_time,
    cut_bytes,
    fq_codel_parameters,
    frame_bytes,
    interface_classes,
    packet_bytes,
    pfifo_parameters,
)

RATES = st.integers(2_000_000, 100_000_000_000)
MTUS = st.integers(68, 9216)


def test_at_speed_a_burst_is_a_millisecond_of_the_rate() -> None:
    assert burst_bytes(10_000_000_000, 1500) == 1_250_000


@pytest.mark.parametrize("rate", [17_000_000, 50_000_000, 200_000_000, 523_000_000, 525_000_000, 2_000_000_000])
def test_a_burst_and_the_packet_on_top_stay_within_the_four_milliseconds_a_policer_forgives(rate: int) -> None:
    assert burst_bytes(rate, 1500) + packet_bytes(rate, 1500) <= rate / 8 * 0.003


def test_a_slow_rate_still_lets_two_whole_frames_through() -> None:
    assert burst_bytes(2_000_000, 1500) == 2 * (1500 + 14)


@given(rate=RATES, mtu=MTUS)
def test_what_is_not_control_sends_next_to_nothing_by_a_rate_of_its_own(rate: int, mtu: int) -> None:
    # HTB asks nobody for leave then, and a policer has no patience for a frame on top of a full burst.
    data = next(htb for htb in interface_classes(rate, mtu, 0) if htb.minor == DATA)
    assert data.rate_bytes * 60 < frame_bytes(mtu)


def test_super_packets_are_cut_where_they_last_long_or_each_frame_counts_for_more() -> None:
    assert cut_bytes(10_000_000, 1500, 0) == frame_bytes(1500) + 8
    assert cut_bytes(200_000_000, 1500, 0) == 25_000
    assert cut_bytes(200_000_000, 1500, 24) == frame_bytes(1500) + 8
    assert cut_bytes(1_000_000_000, 1500, 0) == UNCUT_BYTES
    assert cut_bytes(1_000_000_000, 1500, 24) == frame_bytes(1500) + 8


@given(rate=RATES, mtu=MTUS)
def test_every_ordered_rate_gives_classes_the_kernel_can_hold(rate: int, mtu: int) -> None:
    classes = {htb.minor: htb for htb in interface_classes(rate, mtu, 0)}
    whole = classes[WHOLE]
    burst = whole.burst_ticks * TICK_NS * whole.rate_bytes / 1e9
    assert whole.rate_bytes == whole.ceil_bytes == rate // 8
    assert burst <= burst_bytes(rate, mtu)
    # Together the two have less of their own than the whole: what they send beyond it is lent by the whole.
    assert classes[CONTROL].rate_bytes + classes[DATA].rate_bytes < whole.rate_bytes
    assert classes[CONTROL].priority < classes[DATA].priority
    for htb in classes.values():
        assert 0 < htb.burst_ticks < 2**32
        assert htb is whole or htb.ceil_bytes > whole.rate_bytes, "a second gate, which costs a timer a frame"
        assert htb is whole or frame_bytes(mtu) <= htb.quantum <= 200_000


@given(st.integers(0, 10_000_000))
def test_a_codel_time_read_back_and_sent_again_one_higher_reads_the_same(microseconds: int) -> None:
    read_back = codel_time(microseconds)
    assert codel_time(read_back + 1) == read_back


def test_at_a_slow_rate_codel_waits_for_one_and_a_half_frames() -> None:
    assert dict(fq_codel_parameters(2_000_000, 1500).settings)["target"] == codel_time(9084)
    assert dict(fq_codel_parameters(1_000_000_000, 1500).settings)["target"] == codel_time(5000)


def test_a_plain_queue_is_short_at_low_rates_and_bounded_at_high_ones() -> None:
    assert pfifo_parameters(2_000_000, 1500).settings == (("limit", 20),)
    assert pfifo_parameters(10_000_000_000, 1500).settings == (("limit", 1000),)
