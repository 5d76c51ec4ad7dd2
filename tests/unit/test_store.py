"""The state folder: nothing waits for it, nothing in it leads root astray, and what cannot be written is owed."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dcedge.daemon import alone
from dcedge.daemon.alone import GRACE_SECONDS, wait_for_deadline
from dcedge.errors import BusyError, StateError
from dcedge.monitor.health.history import HistoryFile
from dcedge.monitor.health.tracker import Transition
from dcedge.order.load import digest_of
from dcedge.reconcile.state import writer_lock
from dcedge.reconcile.state.formats import OWNED, Owned, Pending, Runtime
from dcedge.reconcile.state.state_dir import READ_MOST, StateDir
from dcedge.reconcile.state.store import Store

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534
DRAINED = Runtime(drained=frozenset({"prod-a"}))
OURS = Owned(frozenset({"eth1.101"}))


@pytest.fixture(autouse=True)
def locks_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock lies in a folder of the test's own."""
    monkeypatch.setattr(writer_lock, "RUN_FOLDER", tmp_path / "run")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder."""
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def writer(folder: Path) -> Iterator[Store]:
    """Its one writer."""
    made = Store(folder)
    with made.writer():
        yield made


class Broken:
    """A folder that can be written no more, for a reason, until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reason = errno.ENOSPC
        write, remove = StateDir.write, StateDir.remove

        def refusing_write(folder: StateDir, name: str, contents: bytes) -> None:
            self._refuse()
            write(folder, name, contents)

        def refusing_remove(folder: StateDir, name: str) -> None:
            if self.reason != errno.ENOSPC:
                self._refuse()
            remove(folder, name)

        monkeypatch.setattr(StateDir, "write", refusing_write)
        monkeypatch.setattr(StateDir, "remove", refusing_remove)

    def _refuse(self) -> None:
        if self.reason:
            raise OSError(self.reason, os.strerror(self.reason))


@AS_ROOT
def test_what_root_writes_belongs_to_the_daemons_user(folder: Path) -> None:
    os.chown(folder, NOBODY, NOBODY)
    made = Store(folder)
    with made.writer():
        made.save_runtime(DRAINED)
        made.orders.save_last_good("order")
        made.pending_order.save(Pending.starting("order", None, {}, 60.0))
    HistoryFile(made.history).append([("prod-a", Transition(1.0, "up", "down", "dark"))], dict)
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()}
    assert len(owners) == 4
    assert set(owners.values()) == {(NOBODY, NOBODY)}, owners
    for name in ("runtime.json", "pending.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert os.geteuid() == 0
    assert Path("/proc/thread-self/status").read_text().split("Uid:")[1].split()[:4] == ["0"] * 4


@AS_ROOT
def test_the_daemons_user_cannot_have_root_read_or_write_elsewhere(folder: Path, tmp_path: Path) -> None:
    secret, target = tmp_path / "shadow", tmp_path / "target"
    secret.write_text('{"links": ["for root only"]}')
    secret.chmod(0o600)
    target.write_text("as it was")
    os.chown(folder, NOBODY, NOBODY)
    (folder / OWNED.name).symlink_to(secret)
    for name in ("runtime.json", ".runtime.json.new", "pending.json"):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "indices.json")
    made = Store(folder)
    with made.writer():
        assert made.owned() == Owned()
        assert made.highest_index() == 0
        made.save_runtime(DRAINED)
        made.pending_order.save(Pending.starting("order", None, {}, 60.0))
    assert target.read_text() == "as it was"
    assert not (folder / "runtime.json").is_symlink()


@AS_ROOT
def test_the_lock_is_no_link_to_follow(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    lock = writer_lock.lock_path(folder)
    lock.parent.mkdir()
    lock.symlink_to(target)
    with Store(folder).writer():
        assert not target.exists()


def test_there_is_one_writer_though_the_folder_goes(folder: Path) -> None:
    with Store(folder).writer():
        folder.rmdir()
        with pytest.raises(BusyError), Store(folder).writer():
            pytest.fail("a second writer")


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_what_cannot_be_written_goes_on_in_memory_and_is_written_when_it_can(
    reason: int, folder: Path, writer: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(monkeypatch)
    broken.reason = reason
    writer.save_runtime(DRAINED)
    writer.save_owned(OURS)
    writer.orders.save_last_good("order")
    writer.save_highest_index(7)
    assert (writer.runtime(), writer.owned(), writer.orders.last_good(), writer.highest_index()) == (
        DRAINED,
        OURS,
        "order",
        7,
    )
    told = "\n".join(writer.troubles())
    assert f"runtime.json cannot be written ({os.strerror(reason)}): a restart would lose what is drained" in told
    assert writer.unwritten == 4
    assert not writer.files.owed.write()
    broken.reason = 0
    assert writer.files.owed.write()
    assert (writer.troubles(), writer.unwritten) == ((), 0)
    again = Store(folder)
    assert (again.runtime(), again.owned(), again.orders.last_good(), again.highest_index()) == (
        DRAINED,
        OURS,
        "order",
        7,
    )


DAMAGED = (b"", b"{", b"[1]", b"\xff\xfe", b'{"version": "x"}', b'{"links": 3, "drained": 1}')
INDICES = tuple(json.dumps({"boot_id": "x", "highest": high}).encode() for high in (-1, 2**31 - 1, 2**70, 1.5, "7"))
PENDING: dict[str, object] = {"order": "order", "previous": None, "secrets": {}, "deadline": 1.0, "boot_id": "x"}
PENDINGS = tuple(
    json.dumps({**PENDING, **impossible}).encode()
    for impossible in (
        {"deadline": float("nan")},
        {"deadline": float("inf")},
        {"deadline": -1.0},
        {"boot_id": None},
        {"secrets": {"{}": "password"}},
        {"secrets": {"[]": "password"}},
        {"secrets": {"no JSON": "password"}},
        {"secrets": {'{"credential": "prod", "file": null}': 7}},
    )
)
JSON_FILES = ("owned.json", "runtime.json", "indices.json", "pending.json")


def test_a_disk_that_hangs_keeps_nobody_waiting_who_reads(writer: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.save_runtime(DRAINED)
    hangs, mended = threading.Event(), threading.Event()

    def hanging(*_: object) -> None:
        hangs.set()
        mended.wait(10)

    monkeypatch.setattr(StateDir, "write", hanging)
    thread = threading.Thread(target=writer.save_runtime, args=(Runtime(),))
    thread.start()
    assert hangs.wait(10)
    reader = threading.Thread(target=lambda: (writer.runtime(), writer.troubles()))
    reader.start()
    reader.join(5)
    waits = reader.is_alive()
    mended.set()
    thread.join()
    assert not waits


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        *((name, contents) for name in JSON_FILES for contents in DAMAGED),
        *(("indices.json", impossible) for impossible in INDICES),
        *(("pending.json", impossible) for impossible in PENDINGS),
        ("last-good-order.yaml", b"\xff"),
    ],
)
def test_a_damaged_file_is_set_aside_said_and_survived(folder: Path, name: str, contents: bytes) -> None:
    (folder / name).write_bytes(contents)
    made = Store(folder)
    with made.writer():
        seen = made.owned(), made.runtime(), made.highest_index(), made.pending_order.get(), made.orders.last_good()
        assert seen == (Owned(), Runtime(), 0, None, None)
        made.save_owned(OURS)
        made.save_runtime(DRAINED)
    assert {path.name: path.read_bytes() for path in folder.glob("*.damaged")} == {f"{name}.damaged": contents}
    assert any(f"{name} was damaged" in text and "kept as" in text for text in made.troubles())
    assert (Store(folder).owned(), Store(folder).runtime()) == (OURS, DRAINED)


def test_a_file_larger_than_any_of_ours_is_damaged_and_not_read_whole(folder: Path) -> None:
    with (folder / OWNED.name).open("wb") as file:
        file.truncate(READ_MOST + 1)
    made = Store(folder)
    with made.writer():
        assert made.owned() == Owned()
        assert any("was damaged (larger than 64 MiB): it is kept as owned.json.damaged" in t for t in made.troubles())


def test_what_a_later_dcedge_wrote_is_kept_beside(folder: Path) -> None:
    later = {"version": 9, "links": ["eth1.101"], "unheard_of": 1}
    (folder / OWNED.name).write_text(json.dumps(later))
    made = Store(folder)
    with made.writer():
        assert made.owned() == OURS
        made.save_owned(Owned())
    assert json.loads((folder / "owned.json.version-9").read_text()) == later
    assert Store(folder).owned() == Owned()


def test_who_only_reads_moves_nothing(folder: Path) -> None:
    (folder / OWNED.name).write_text("{")
    assert Store(folder).owned() == Owned()
    assert [path.name for path in folder.iterdir()] == [OWNED.name]


def test_the_way_back_is_on_disk_or_nothing_begins(
    folder: Path, writer: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    Broken(monkeypatch)
    with pytest.raises(StateError, match="nothing was changed"):
        writer.pending_order.save(Pending.starting("order", None, {}, 60.0))
    assert writer.pending_order.get() is None


def test_the_way_back_stays_on_disk_until_all_else_is_written(
    folder: Path, writer: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.orders.save_last_good("old")
    writer.pending_order.save(Pending.starting("new", "old", {}, 0.0))
    broken = Broken(monkeypatch)
    writer.orders.save_rolled_back("old", "new")
    writer.pending_order.forget()
    assert writer.pending_order.get() is None
    assert Store(folder).pending_order.get() is not None
    broken.reason = 0
    assert writer.files.owed.write()
    again = Store(folder)
    assert again.pending_order.get() is None
    assert again.runtime().rejected == {digest_of("new")}
    assert (again.orders.last_good(), again.orders.previous()) == ("old", None)


def test_what_is_owed_is_given_up_with_the_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, made, other = Broken(monkeypatch), Store(folder), Store(folder)
    with made.writer():
        made.orders.save_last_good("mine")
        assert made.unwritten
    broken.reason = 0
    with other.writer():
        other.orders.save_last_good("theirs")
    with made.writer():
        made.files.owed.write()
        assert made.orders.last_good() == "theirs"
    assert Store(folder).orders.last_good() == "theirs"


def test_the_guard_waits_for_the_deadline(folder: Path) -> None:
    made = Store(folder)
    made.pending_order.save(Pending.starting("order", None, {}, 0.2))
    assert wait_for_deadline(made) is not None
    assert time.clock_gettime(time.CLOCK_BOOTTIME) >= made.pending_order.get().deadline + GRACE_SECONDS  # type: ignore[union-attr]


def test_after_a_reboot_the_guard_does_not_wait_for_the_other_boots_clock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone, "BOOT_SECONDS", 0.0)
    made = Store(folder)
    pending = Pending.starting("order", None, {}, 1_000_000.0)  # this machine was up for days
    made.pending_order.save(replace(pending, boot_id="another boot"))
    assert wait_for_deadline(made) is not None


def test_after_a_reboot_the_agent_gets_a_while() -> None:
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    pending = replace(Pending.starting("order", None, {}, 5.0), boot_id="another boot")
    assert pending.seconds_left == 0.0
    assert pending.seconds_until(0.3, now + 60) > 50
