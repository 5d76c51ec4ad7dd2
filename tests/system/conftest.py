"""One router for all the tests here, which go on from where the one before left it."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.lab.netns import leave_on_signals
from tests.system.router import Router


@pytest.fixture(scope="session")
def router() -> Iterator[Router]:
    """This machine with clouds around it; nothing of dcedge on it yet."""
    leave_on_signals()
    with Router() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the router's own account to the report of a failure."""
    report = yield
    made = getattr(item, "funcargs", {}).get("router")
    if report.failed and made is not None:
        report.sections.append(("router", made.report()))
    return report
