"""The rows of the table of metrics: a family each, with its name, type, help, labels and where its value comes from.

`of` reads a thing (a virtual interface, a session, …) and gives None where the value is not known: then there is no
sample. Names are those of the text format: counters end in `_total`, information in `_info`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from dcedge.monitor.snapshot import Snapshot
from dcedge.probe.histogram import HistogramCounts

Thing = TypeVar("Thing")
LabelValues = tuple[str, ...]
Number = float | None
Type = Literal["gauge", "counter"]

_UNITS = ("seconds", "bytes")


@dataclass(frozen=True, slots=True)
class Value(Generic[Thing]):
    """One sample a thing."""

    name: str
    type: Type
    documentation: str
    of: Callable[[Thing], Number]


@dataclass(frozen=True, slots=True)
class Split(Generic[Thing]):
    """A sample for each of the values of one more label; `of` gives them in that order."""

    name: str
    type: Type
    documentation: str
    label: str
    values: tuple[str, ...]
    of: Callable[[Thing], Iterable[Number]]


@dataclass(frozen=True, slots=True)
class Distribution(Generic[Thing]):
    """A histogram a thing, in seconds."""

    name: str
    documentation: str
    of: Callable[[Thing], HistogramCounts]


@dataclass(frozen=True, slots=True)
class Information(Generic[Thing]):
    """What a thing is, as more labels; `of` gives their values."""

    name: str
    documentation: str
    labels: tuple[str, ...]
    of: Callable[[Thing], LabelValues]


Family = Value[Thing] | Split[Thing] | Distribution[Thing] | Information[Thing]


def gauge(name: str, documentation: str, of: Callable[[Thing], Number]) -> Value[Thing]:
    """A row of a gauge."""
    return Value(name, "gauge", documentation, of)


def counter(name: str, documentation: str, of: Callable[[Thing], Number]) -> Value[Thing]:
    """A row of a counter."""
    return Value(name, "counter", documentation, of)


@dataclass(frozen=True, slots=True)
class MetricTable(Generic[Thing]):
    """Families with samples of the same things; `things` finds these, with the values of `labels`."""

    labels: tuple[str, ...]
    things: Callable[[Snapshot], Iterable[tuple[LabelValues, Thing]]]
    families: tuple[Family[Thing], ...]


AnyFamily = Family[Any]
AnyTable = MetricTable[Any]  # tables of different things stand side by side


def unit_of(name: str) -> str:
    """The base unit that a family's name ends in, for OpenMetrics; empty where there is none."""
    return next((unit for unit in _UNITS if name.removesuffix("_total").endswith(f"_{unit}")), "")
