"""Rates from counters, and when the daemon is to be called unhealthy."""

from __future__ import annotations

from dataclasses import replace

from dcedge.monitor.snapshot import PassSnapshot, RateMeter, Used, unhealthy
from tests.unit.expose.scene import COUNTERS


def test_a_rate_needs_two_readings() -> None:
    meter = RateMeter()
    assert meter.feed("eth1.101", COUNTERS, 10) is None
    later = replace(COUNTERS, receive_bytes=COUNTERS.receive_bytes + 250, transmit_bytes=COUNTERS.transmit_bytes + 500)
    assert meter.feed("eth1.101", later, 12) == Used(1000, 2000)


def test_a_link_made_anew_starts_over_instead_of_running_backwards() -> None:
    meter = RateMeter()
    meter.feed("eth1.101", COUNTERS, 10)
    assert meter.feed("eth1.101", replace(COUNTERS, receive_bytes=0, transmit_bytes=0), 12) is None


def test_a_link_that_is_gone_is_forgotten() -> None:
    meter = RateMeter()
    meter.feed("eth1.101", COUNTERS, 10)
    meter.keep_only(set())
    assert meter.feed("eth1.101", COUNTERS, 12) is None


def test_passes_that_end_in_time_are_health() -> None:
    assert unhealthy(PassSnapshot(finished=100), now=150, longest=120) is None
    assert "at most 120 s" in (unhealthy(PassSnapshot(finished=100), now=300, longest=120) or "")
    assert unhealthy(PassSnapshot(), now=0, longest=120) == "no pass is complete yet"
