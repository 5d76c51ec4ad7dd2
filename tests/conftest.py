"""Which tests run where: those of tests/kernel in the lab, but for the ones marked native."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

KERNEL_TESTS = Path(__file__).parent / "kernel"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out, and counts as deselected, what the kernel we are on is not meant for."""
    here: list[pytest.Item] = []
    elsewhere: list[pytest.Item] = []
    lab = os.environ.get("LAB")
    for item in items:
        native = item.get_closest_marker("native") is not None
        kernel = KERNEL_TESTS in item.path.parents
        fits = not kernel or lab == "native" or native == (lab is None)
        (here if fits else elsewhere).append(item)
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = here


def pytest_report_header() -> str:
    """Says which of the kernel's tests this run has."""
    if os.environ.get("LAB"):
        return f"kernel: {os.uname().release} ({os.environ['LAB']})"
    return "kernel: this machine's; most of tests/kernel runs in the lab: make kernel"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test in the lab is a failure: nothing there may be missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI") or not os.environ.get("LAB"):
        return
    if reporter.stats.get("skipped"):
        reporter.write_line("\nCI: a test was skipped in the lab; that is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
