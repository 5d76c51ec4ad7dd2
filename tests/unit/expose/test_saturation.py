"""How long a virtual interface has been full."""

from dcedge.kernel.counters import ShaperCounters
from dcedge.monitor.saturation import SaturationMeter

RATE = 8_000_000  # 1 MB a second


def counters(sent_bytes: int, dropped: int = 0, packets: int = 0) -> ShaperCounters:
    return ShaperCounters("fq_codel", sent_bytes, packets, dropped, 0)


def fed(*looks: ShaperCounters, overhead: int = 0) -> tuple[float, float]:
    meter = SaturationMeter()
    return [meter.feed("eth1.101", look, RATE, overhead, float(at)) for at, look in enumerate(looks)][-1]


def test_twelve_full_seconds_of_a_minute_are_twelve() -> None:
    looks = [counters(min(at, 12) * 1_000_000) for at in range(61)]
    assert fed(*looks) == (12, 12)


def test_a_full_second_is_forgotten_after_a_minute_and_counted_for_ever() -> None:
    assert fed(*(counters(min(at, 1) * 1_000_000) for at in range(70))) == (0, 1)


def test_what_drops_is_full_whatever_it_sent() -> None:
    assert fed(counters(0), counters(500_000, dropped=3)) == (1, 1)


def test_the_overhead_of_small_packets_fills_a_rate_too() -> None:
    assert fed(counters(0), counters(720_000, packets=12_000)) == (0, 0)
    assert fed(counters(0), counters(720_000, packets=12_000), overhead=24) == (1, 1)
