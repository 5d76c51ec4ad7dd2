"""One router, or one lab, for all the tests of a file, which go on from where the one before left it."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.lab.netns import leave_on_signals
from tests.system.machines import Machines
from tests.system.router import Router


@pytest.fixture(scope="module")
def router() -> Iterator[Router]:
    """This machine with clouds around it; nothing of dcedge on it yet."""
    leave_on_signals()
    with Router() as made:
        yield made


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    """The three machines of vagrant/, not provisioned yet."""
    leave_on_signals()
    with Machines() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the router's own account, or the machines', to the report of a failure."""
    report = yield
    for name in ("router", "machines"):
        made = getattr(item, "funcargs", {}).get(name)
        if report.failed and made is not None:
            report.sections.append((name, made.report()))
    return report
