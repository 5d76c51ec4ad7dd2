"""The page that lists every metric, made from what is really exported.

.venv/bin/python -m tests.unit.expose.metrics_page      writes config/metrics.md anew
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric

from dcedge.api.metrics.collector import SnapshotCollector
from dcedge.api.metrics.exposition import TEXT
from tests.unit.expose.scene import complete, own_metrics

PAGE = Path(__file__).parents[3] / "config" / "metrics.md"

INTRO = """\
# Metrics

What `http://127.0.0.1:9478/metrics` gives, in Prometheus' text format or, where the scraper prefers it, OpenMetrics;
packed with gzip where the scraper accepts that. `process_*` and `python_*` are prometheus_client's.
Base units throughout. `virtual_interface`, `connection` and `virtual_gateway` are the order's names, `peer` is the
cloud's address, `port` an interface of this router. What is not known is left out: a session that FRR does not tell of
has no sample, rather than a zero.

[prometheus/](prometheus/) has a scrape configuration and alert rules, [grafana/](grafana/) a dashboard.
"""

# By the beginning of a metric's name; the first that fits.
SECTIONS = {
    "dcedge_virtual_interface": "Virtual interfaces",
    "dcedge_b": "BGP and BFD, a session",
    "dcedge_probe": "Probes",
    "dcedge_stamp": "STAMP (RFC 8762), where both ends are yours",
    "dcedge_interface": "Traffic of a virtual interface",
    "dcedge_port": "Traffic of a port",
    "dcedge_softnet": "Received packets, a processor",
    "dcedge_shaper": "Shapers",
    "dcedge_connection": "Connections",
    "dcedge_": "The daemon",
    "process_": "Its process",
    "python_": "Its interpreter",
}


def exported() -> list[Metric]:
    """Every family of the complete scene."""
    shown, own = complete(), own_metrics()
    own.render(shown, TEXT.encoder)  # which takes the states over
    return [*SnapshotCollector(lambda: shown).collect(), *own.registry.collect()]


def names() -> set[str]:
    """The name of every sample, those of histograms too."""
    return {sample.name for family in exported() for sample in family.samples}


def page() -> str:
    """The whole page."""
    parts = [INTRO]
    families = exported()
    for section in SECTIONS.values():
        rows = [row for family in families if _section(family) == section for row in _rows(family)]
        parts += [f"\n## {section}\n", "\n| metric | type | labels | meaning |\n", "|---|---|---|---|\n", *rows]
    return "".join(parts)


def _section(family: Metric) -> str:
    if family.name == "dcedge_build":
        return SECTIONS["dcedge_"]
    return next(section for prefix, section in SECTIONS.items() if family.name.startswith(prefix))


def _rows(family: Metric) -> Iterator[str]:
    labels = dict.fromkeys(name for sample in family.samples for name in sample.labels if name != "le")
    name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
    kind = "gauge" if family.type == "info" else family.type  # as the text format has it
    shown = ", ".join(f"`{label}`" for label in labels)
    yield f"| `{name}` | {kind} | {shown} | {family.documentation} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
