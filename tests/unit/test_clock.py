"""A wall clock that is set moves no duration, and people read the right time all the same."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dcedge.frr.vty import DAEMONS, FrrClient
from dcedge.monitor.snapshot import PassSnapshot, unhealthy, with_clock_set
from dcedge.reconcile import clock
from tests.unit.expose.scene import snapshot

HOUR = 3600.0


class Wall:
    """The wall clock, which somebody sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._real = time.time

    def set(self, seconds: float) -> None:
        """By so many seconds from what it was at first."""
        self._monkeypatch.setattr(time, "time", lambda: self._real() + seconds)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_duration_is_what_it_is(wall: Wall, step: float) -> None:
    before = clock.now()
    assert clock.wall_step() == 0
    wall.set(step)
    assert 0 <= clock.now() - before < 60
    assert clock.wall_step() == pytest.approx(step, abs=2)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_what_people_read_is_put_right_and_health_stays_as_it_is(step: float) -> None:
    seen = snapshot(passes=PassSnapshot(finished=snapshot().taken - 5))
    shown = with_clock_set(seen, step)
    assert shown.taken == seen.taken + step
    assert unhealthy(shown.passes, shown.taken, 120) is None
    for before, after in zip(seen.virtual_interfaces, shown.virtual_interfaces, strict=True):
        assert after.since == (None if before.since is None else before.since + step)
    assert with_clock_set(seen, 0.0) is seen
    assert replace(shown, taken=seen.taken).router == seen.router


def frr_since(folder: Path, written: float) -> FrrClient:
    """An FRR whose daemons say by their files that they started then."""
    for daemon in DAEMONS:
        path = folder / f"{daemon}.pid"
        path.write_text("1")
        os.utime(path, (written, written))
    return FrrClient(run_folder=folder)


def test_a_clock_set_back_makes_no_running_frr_young_for_longer_than_it_is_known(tmp_path: Path, wall: Wall) -> None:
    """Its configuration would not be saved until the clock has caught up."""
    frr = frr_since(tmp_path, time.time() - 100)
    assert frr.age() == pytest.approx(100, abs=5)
    wall.set(-HOUR)
    assert frr.age() == pytest.approx(100, abs=5)


def test_a_file_from_the_future_is_as_old_as_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frr = frr_since(tmp_path, time.time() + HOUR)
    assert frr.age() == pytest.approx(0, abs=1)
    later = time.monotonic() + 30
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert frr.age() == pytest.approx(30, abs=2)


def test_a_restart_is_seen_whatever_the_clock_says(tmp_path: Path, wall: Wall) -> None:
    frr = frr_since(tmp_path, time.time() - 100)
    frr.age()
    wall.set(HOUR)
    frr_since(tmp_path, time.time())
    assert frr.age() == pytest.approx(0, abs=2)
