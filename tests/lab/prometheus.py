"""Debian's Prometheus in a namespace, with the shipped configuration and rules, in which a minute lasts a second.

A scrape may have to stand back for a second while a pass is under way, so there is one every two seconds only, and the
rules look back twice as far as that minute would have them, for as many samples as in earnest.
"""

from __future__ import annotations

import http.client
import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.lab.netns import Namespace
from tests.lab.wait import until

CONFIG = Path(__file__).parents[2] / "config" / "prometheus"
WAITING, LOOKING_BACK = 60, 30  # so much faster than in earnest do the rules wait, and look back
SCRAPE = "2s"
STALLED = "dcedge_reconcile_finished_timestamp_seconds > 300"
_STALLED_SECONDS = 75
_PORT = 9090
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


class Alert(NamedTuple):
    """A firing alert and what it is about: a virtual interface, else a connection, else nothing."""

    name: str
    about: str = ""


def hurried(rules: str) -> str:
    """The rules with every span of time (`for`, `interval`, and ranges in brackets) that much shorter."""

    def shorter(found: re.Match[str]) -> str:
        haste = LOOKING_BACK if found[1] == "[" else WAITING
        return f"{found[1]}{int(found[2]) * _SECONDS[found[3]] // haste}s"

    rules = re.sub(r"(for: |interval: |\[)(\d+)([mhd])", shorter, rules)
    # A full resync comes once a minute here too.
    return rules.replace(STALLED, f"{STALLED[:-3]}{_STALLED_SECONDS}")


class Prometheus:
    """A Prometheus that scrapes the daemon of its namespace; it ends with the namespace."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self._namespace = namespace
        self._folder = folder
        self._log = folder / "log"

    def start(self) -> None:
        """Start it and wait until it has scraped."""
        self._folder.mkdir()
        (self._folder / "dcedge.rules.yml").write_text(hurried((CONFIG / "dcedge.rules.yml").read_text()))
        config = re.sub(r"\b1[05]s$", SCRAPE, (CONFIG / "prometheus.yml").read_text(), flags=re.MULTILINE)
        file = self._folder / "prometheus.yml"
        file.write_text(config)
        self._namespace.popen(
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{_PORT}",
            log=self._log,
        )
        until("Prometheus to scrape the daemon", self._scraped, 60)

    def _scraped(self) -> bool:
        try:
            return self.values('up{job="dcedge"}') == [1]
        except (OSError, http.client.HTTPException, ValueError):  # it starts, and says so in plain text
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples that an expression has now, as the API gives them."""

        def fetch() -> Any:
            connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=20)
            try:
                connection.request("GET", f"/api/v1/query?query={quote(expression)}")
                return json.loads(connection.getresponse().read())
            finally:
                connection.close()

        answer = self._namespace.call(fetch)
        assert answer["status"] == "success", f"{expression}: {answer}"
        return list(answer["data"]["result"])

    def values(self, expression: str) -> list[float]:
        """The numbers among an expression's samples."""
        found = (float(sample["value"][1]) for sample in self.query(expression))
        return [value for value in found if not math.isnan(value)]

    def firing(self) -> set[Alert]:
        """The alerts that fire now."""
        return self.alerts().get("firing", set())

    def alerts(self, seconds: int = 0) -> dict[str, set[Alert]]:
        """The alerts by their state, `pending` or `firing`: those of now, or of so many seconds until now."""
        found: dict[str, set[Alert]] = {}
        for sample in self.query(f"max_over_time(ALERTS[{seconds}s])" if seconds else "ALERTS"):
            of = sample["metric"]
            about = of.get("virtual_interface", of.get("connection", ""))
            found.setdefault(of["alertstate"], set()).add(Alert(of["alertname"], about))
        return found
