"""The table of metrics as text, byte for byte what prometheus_client's `generate_latest` makes of its Collector.

That makes an object a sample, a dictionary of labels each, which at 200,000 samples takes seconds. Here label text is
made once a thing and shared by its families, and the text comes in pieces, so that the whole (some 25 MB at 4,000
virtual interfaces) never has to be in memory at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, islice
from typing import Any, NamedTuple

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from dcedge.api.metrics.collector import BUCKETS, metric
from dcedge.api.metrics.family import (
    AnyFamily,
    AnyTable,
    Distribution,
    Information,
    Split,
    Value,
)
from dcedge.api.metrics.tables import TABLES
from dcedge.monitor.snapshot import Snapshot

Encoder = Callable[[Collector], bytes]

END = b"# EOF\n"  # of OpenMetrics

_LINES_A_PIECE = 4_000
_HISTOGRAMS_A_PIECE = 200


def render(snapshot: Snapshot, encoder: Encoder, tables: Sequence[AnyTable] = TABLES) -> Iterator[bytes]:
    """The families in pieces of at most some 700 kB, without OpenMetrics' last line.

    `encoder` is one of prometheus_client's two `generate_latest`; the samples are the same in both formats.
    """
    for table in tables:
        entries = _entries(table, snapshot)
        for family in table.families:
            yield _head(encoder, family, table.labels)
            lines = _lines(family, table.labels, entries)
            size = _HISTOGRAMS_A_PIECE if isinstance(family, Distribution) else _LINES_A_PIECE
            while piece := "".join(islice(lines, size)):
                yield piece.encode()


class _One(Collector):
    """A single family."""

    def __init__(self, only: Metric) -> None:
        self._only = only

    def collect(self) -> list[Metric]:
        return [self._only]


@lru_cache(maxsize=1024)
def _head(encoder: Encoder, family: AnyFamily, labels: tuple[str, ...]) -> bytes:
    """The lines with a family's help, type and unit."""
    return encoder(_One(metric(family, labels))).removesuffix(END)


class _Entry(NamedTuple):
    """A thing with its labels as text: one by one, by the labels' names, and all in braces."""

    pairs: tuple[str, ...]
    braced: str
    thing: Any


def _entries(table: AnyTable, snapshot: Snapshot) -> list[_Entry]:
    order = sorted(range(len(table.labels)), key=table.labels.__getitem__)
    names = [table.labels[place] for place in order]
    entries = []
    for values, thing in table.things(snapshot):
        pairs = tuple([f'{name}="{escape(values[place])}"' for name, place in zip(names, order, strict=True)])
        entries.append(_Entry(pairs, f"{{{','.join(pairs)}}}" if pairs else "", thing))
    return entries


def _lines(family: AnyFamily, labels: tuple[str, ...], entries: list[_Entry]) -> Iterator[str]:
    match family:
        case Value():
            return _value_lines(family, entries)
        case Split():
            return _split_lines(family, _place(family.label, labels), entries)
        case Distribution():
            return _histograms(family, _place("le", labels), entries)
        case Information():
            return _information_lines(family, labels, entries)


def _place(label: str, labels: tuple[str, ...]) -> int:
    """Where a label stands among the others, which are sorted."""
    return sum(other < label for other in labels)


def _around(pairs: tuple[str, ...], place: int) -> tuple[str, str]:
    """The label text before and after one more label."""
    before, after = pairs[:place], pairs[place:]
    return "".join([f"{pair}," for pair in before]), "".join([f",{pair}" for pair in after])


def _value_lines(family: Value[Any], entries: list[_Entry]) -> Iterator[str]:
    name, of = family.name, family.of
    for _, labels, thing in entries:
        value = of(thing)
        if value is not None:
            yield f"{name}{labels} {number(value)}\n"


def _split_lines(family: Split[Any], place: int, entries: list[_Entry]) -> Iterator[str]:
    values = [f'{family.label}="{escape(value)}"' for value in family.values]
    for pairs, _, thing in entries:
        before, after = _around(pairs, place)
        for one, value in zip(values, family.of(thing), strict=True):
            if value is not None:
                yield f"{family.name}{{{before}{one}{after}}} {number(value)}\n"


def _information_lines(family: Information[Any], labels: tuple[str, ...], entries: list[_Entry]) -> Iterator[str]:
    names = [*sorted(labels), *family.labels]
    order = sorted(range(len(names)), key=names.__getitem__)
    for pairs, _, thing in entries:
        values = zip(family.labels, family.of(thing), strict=True)
        every = [*pairs, *(f'{name}="{escape(value)}"' for name, value in values)]
        yield f"{family.name}{{{','.join([every[place] for place in order])}}} 1.0\n"


def _histograms(family: Distribution[Any], place: int, entries: list[_Entry]) -> Iterator[str]:
    name = family.name
    for pairs, braced, thing in entries:
        before, after = _around(pairs, place)
        head, tail = f'{name}_bucket{{{before}le="', f'"{after}}} '
        histogram = family.of(thing)
        counts = _cumulative(histogram.counts)
        buckets = "".join([f"{head}{le}{tail}{count}\n" for le, count in zip(BUCKETS, counts, strict=True)])
        yield f"{buckets}{name}_count{braced} {counts[-1]}\n{name}_sum{braced} {number(histogram.total)}\n"


def _cumulative(counts: Sequence[int]) -> list[str]:
    """How many observations there are up to each bound. Most buckets are empty: then it is the text before."""
    texts, before, text = [], -1, ""
    for count in accumulate(counts):
        if count != before:
            before, text = count, number(count)
        texts.append(text)
    return texts


_NUMBERS: tuple[str, ...] = tuple(map(floatToGoString, range(4096)))


def number(value: float) -> str:
    """A sample's value as Prometheus writes it; most are small whole numbers."""
    if isinstance(value, int) and 0 <= value < len(_NUMBERS):
        return _NUMBERS[value]
    text: str = floatToGoString(value)
    return text


def escape(value: str) -> str:
    """A label's value, escaped."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
