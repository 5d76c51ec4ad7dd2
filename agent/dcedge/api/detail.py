"""All about one virtual interface: for `dcedge status NAME` and for the status page, where one is looked at closely."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from typing import TypedDict

from dcedge.api.status import (
    ConnectionDocument,
    TransitionDocument,
    VirtualInterfaceDocument,
    connection_json,
    transition_json,
    virtual_interface_json,
)
from dcedge.monitor.health.advice import SIDES, next_step
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.last_hour import STEP_SECONDS, Curves, Hour
from dcedge.monitor.snapshot import SessionSnapshot, Snapshot
from dcedge.probe.histogram import BOUNDS, Histogram, HistogramCounts

PERCENTILES = (50, 90, 99)


class TimersDocument(TypedDict):
    """A session's ordered timers and limits, and the silence after which BFD calls its path dead now (null: no BFD)."""

    peer: str
    customer_asn: int | None
    cloud_asn: int | None
    keepalive_seconds: int | None
    hold_seconds: int | None
    bfd_interval_seconds: float | None
    bfd_multiplier: int | None
    bfd_detection_seconds: float | None
    receive_limit: int | None
    advertise_limit: int | None


class PercentilesDocument(TypedDict):
    """Round trips of one destination since the daemon began: how many were measured, and their percentiles.

    Interpolated within the buckets of the histogram that is exported; null: none was measured.
    """

    destination: str
    measured: int
    p50_seconds: float | None
    p90_seconds: float | None
    p99_seconds: float | None


class CurvesDocument(TypedDict):
    """The last hour: points `step_seconds` apart, the last one of the time just past; null: not known."""

    step_seconds: float
    rtt_seconds: list[float | None]
    loss: list[float | None]
    receive_bps: list[float | None]
    transmit_bps: list[float | None]


class Detail(TypedDict):
    """The whole. `side`: who has to act, in words; `next_step` is empty where nothing is to be done."""

    taken_at: float
    virtual_interface: VirtualInterfaceDocument
    connection: ConnectionDocument | None
    side: str
    next_step: str
    command: str
    timers: list[TimersDocument]
    percentiles: list[PercentilesDocument]
    history: list[TransitionDocument]
    hour: CurvesDocument


def detail_json(snapshot: Snapshot, name: str, hour: Hour, history: Iterable[Transition]) -> Detail | None:
    """All about one virtual interface as plain JSON values; None where there is none of this name."""
    vi = next((vi for vi in snapshot.virtual_interfaces if vi.name == name), None)
    if vi is None:
        return None
    connection = next((c for c in snapshot.connections if c.name == vi.connection), None)
    return {
        "taken_at": snapshot.taken,
        "virtual_interface": virtual_interface_json(vi),
        "connection": None if connection is None else connection_json(connection),
        "side": "" if vi.verdict.state == "up" else SIDES[vi.verdict.side],
        "next_step": next_step(vi.verdict),
        "command": f"dcedge explain {vi.name}",
        "timers": [_timers(session) for session in vi.sessions],
        "percentiles": [_percentiles(probe.destination, probe.histogram) for probe in vi.probes],
        "history": [transition_json(transition) for transition in history],
        "hour": _curves(hour.curves(name)),
    }


def _curves(curves: Curves) -> CurvesDocument:
    return {
        "step_seconds": STEP_SECONDS,
        "rtt_seconds": list(curves.rtt),
        "loss": list(curves.loss),
        "receive_bps": list(curves.receive_bps),
        "transmit_bps": list(curves.transmit_bps),
    }


def _timers(session: SessionSnapshot) -> TimersDocument:
    ordered = session.ordered
    bfd = ordered.bfd if ordered is not None else None
    detection = session.bfd_detection_ms
    return {
        "peer": session.peer,
        "customer_asn": ordered.customer_asn if ordered is not None else None,
        "cloud_asn": ordered.cloud_asn if ordered is not None else None,
        "keepalive_seconds": ordered.keepalive if ordered is not None else None,
        "hold_seconds": ordered.hold if ordered is not None else None,
        "bfd_interval_seconds": bfd.interval if bfd is not None else None,
        "bfd_multiplier": bfd.multiplier if bfd is not None else None,
        "bfd_detection_seconds": detection / 1000 if detection is not None else None,
        "receive_limit": ordered.receive_limit if ordered is not None else None,
        "advertise_limit": ordered.advertise_limit if ordered is not None else None,
    }


def _percentiles(destination: str, histogram: Histogram | HistogramCounts) -> PercentilesDocument:
    p50, p90, p99 = (percentile(histogram, share) for share in PERCENTILES)
    return {
        "destination": destination,
        "measured": sum(histogram.counts),
        "p50_seconds": p50,
        "p90_seconds": p90,
        "p99_seconds": p99,
    }


def percentile(histogram: Histogram | HistogramCounts, percent: float) -> float | None:
    """The value below which so many per cent of the observations lie, as far as the buckets tell; None of none.

    Beyond the last bound it is the last bound, as Prometheus has it.
    """
    counts = tuple(histogram.counts)
    together = tuple(accumulate(counts))
    rank = together[-1] * percent / 100
    if not together[-1]:
        return None
    bucket = next(number for number, count in enumerate(together) if count >= rank)
    if bucket == len(BOUNDS):
        return BOUNDS[-1]
    below = BOUNDS[bucket - 1] if bucket else 0.0
    within = (rank - (together[bucket] - counts[bucket])) / counts[bucket]
    return below + (BOUNDS[bucket] - below) * within
