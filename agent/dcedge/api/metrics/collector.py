"""The table of metrics as a Collector of prometheus_client's.

What `generate_latest` makes of it is the reference for `text.py`, which renders the same table without an object a
sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from dcedge.api.metrics.family import (
    AnyFamily,
    AnyTable,
    Distribution,
    Information,
    LabelValues,
    Split,
    Value,
    unit_of,
)
from dcedge.api.metrics.tables import TABLES
from dcedge.monitor.snapshot import Snapshot
from dcedge.probe.histogram import BOUNDS

Things = Sequence[tuple[LabelValues, Any]]

BUCKETS: tuple[str, ...] = (*map(floatToGoString, BOUNDS), "+Inf")  # the values of `le`


class SnapshotCollector(Collector):
    """The families of a snapshot, which is taken anew at each collection."""

    def __init__(self, snapshot: Callable[[], Snapshot], tables: Sequence[AnyTable] = TABLES) -> None:
        self._snapshot = snapshot
        self._tables = tables

    def describe(self) -> Iterator[Metric]:
        """The families without samples: what a registry wants to know of names."""
        return (metric(family, table.labels) for table in self._tables for family in table.families)

    def collect(self) -> Iterator[Metric]:
        """The families with their samples."""
        snapshot = self._snapshot()
        for table in self._tables:
            things = list(table.things(snapshot))
            for family in table.families:
                yield metric(family, table.labels, things)


def metric(family: AnyFamily, labels: tuple[str, ...], things: Things = ()) -> Metric:
    """A family with its samples of these things."""
    match family:
        case Value():
            return _values(family, labels, things)
        case Split():
            return _split(family, labels, things)
        case Distribution():
            return _histograms(family, labels, things)
        case Information():
            return _information(family, labels, things)


def _empty(family: Value[Any] | Split[Any], labels: Iterable[str]) -> CounterMetricFamily | GaugeMetricFamily:
    make = CounterMetricFamily if family.type == "counter" else GaugeMetricFamily
    return make(family.name, family.documentation, labels=tuple(labels), unit=unit_of(family.name))


def _values(family: Value[Any], labels: tuple[str, ...], things: Things) -> Metric:
    made = _empty(family, labels)
    for values, thing in things:
        value = family.of(thing)
        if value is not None:
            made.add_metric(values, value)
    return made


def _split(family: Split[Any], labels: tuple[str, ...], things: Things) -> Metric:
    made = _empty(family, (*labels, family.label))
    for values, thing in things:
        for one, value in zip(family.values, family.of(thing), strict=True):
            if value is not None:
                made.add_metric((*values, one), value)
    return made


def _histograms(family: Distribution[Any], labels: tuple[str, ...], things: Things) -> Metric:
    made = HistogramMetricFamily(family.name, family.documentation, labels=labels, unit=unit_of(family.name))
    for values, thing in things:
        histogram = family.of(thing)
        made.add_metric(values, list(zip(BUCKETS, accumulate(histogram.counts), strict=True)), histogram.total)
    return made


def _information(family: Information[Any], labels: tuple[str, ...], things: Things) -> Metric:
    made = InfoMetricFamily(family.name.removesuffix("_info"), family.documentation, labels=labels)
    for values, thing in things:
        made.add_metric(values, dict(zip(family.labels, family.of(thing), strict=True)))
    return made
