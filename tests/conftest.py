"""Which tests run where: those of tests/kernel in the lab, but for the ones marked native, or everywhere."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from dcedge.logging import masking
from tests.lab.frr import FRR_LACKS

KERNEL_TESTS = Path(__file__).parent / "kernel"
SYSTEM_TESTS = Path(__file__).parent / "system"
FRESH_TESTS = Path(__file__).parent / "fresh"

# No test asserts how long anything takes; `make check` looks at fewer cases, `make fuzz` at many more.
settings.register_profile("everyday", deadline=None)
settings.register_profile("check", max_examples=50, deadline=None)
settings.register_profile("long", max_examples=5000, deadline=None)
settings.load_profile("everyday")


@pytest.fixture(autouse=True)
def known_secrets(monkeypatch: pytest.MonkeyPatch) -> masking.SecretValues:
    """The secrets that are hidden in what is told: those of this test, and none that one before it made up."""
    known = masking.SecretValues()
    monkeypatch.setattr(masking, "_known", known)
    return known


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--thorough`: what is marked `sized` runs at its full size; `--fresh`: the pages' commands on a clean root."""
    parser.addoption("--thorough", action="store_true", help="scenarios at their full size")
    parser.addoption("--fresh", action="store_true", help="the commands in the documents (make fresh)")


def pytest_collection_finish() -> None:
    """What is loaded by now stays: looking through it for garbage, again and again, was a third of the unit tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out, and counts as deselected, what the kernel we are on is not meant for."""
    here: list[pytest.Item] = []
    elsewhere: list[pytest.Item] = []
    lab = os.environ.get("LAB")
    systemd = os.environ.get("LAB_INIT") == "systemd"
    for item in items:
        native = item.get_closest_marker("native") is not None
        kernel = KERNEL_TESTS in item.path.parents
        everywhere = item.get_closest_marker("everywhere") is not None
        fits = not kernel or everywhere or lab == "native" or native == (lab in {None, "here"})
        if item.get_closest_marker("without_ipv6") is not None:
            fits = not Path("/proc/sys/net/ipv6").exists()
        if SYSTEM_TESTS in item.path.parents:
            fits = systemd  # they install packages and start services
        if FRESH_TESTS in item.path.parents:
            fits = config.getoption("--fresh") and systemd == (item.path.name == "test_router.py")
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
    """In CI a skipped test of tests/kernel is a failure, and so is any in the lab: nothing there may be missing.

    But for what the FRR that it runs with does not have (`lacks` in tests/lab/frr.py).
    """
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    skipped = [report.nodeid for report in reporter.stats.get("skipped", ()) if FRR_LACKS not in str(report.longrepr)]
    missing = [name for name in skipped if os.environ.get("LAB") or name.startswith("tests/kernel/")]
    if missing:
        reporter.write_line(f"\nCI: skipped, which is a failure: {', '.join(missing)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
