"""The shaping arithmetic: what a class is told must be what the kernel reads back, and what a policer forgives."""

from hypothesis import given
from hypothesis import strategies as st

from dcedge.kernel.shaping import (
    TICK_NS,
    burst_bytes,
    codel_time,
    fq_codel_parameters,
    frame_bytes,
    htb_parameters,
    pfifo_parameters,
)

RATES = st.integers(2_000_000, 100_000_000_000)
MTUS = st.integers(68, 9216)


def test_at_speed_a_burst_is_a_millisecond_of_the_rate() -> None:
    assert burst_bytes(10_000_000_000, 1500) == 1_250_000


def test_a_burst_stays_within_the_four_milliseconds_a_policer_forgives() -> None:
    assert burst_bytes(50_000_000, 1500) == 25_000  # 4 ms; a super-packet of 64 KiB would be 10 ms


def test_a_slow_rate_still_lets_two_whole_frames_through() -> None:
    assert burst_bytes(2_000_000, 1500) == 2 * (1500 + 14)


@given(rate=RATES, mtu=MTUS)
def test_every_ordered_rate_gives_a_class_the_kernel_can_hold(rate: int, mtu: int) -> None:
    htb = htb_parameters(rate, mtu)
    burst = htb.burst_ticks * TICK_NS * htb.rate_bytes / 1e9
    assert htb.rate_bytes == rate // 8
    assert 0 < htb.burst_ticks < 2**32
    assert burst <= burst_bytes(rate, mtu)
    assert frame_bytes(mtu) <= htb.quantum <= 200_000


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
