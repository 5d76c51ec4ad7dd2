"""The Grafana dashboard: it asks for what there is, and lays it out so that nothing covers anything."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import yaml

from tests.unit.config import dashboard
from tests.unit.expose import metrics_page

RULES = Path(__file__).parents[3] / "config" / "prometheus" / "dcedge.rules.yml"


def test_it_asks_for_metrics_that_there_are() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    asked = " ".join(q.expression for q in dashboard.queries("5m")) + " ".join(dashboard.variables().values())
    names = set(re.findall(r"\b((?:dcedge|process)[_:][\w:]+)", asked))
    assert names - metrics_page.names() - recorded == set()


def test_it_shows_every_metric_of_the_lines_themselves() -> None:
    asked = " ".join(query.expression for query in dashboard.queries("5m"))
    lines = (
        "dcedge_virtual_interface_up",
        "dcedge_bgp_session_up",
        "dcedge_bfd_session_up",
        "dcedge_connection_carrier",
    )
    assert [name for name in lines if name not in asked] == []


def test_every_variable_is_filled_in() -> None:
    assert [query for query in dashboard.queries("5m") if "$" in query.expression] == []


def test_panels_have_their_own_ids_and_places_and_say_what_they_show() -> None:
    panels = dashboard.dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["type"] == "row" or panel["description"] for panel in panels)
    for one, other in combinations((panel["gridPos"] | {"title": panel["title"]} for panel in panels), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
