"""The exposition: the fast text is what prometheus_client makes of the same table; in which format a scraper has it."""

from __future__ import annotations

import gzip
import os
import time
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from dcedge.api.metrics.collector import SnapshotCollector
from dcedge.api.metrics.exposition import OPENMETRICS, TEXT, ExpositionFormat, exposition, gzipped, negotiate
from dcedge.api.metrics.family import AnyTable, Value, gauge
from dcedge.api.metrics.tables import SESSIONS, TABLES, VIRTUAL_INTERFACES
from dcedge.api.metrics.text import END, number, render
from dcedge.api.negotiation import accepts_gzip
from dcedge.monitor.snapshot import FrrSnapshot, OrderSnapshot, PassSnapshot, Snapshot, VirtualInterfaceSnapshot
from tests.unit.api.random_scene import Chance
from tests.unit.expose.scene import complete, own_metrics, rendered, snapshot, up

SCENES = 200
FORMATS = pytest.mark.parametrize("wanted", [TEXT, OPENMETRICS], ids=["text", "openmetrics"])


def reference(shown: Snapshot, wanted: ExpositionFormat, tables: tuple[AnyTable, ...] = TABLES) -> str:
    """What prometheus_client makes of the Collector."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: shown, tables))
    return wanted.encoder(registry).removesuffix(END).decode()


def fast(shown: Snapshot, wanted: ExpositionFormat, tables: tuple[AnyTable, ...] = TABLES) -> str:
    return b"".join(render(shown, wanted.encoder, tables)).decode()


@FORMATS
def test_the_text_of_the_complete_scene_is_that_of_the_collector(wanted: ExpositionFormat) -> None:
    assert fast(complete(), wanted).splitlines() == reference(complete(), wanted).splitlines()


@FORMATS
def test_the_text_of_random_scenes_is_that_of_the_collector(wanted: ExpositionFormat) -> None:
    for seed in range(SCENES):
        shown = Chance(seed).scene()
        assert fast(shown, wanted) == reference(shown, wanted), f"seed {seed}"


@FORMATS
def test_a_new_row_of_the_table_is_a_new_metric(wanted: ExpositionFormat) -> None:
    row: Value[VirtualInterfaceSnapshot] = gauge(
        "dcedge_virtual_interface_layer_known", "Whether a layer is named.", lambda vi: bool(vi.verdict.layer)
    )
    tables = (replace(VIRTUAL_INTERFACES, families=(*VIRTUAL_INTERFACES.families, row)), SESSIONS)
    text = fast(snapshot(up()), wanted, tables)
    assert f"\n{row.name}{{" in text
    assert text == reference(snapshot(up()), wanted, tables)


def test_every_metric_is_there_once_and_none_says_when_it_was_made() -> None:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(complete))
    described = [family.name for family in SnapshotCollector(complete).describe()]
    assert len(described) == len(set(described))
    for text, parse in (
        (rendered(complete()), parse_text),
        (rendered(complete(), openmetrics=True), parse_openmetrics),
    ):
        families = list(parse(text.decode()))
        assert len({family.name for family in families}) == len(families)
        assert not [s.name for family in families for s in family.samples if s.name.endswith("_created")]


def test_openmetrics_ends_once_and_at_the_end() -> None:
    text = rendered(complete(), openmetrics=True)
    assert text.count(END) == 1
    assert text.endswith(END)


@FORMATS
def test_the_daemons_own_states_are_those_of_the_snapshot(wanted: ExpositionFormat) -> None:
    own = own_metrics()
    before = replace(
        snapshot(),
        passes=PassSnapshot(),
        order=OrderSnapshot("order.yaml"),
        frr=FrrSnapshot(available=False, detail=""),
    )
    text = own.render(before, wanted.encoder).decode()
    assert "\ndcedge_frr_available 0.0\n" in text
    for unknown in ("dcedge_frr_info", "dcedge_reconcile_finished_timestamp_seconds", "dcedge_order_applied_timestamp"):
        assert f"\n{unknown}" not in text, "a value that is not known has no sample"
    text = own.render(snapshot(), wanted.encoder).decode()
    assert '\ndcedge_frr_info{version="10.3"} 1.0\n' in text
    assert "\ndcedge_reconcile_finished_timestamp_seconds 1.699999995e+09\n" in text
    text = own.render(replace(before, frr=FrrSnapshot(True, "", "10.4")), wanted.encoder).decode()
    assert '\ndcedge_frr_info{version="10.4"} 1.0\n' in text
    assert 'version="10.3"' not in text, "what is no more is shown no more"
    assert "\ndcedge_reconcile_finished_timestamp_seconds" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0"), (True, "1.0"), (4096, "4096.0"), (999_999, "999999.0"), (10**6, "1e+06"), (1234567, "1.234567e+06")],
)
def test_numbers_are_written_as_go_does(value: float, text: str) -> None:
    assert number(value) == text
    assert number(float(value)) == text


PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
OPEN, PLAIN = "application/openmetrics-text; version=1.0.0", "text/plain; version=0.0.4"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/html", PLAIN),
        ("text/plain;version=1.0.0", "text/plain; version=1.0.0"),
        (PROMETHEUS_2, OPEN),
        (PROMETHEUS_3, OPEN),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPEN),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.9", PLAIN),
        ("text/plain;q=0.2, application/openmetrics-text;q=0.9", OPEN),
        ("application/openmetrics-text, text/plain", PLAIN),
        ("application/openmetrics-text;version=1.0.0;q=0", PLAIN),
        ("application/openmetrics-text;version=0.0.1", PLAIN),
        ("application/openmetrics-text;version=1.0.0é", PLAIN),
        ("application/openmetrics-text;version=1.0.x,text/plain;version=", PLAIN),
        ("application/openmetrics-text;escaping=dots", OPEN),
        (";;;,=,q=", PLAIN),
    ],
)
def test_the_format_that_is_wanted_most_wins(accept: str, answer: str) -> None:
    assert negotiate(accept).content_type.startswith(answer)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, br", False),
        ("*", False),
    ],
)
def test_gzip_is_for_who_accepts_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


def test_packed_pieces_are_the_whole_and_come_one_by_one() -> None:
    shown, own = snapshot(*(up(f"vi-{n}") for n in range(500))), own_metrics()
    plain = b"".join(exposition(shown, own)).split(b"# HELP process_")[0]
    pieces = list(gzipped(exposition(shown, own)))
    assert gzip.decompress(b"".join(pieces)).split(b"# HELP process_")[0] == plain
    assert all(pieces)
    assert len(b"".join(pieces)) * 5 < len(plain)


def test_a_registry_can_tell_the_collectors_names_without_a_snapshot() -> None:
    def none() -> Snapshot:
        raise AssertionError("nobody has scraped")

    registry = CollectorRegistry()
    registry.register(SnapshotCollector(none))
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(SnapshotCollector(none))


def test_the_process_is_this_one() -> None:
    own = own_metrics()

    def value(name: str) -> float:
        families = parse_text(own.render(snapshot(), TEXT.encoder).decode())
        return next(s.value for family in families for s in family.samples if s.name == name)

    before = value("process_open_fds")
    with open(os.devnull, "rb"):  # noqa: PTH123 - /dev/null is no path of ours
        assert value("process_open_fds") == before + 1
    assert 0 < time.time() - value("process_start_time_seconds") < 24 * 3600
    assert value("process_cpu_seconds_total") > 0
    assert value("process_resident_memory_bytes") > 1_000_000
