"""The arithmetic of holding a rate: HTB's burst and quantum, and the queue's size, from rate and MTU. Pure.

HTB counts Ethernet frame bytes: 14 bytes of header before the payload, no tag, no FCS (measured).
"""

from __future__ import annotations

from dataclasses import dataclass

ETHERNET_HEADER_BYTES = 14
TICK_NS = 64  # PSCHED_SHIFT in the kernel; the unit of every burst that tc's interface carries
BURST_BYTES = 64 * 1024  # one GSO super-packet: below it the timer's granularity costs throughput
BURST_SECONDS = 0.001
BURST_SECONDS_MAX = 0.004  # what a provider's policer forgives
QUANTUM_MAX = 200_000  # the kernel warns above it
CODEL_TARGET_US = 5_000  # RFC 8290, section 5.2.1
CODEL_INTERVAL_US = 100_000
QUEUE_SECONDS = 0.2  # the longest a full queue may stand before CoDel has had time to act


@dataclass(frozen=True, slots=True)
class HtbParameters:
    """What an HTB class is told. Rate in bytes a second as the kernel wants it, bursts in ticks of 64 ns."""

    rate_bytes: int
    burst_ticks: int
    quantum: int


@dataclass(frozen=True, slots=True)
class QueueParameters:
    """A leaf queue: its kind, and its settings as the kernel reads them back."""

    kind: str
    settings: tuple[tuple[str, int], ...]


def frame_bytes(mtu: int) -> int:
    """The largest frame at an MTU, as HTB counts it."""
    return mtu + ETHERNET_HEADER_BYTES


def burst_bytes(rate_bps: int, mtu: int) -> int:
    """1 ms of the rate or a super-packet, at most 4 ms of the rate, but never below two frames."""
    rate_bytes = rate_bps / 8
    wished = max(BURST_BYTES, rate_bytes * BURST_SECONDS)
    return int(max(2 * frame_bytes(mtu), min(wished, rate_bytes * BURST_SECONDS_MAX)))


def htb_parameters(rate_bps: int, mtu: int) -> HtbParameters:
    """The class that holds `rate_bps` (bits a second) for frames of up to `mtu` bytes of payload."""
    rate_bytes = max(1, rate_bps // 8)
    burst = burst_bytes(rate_bps, mtu)
    ticks = min(burst * 1_000_000_000 // rate_bytes // TICK_NS, 0xFFFF_FFFF)
    return HtbParameters(rate_bytes, ticks, max(frame_bytes(mtu), min(burst, QUANTUM_MAX)))


def codel_time(microseconds: int) -> int:
    """A CoDel time as the kernel reads it back: it counts in units of 1,024 ns."""
    return ((microseconds * 1000) >> 10 << 10) // 1000


def fq_codel_parameters(rate_bps: int, mtu: int) -> QueueParameters:
    """fq_codel sized to a rate: the target never below one and a half frames' time on the wire (RFC 8290)."""
    frame_us = frame_bytes(mtu) * 8 * 1_000_000 // rate_bps
    target = max(CODEL_TARGET_US, frame_us * 3 // 2)
    interval = max(CODEL_INTERVAL_US, target * 10)
    memory = min(32 << 20, max(1 << 20, int(rate_bps / 8 * QUEUE_SECONDS * 4)))
    return QueueParameters(
        "fq_codel",
        (
            ("target", codel_time(target)),
            ("limit", 10_240),
            ("interval", codel_time(interval)),
            ("ecn", 1),
            ("flows", 1024),
            ("quantum", frame_bytes(mtu)),
            ("memory_limit", memory),
        ),
    )


def pfifo_parameters(rate_bps: int, mtu: int) -> QueueParameters:
    """A plain queue of at most 50 ms at the rate, between 20 and 1,000 packets: where fq_codel is not to be had."""
    packets = int(rate_bps / 8 * 0.05 / frame_bytes(mtu))
    return QueueParameters("pfifo", (("limit", max(20, min(1000, packets))),))
