"""One testbed for all the tests here that want it; what the router said is shown with a test that fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from dcedge.api.control.client import ControlClient
from tests.lab.bed import ORDER, ORDERED_BPS, Bed
from tests.lab.netns import leave_on_signals
from tests.lab.twins import Twins


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether a scenario that has a full size is to have it."""
    return bool(request.config.getoption("--thorough"))


class Beds:
    """The standard testbed, built when it is first wanted, and anew after a test that failed with it."""

    def __init__(self) -> None:
        self._bed: Bed | None = None

    def take(self) -> Bed:
        """The one to use now."""
        if self._bed is None:
            self._bed = Bed()
        return self._bed

    def discard(self) -> None:
        """What a failed test has left of it is nobody's to use."""
        if self._bed is not None:
            bed, self._bed = self._bed, None
            bed.close()


BEDS = pytest.StashKey[Beds]()


@pytest.fixture(scope="session")
def beds(request: pytest.FixtureRequest) -> Iterator[Beds]:
    leave_on_signals()
    made = request.config.stash[BEDS] = Beds()
    yield made
    made.discard()


@pytest.fixture
def bed(beds: Beds) -> Bed:
    """The standard testbed; dcedge may or may not be running on its edge."""
    return beds.take()


@pytest.fixture
def running(bed: Bed) -> Bed:
    """The testbed with the standard order in force, the daemon running, every virtual interface up."""
    changed = order_again(bed)
    if not bed.edge.running:
        bed.edge.start_daemon()
    elif changed:
        ControlClient(bed.edge.socket).reload()  # returns when the order is in force
    bed.wait_up(*ORDERED_BPS)
    return bed


@pytest.fixture
def stopped(bed: Bed) -> Bed:
    """The testbed with the standard order applied, no daemon running; sessions may still be on their way."""
    assert bed.edge.stop_daemon() == 0
    order_again(bed)
    outcome = bed.edge.dcedge("apply")
    assert outcome.status == 0, outcome.said
    return bed


def order_again(bed: Bed) -> bool:
    """Put the standard order back into the file; returns whether something else was there."""
    text = ORDER.read_text()
    if bed.edge.order.exists() and bed.edge.order.read_text() == text:
        return False
    bed.edge.order.write_text(text)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the testbed's own account to the report of a failure."""
    report = yield
    for made in getattr(item, "funcargs", {}).values():
        if report.failed and isinstance(made, Bed | Twins):
            report.sections.append(("testbed", made.report()))
            break
    if report.failed and "bed" in getattr(item, "fixturenames", ()) and BEDS in item.config.stash:
        item.config.stash[BEDS].discard()
    return report
