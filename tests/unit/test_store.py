"""The state folder where root and the daemon's own user both write; what waits for a confirmation over a reboot."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dcedge import confirm
from dcedge.confirm import GRACE_SECONDS, wait_for_deadline
from dcedge.health.history import HistoryFile
from dcedge.health.tracker import Transition
from dcedge.store import Pending, Runtime, Store

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534


@AS_ROOT
def test_what_root_writes_belongs_to_the_daemons_user(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    store = Store(tmp_path)
    with store.writer():
        store.save_runtime(Runtime())
        store.save_last_good_order("order")
        store.save_pending(Pending.starting("order", None, {}, 60.0))
    HistoryFile(store.history).append([("prod-a", Transition(1.0, "up", "down", "dark"))], dict)
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()}
    assert len(owners) == 5
    assert set(owners.values()) == {(NOBODY, NOBODY)}, owners
    for name in ("runtime.json", "pending.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_the_guard_waits_for_the_deadline(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save_pending(Pending.starting("order", None, {}, 0.2))
    assert wait_for_deadline(store) is not None
    assert time.clock_gettime(time.CLOCK_BOOTTIME) >= store.pending().deadline + GRACE_SECONDS  # type: ignore[union-attr]


def test_after_a_reboot_the_guard_does_not_wait_for_the_other_boots_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirm, "BOOT_SECONDS", 0.0)
    store = Store(tmp_path)
    pending = Pending.starting("order", None, {}, 1_000_000.0)  # this machine was up for days
    store.save_pending(replace(pending, boot_id="another boot"))
    assert wait_for_deadline(store) is not None


def test_after_a_reboot_the_agent_gets_a_while(tmp_path: Path) -> None:
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    pending = replace(Pending.starting("order", None, {}, 5.0), boot_id="another boot")
    assert pending.seconds_left == 0.0
    assert pending.seconds_until(0.3, now + 60) > 50
