"""What Prometheus and a browser get from the running daemon, beside what `status` says at the same time."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.bed import ORDERED_BPS, Bed
from tests.lab.wait import until

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def get(bed: Bed, path: str) -> tuple[int, str]:
    """Fetch a path from the daemon, from inside its namespace."""

    def fetch() -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", 9478, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    return bed.edge.namespace.call(fetch)


def families(bed: Bed) -> Iterator[Metric]:
    status, text = get(bed, "/metrics")
    assert status == 200
    yield from text_string_to_metric_families(text)


def values(bed: Bed, name: str) -> dict[str, float]:
    """The samples of this name by virtual interface, summed over its families."""
    found: dict[str, float] = {}
    for family in families(bed):
        for sample in family.samples:
            if sample.name == name:
                vi = sample.labels.get("virtual_interface", "")
                found[vi] = found.get(vi, 0) + sample.value
    return found


def test_virtual_interfaces_and_sessions_are_up_at_the_ordered_bandwidth(running: Bed) -> None:
    assert values(running, "dcedge_virtual_interface_up") == dict.fromkeys(ORDERED_BPS, 1)
    ordered = values(running, "dcedge_virtual_interface_ordered_bytes_per_second")
    assert ordered == {name: bps / 8 for name, bps in ORDERED_BPS.items()}

    up = values(running, "dcedge_bgp_session_up")
    for name, vi in running.edge.virtual_interfaces().items():
        assert up[name] == len(vi["bgp"])


def test_probes_go_on_and_are_answered(running: Bed) -> None:
    before = values(running, "dcedge_probe_sent_total")
    until(
        "more probes on every virtual interface",
        lambda: values(running, "dcedge_probe_sent_total"),
        accept=lambda now: all(now[name] > before[name] for name in ORDERED_BPS),
    )
    measured = until(
        "round trips on every virtual interface",
        lambda: values(running, "dcedge_probe_rtt_seconds_count"),
        accept=lambda now: all(now.get(name) for name in ORDERED_BPS),
    )
    assert set(measured) == set(ORDERED_BPS)


def test_healthz_and_the_page_with_its_data_and_nothing_else(running: Bed) -> None:
    assert get(running, "/healthz") == (200, "ok\n")
    status, page = get(running, "/")
    assert status == 200
    assert "/overview.json" in page
    seen = json.loads(get(running, "/overview.json")[1])
    assert {vi["name"]: vi["ordered_bps"] for vi in seen["virtual_interfaces"]} == ORDERED_BPS
    detail = json.loads(get(running, "/interfaces/prod-b.json")[1])
    assert [timers["peer"] for timers in detail["timers"]] == ["10.255.102.1", "2001:db8:102::1"]
    assert all(timers["bfd_multiplier"] == 3 for timers in detail["timers"])
    assert all(of["measured"] > 0 and of["p99_seconds"] < 1 for of in detail["percentiles"])
    for path in ("/v1/status", "/v1/apply", "/order", "/../etc/passwd"):
        assert get(running, path)[0] == 404, path
