"""What probes and STAMP find, as plain data: part of what the control socket and HTTP give."""

from __future__ import annotations

from typing import TypedDict

from dcedge.probe.stamp import StampStats
from dcedge.probe.stream import ProbeStats


class ProbeDocument(TypedDict):
    """One stream of probes; `window_*`, `rtt_*` and `router_late_seconds` cover the last 64."""

    family: str
    destination: str
    interval_seconds: float
    rtt_seconds: float | None
    rtt_min_seconds: float | None
    rtt_last_seconds: float | None
    jitter_seconds: float | None
    sent: int
    lost: int
    late: int
    duplicates: int
    reordered: int
    send_errors: int
    window_probes: int
    window_lost: int
    error: str | None
    mtu_bytes: int | None
    full_size_answered: bool | None
    full_size_misses: int
    router_late_seconds: float


class StampDocument(TypedDict):
    """What STAMP finds on one path; one-way delays where both clocks are set by a reference."""

    virtual_interface: str
    destination: str
    sent: int
    received: int
    lost: int
    lost_forward: int
    lost_backward: int
    round_trip_seconds: float | None
    forward_seconds: float | None
    backward_seconds: float | None


def probe_json(probe: ProbeStats) -> ProbeDocument:
    """A stream as plain JSON values."""
    return {
        "family": probe.family,
        "destination": probe.destination,
        "interval_seconds": probe.interval,
        "rtt_seconds": probe.rtt_average,
        "rtt_min_seconds": probe.rtt_min,
        "rtt_last_seconds": probe.rtt_last,
        "jitter_seconds": probe.jitter,
        "sent": probe.sent,
        "lost": probe.lost,
        "late": probe.late,
        "duplicates": probe.duplicates,
        "reordered": probe.reordered,
        "send_errors": probe.send_errors,
        "window_probes": probe.window_probes,
        "window_lost": probe.window_lost,
        "error": probe.error,
        "mtu_bytes": probe.mtu,
        "full_size_answered": probe.full_size_answered,
        "full_size_misses": probe.full_size_misses,
        "router_late_seconds": round(probe.router_late, 3),
    }


def stamp_json(stamp: StampStats) -> StampDocument:
    """What STAMP finds as plain JSON values."""
    return {
        "virtual_interface": stamp.virtual_interface,
        "destination": stamp.destination,
        "sent": stamp.sent,
        "received": stamp.received,
        "lost": stamp.lost,
        "lost_forward": stamp.lost_forward,
        "lost_backward": stamp.lost_backward,
        "round_trip_seconds": stamp.round_trip,
        "forward_seconds": stamp.forward,
        "backward_seconds": stamp.backward,
    }
