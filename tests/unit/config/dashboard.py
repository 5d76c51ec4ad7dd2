"""The Grafana dashboard's queries, as Grafana would send them with everything selected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARD = Path(__file__).parents[3] / "config" / "grafana" / "dcedge.json"


class Query(NamedTuple):
    """One query of one panel."""

    panel: str
    expression: str


def dashboard() -> dict[str, Any]:
    """The whole dashboard."""
    return dict(json.loads(DASHBOARD.read_text()))


def queries(window: str) -> list[Query]:
    """Every panel's queries; `window` is what Grafana would take for rates."""
    found = []
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", window)
            for variable in variables():
                expression = expression.replace(f"${variable}", ".*")
            found.append(Query(panel["title"], expression))
    return found


def variables() -> dict[str, str]:
    """The variables that are asked of Prometheus, with their `label_values(…)`; longest name first."""
    asked = {v["name"]: v["definition"] for v in dashboard()["templating"]["list"] if v["type"] == "query"}
    return dict(sorted(asked.items(), key=lambda variable: -len(variable[0])))
