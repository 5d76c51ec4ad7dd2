"""The daemon's own metrics: counted where something happens, or as the snapshot has them when somebody scrapes.

`_created` series, one for each counter and histogram, are left out: Prometheus has no use for them.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.registry import Collector

from dcedge import __version__
from dcedge.monitor.snapshot import Snapshot
from dcedge.probe.histogram import BOUNDS

disable_created_metrics()

# Gauges that are what the snapshot says: name, help, and where the value is; None: no sample yet.
_STATES: tuple[tuple[str, str, Callable[[Snapshot], float | None]], ...] = (
    ("dcedge_frr_available", "Whether FRR answers.", lambda s: s.frr.available),
    ("dcedge_reconcile_finished_timestamp_seconds", "When the last pass ended.", lambda s: s.passes.finished),
    (
        "dcedge_reconcile_failing_operations",
        "Operations that did not succeed in the last pass.",
        lambda s: len(s.passes.failing),
    ),
    (
        "dcedge_drift_suppressed",
        "Suppressed repairs: something else keeps undoing them.",
        lambda s: s.passes.drift_suppressed,
    ),
    (
        "dcedge_order_load_failed",
        "Whether the order file as it is now was refused.",
        lambda s: s.order.load_failed,
    ),
    (
        "dcedge_order_file_differs",
        "Whether the order file differs from the order in force.",
        lambda s: s.order.differs,
    ),
    (
        "dcedge_state_files_unwritten",
        "Files of the state folder that cannot be written; a restart would lose them.",
        lambda s: s.passes.state_files_unwritten,
    ),
    (
        "dcedge_order_applied_timestamp_seconds",
        "When the order in force was applied.",
        lambda s: s.order.applied,
    ),
)


class DaemonMetrics:
    """The instruments, in a registry of their own, with what prometheus_client knows of the process."""

    def __init__(self, version: str = __version__) -> None:
        self.registry = registry = CollectorRegistry()
        Info("dcedge_build", "This build.", registry=registry).info({"version": version})
        self._frr = Info("dcedge_frr", "The FRR that runs here.", ["version"], registry=registry)
        self.pass_duration = Histogram(
            "dcedge_reconcile_duration_seconds",
            "Duration of the passes.",
            unit="seconds",
            buckets=BOUNDS,
            registry=registry,
        )
        self.drift_repaired = Counter(
            "dcedge_drift_repaired_total",
            "Repaired drift: differences that no order caused.",
            ["resource"],
            registry=registry,
        )
        self.task_failures = Counter(
            "dcedge_task_failures_total",
            "Errors that ended one of the daemon's background tasks, which was then restarted.",
            ["task"],
            registry=registry,
        )
        self._states = [(_State(name, text, registry=registry), of) for name, text, of in _STATES]
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._turn = Lock()

    def render(self, snapshot: Snapshot, encoder: Callable[[Collector], bytes]) -> bytes:
        """All of it as `encoder` writes it, with the states as the snapshot has them."""
        with self._turn:
            self._frr.clear()
            if snapshot.frr.version is not None:
                self._frr.labels(snapshot.frr.version)
            for gauge, of in self._states:
                gauge.show(of(snapshot))
            return encoder(self.registry)


class _State(Gauge):
    """A gauge that has no sample while its value is not known."""

    _known = False

    def show(self, value: float | None) -> None:
        """Take over a value."""
        self._known = value is not None
        if value is not None:
            self.set(value)

    def collect(self) -> list[Metric]:
        return list(super().collect() if self._known else self.describe())


def counts(counter: Counter) -> dict[str, int]:
    """What a counter with one label has counted so far, by that label's values, sorted."""
    samples = [sample for family in counter.collect() for sample in family.samples]
    return dict(sorted((value, int(sample.value)) for sample in samples for value in sample.labels.values()))
