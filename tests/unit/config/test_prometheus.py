"""Scrape configuration and alert rules: promtool has nothing to complain of, and every alert does its work."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.expose import metrics_page

CONFIG = Path(__file__).parents[3] / "config" / "prometheus"
RULES = CONFIG / "dcedge.rules.yml"
ALERTS_TEST = Path(__file__).with_name("alerts.test.yml")

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool (Debian's prometheus)")


def promtool(*words: object) -> None:
    done = subprocess.run(
        ["promtool", *map(str, words)], capture_output=True, text=True, check=False, timeout=120, cwd=CONFIG
    )
    assert done.returncode == 0, done.stdout + done.stderr


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def test_the_configuration_and_the_rules_are_valid() -> None:
    promtool("check", "config", CONFIG / "prometheus.yml")
    promtool("check", "rules", RULES)


def test_every_alert_fires_on_its_fault_and_on_nothing_else_and_clears_after() -> None:
    promtool("test", "rules", ALERTS_TEST)
    tested = ALERTS_TEST.read_text()
    assert [rule["alert"] for rule in alerts() if f'alertname="{rule["alert"]}"' not in tested] == []


def test_every_alert_says_what_to_do() -> None:
    for rule in alerts():
        annotations = rule["annotations"]
        assert annotations["summary"]
        assert annotations["description"]
        assert len(annotations["runbook"]) > 100, rule["alert"]


def test_the_page_lists_every_alert_with_its_severity() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", (CONFIG / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted((rule["alert"], rule["labels"]["severity"]) for rule in alerts())


def test_the_rules_ask_for_metrics_that_there_are() -> None:
    exported = metrics_page.names()
    named = set(re.findall(r"\b(dcedge_\w+)", RULES.read_text()))
    assert named - exported == set()
