"""The exposition: what Prometheus' own parsers make of it, and what promtool has to say."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from dcedge.api.metrics.exposition import exposition
from tests.unit.expose import metrics_page
from tests.unit.expose.scene import complete, down, own_metrics, probe, rendered, snapshot, up

A = {"virtual_interface": "prod-a", "connection": "fra-1", "virtual_gateway": "prod"}
B = {"virtual_interface": "prod-b", "connection": "fra-2", "virtual_gateway": "prod"}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(families: Iterable[Metric]) -> Samples:
    """Every sample by name and labels; fails on a sample that is there twice."""
    found: Samples = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is exposed twice"
            found[key] = sample.value
    return found


@pytest.fixture(params=["text", "openmetrics"])
def exposed(request: pytest.FixtureRequest) -> Samples:
    """The scene, read back by Prometheus' own parser in either format."""
    if request.param == "text":
        return samples(parse_text(rendered(snapshot()).decode()))
    return samples(parse_openmetrics(rendered(snapshot(), openmetrics=True).decode()))


def value(exposed: Samples, name: str, labels: dict[str, str] | None = None, **more: str) -> float:
    return exposed[name, frozenset(((labels or {}) | more).items())]


def test_a_virtual_interface_that_carries_traffic_is_up(exposed: Samples) -> None:
    assert value(exposed, "dcedge_virtual_interface_up", A) == 1
    assert value(exposed, "dcedge_virtual_interface_up", B) == 0


def test_the_verdict_is_a_set_of_states_of_which_one_is_true(exposed: Samples) -> None:
    states = {
        dict(labels)["verdict"]: value
        for (name, labels), value in exposed.items()
        if name == "dcedge_virtual_interface_verdict" and dict(labels)["virtual_interface"] == "prod-b"
    }
    assert states == {"up": 0, "degraded": 0, "down": 1, "drained": 0, "pending": 0}


def test_rates_are_in_bytes_a_second(exposed: Samples) -> None:
    assert value(exposed, "dcedge_virtual_interface_ordered_bytes_per_second", A) == 62_500_000


def test_sessions_and_their_prefixes(exposed: Samples) -> None:
    ours = A | {"family": "ipv4", "peer": "10.0.0.1"}
    assert value(exposed, "dcedge_bgp_session_up", ours) == 1
    assert value(exposed, "dcedge_bfd_session_up", ours) == 1
    assert value(exposed, "dcedge_bgp_session_transitions_total", ours) == 1
    counts = [
        value(exposed, "dcedge_bgp_prefixes", ours, direction=direction)
        for direction in ("received", "accepted", "advertised")
    ]
    assert counts == [4, 3, 2]


def test_round_trips_are_a_cumulative_histogram(exposed: Samples) -> None:
    name, labels = "dcedge_probe_rtt_seconds", A | {"family": "ipv6"}
    assert value(exposed, f"{name}_bucket", labels, le="0.0008") == 0
    assert value(exposed, f"{name}_bucket", labels, le="0.0016") == 1
    assert value(exposed, f"{name}_bucket", labels, le="0.0032") == 2
    assert value(exposed, f"{name}_bucket", labels, le="+Inf") == 2
    assert value(exposed, f"{name}_count", labels) == 2
    assert value(exposed, f"{name}_sum", labels) == pytest.approx(0.004)


def test_lost_probes_and_the_interval_in_force(exposed: Samples) -> None:
    assert value(exposed, "dcedge_probe_lost_total", B, family="ipv4") == 5
    assert value(exposed, "dcedge_probe_interval_seconds", B, family="ipv4") == 2


def test_both_ways_of_a_path_that_stamp_measures(exposed: Samples) -> None:
    path = A | {"peer": "10.0.0.1"}
    delays = [
        value(exposed, "dcedge_stamp_delay_seconds", path, direction=direction)
        for direction in ("round_trip", "forward", "backward")
    ]
    assert delays == [0.007, 0.002, 0.005]
    assert value(exposed, "dcedge_stamp_lost_total", path) == 5
    assert value(exposed, "dcedge_stamp_lost_in_direction_total", path, direction="forward") == 3


def test_link_port_and_shaper_counters_do_not_mix(exposed: Samples) -> None:
    assert value(exposed, "dcedge_interface_transmit_bytes_total", A) == 2000
    assert value(exposed, "dcedge_port_transmit_bytes_total", connection="fra-1", port="eth1") == 2000
    assert value(exposed, "dcedge_shaper_sent_bytes_total", A) == 5000
    assert value(exposed, "dcedge_shaper_dropped_packets_total", A) == 5
    assert value(exposed, "dcedge_shaper_backlog_bytes", A) == 1500
    assert value(exposed, "dcedge_shaper_marked_packets_total", A) == 6
    assert value(exposed, "dcedge_shaper_requeues_total", A) == 7
    assert value(exposed, "dcedge_shaper_saturated_seconds_total", A) == 340


def test_connections(exposed: Samples) -> None:
    labels = {"connection": "fra-2", "port": "eth2", "provider": "azure"}
    assert value(exposed, "dcedge_connection_carrier", labels) == 0
    labels = {"connection": "fra-1", "port": "eth1", "provider": "otc"}
    assert value(exposed, "dcedge_connection_carrier_changes_total", labels) == 3


def test_the_daemon_itself(exposed: Samples) -> None:
    assert value(exposed, "dcedge_drift_repaired_total", resource="address") == 2
    assert value(exposed, "dcedge_order_load_failed") == 0
    assert value(exposed, "dcedge_reconcile_duration_seconds_count") == 1
    assert value(exposed, "dcedge_build_info", version="1.2.3") == 1
    assert value(exposed, "process_resident_memory_bytes") > 1_000_000
    assert value(exposed, "process_start_time_seconds") > 1_600_000_000


def test_a_label_with_everything_hostile_in_it_stays_one_label() -> None:
    hostile = 'a"} 1\n# \\ %d {~} @ \N{SNOWMAN}'
    vi = up()._replace(name=hostile, probes=(probe("x"),))
    found = samples(parse_text(rendered(snapshot(vi)).decode()))
    assert value(found, "dcedge_virtual_interface_up", A | {"virtual_interface": hostile}) == 1
    assert value(found, "dcedge_probe_rtt_seconds_count", A | {"virtual_interface": hostile}, family="ipv4") == 2


def test_what_is_not_known_is_not_exposed() -> None:
    vi = down()._replace(probes=(), sessions=(), since=None, ordered_bps=None)
    names = {name for name, labels in samples(parse_text(rendered(snapshot(vi)).decode())) if labels}
    assert "dcedge_virtual_interface_up" in names
    assert not {name for name in names if name.startswith(("dcedge_bgp", "dcedge_probe", "dcedge_shaper"))}


def test_the_chunks_are_small_enough_to_let_the_loop_run_in_between() -> None:
    many = snapshot(*(up(f"vi-{number}") for number in range(1000)))
    pieces = list(exposition(many, own_metrics()))
    assert max(map(len, pieces)) < 1_000_000
    assert len(pieces) > 10


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian's prometheus)")
def test_promtool_has_nothing_to_complain_of() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=rendered(snapshot()), capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_light_of_a_transceiver_and_when_it_would_alarm() -> None:
    found = samples(parse_text(rendered(complete()).decode()))
    port = {"connection": "fra-1", "port": "eth1"}
    assert value(found, "dcedge_connection_optical_power_dbm", port, direction="receive") == -15.2
    assert value(found, "dcedge_connection_optical_low_alarm_dbm", port, direction="receive") == -14.0
    assert value(found, "dcedge_connection_optical_alarms", port) == 1


def test_how_many_prefixes_a_session_may_carry(exposed: Samples) -> None:
    ours = A | {"family": "ipv4", "peer": "10.0.0.1"}
    assert value(exposed, "dcedge_bgp_prefix_limit", ours, direction="accepted") == 200
    assert value(exposed, "dcedge_bgp_prefix_limit", ours, direction="advertised") == 100


def test_the_page_of_metrics_lists_what_is_exported() -> None:
    assert all(family.samples for family in metrics_page.exported()), "the complete scene lacks some"
    assert metrics_page.PAGE.read_text() == metrics_page.page(), (
        "config/metrics.md is not up to date: .venv/bin/python -m tests.unit.expose.metrics_page"
    )
