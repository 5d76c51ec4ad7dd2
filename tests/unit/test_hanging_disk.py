"""A state folder whose disk does not answer any more: the daemon goes on, and says what a restart would lose."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from dcedge.api.control.client import ControlClient
from dcedge.daemon.service import Service
from dcedge.errors import BusyError, DcedgeError, StateError
from dcedge.monitor.health.history import HistoryFile
from dcedge.monitor.health.tracker import Transition
from dcedge.reconcile import clock
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.state import owed_writes, writer_lock
from dcedge.reconcile.state import writer as state_writer
from dcedge.reconcile.state.formats import Runtime
from dcedge.reconcile.state.state_dir import StateDir
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings
from tests.unit.fake.router import FakeRouter

WAIT_SECONDS = 30.0
VI = """
router: {{asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}}
connections:
  fra-1: {{provider: generic, port: eth1, bandwidth: 1G}}
virtual_gateways:
  prod: {{vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}}
virtual_interfaces:
  a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 1
    bandwidth: {rate}
    addresses: [{{customer: 10.255.1.2/30, cloud: 10.255.1.1}}]
  b:
    connection: fra-1
    virtual_gateway: prod
    vlan: 2
    bandwidth: 10M
    addresses: [{{customer: 10.255.2.2/30, cloud: 10.255.2.1}}]
"""
SLOWER, FASTER = VI.format(rate="50M"), VI.format(rate="60M")


class Disk:
    """Where the state folder lies: what is written waits while it hangs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._answers = threading.Event()
        self._answers.set()
        for name in ("write", "append", "remove", "rename"):
            monkeypatch.setattr(StateDir, name, self._slow(getattr(StateDir, name)))

    def _slow(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def waits(*arguments: object) -> object:
            self._answers.wait(WAIT_SECONDS)
            return work(*arguments)

        return waits

    def hang(self) -> None:
        """From now on."""
        self._answers.clear()

    def mend(self) -> None:
        """What waits is done."""
        self._answers.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk, that does its work as yet."""
    monkeypatch.setattr(owed_writes, "HANGS_SECONDS", 0.1)
    monkeypatch.setattr(state_writer, "PATIENCE_SECONDS", 0.2)
    made = Disk(monkeypatch)
    yield made
    made.mend()


class Daemon:
    """The daemon on a router in miniature, its control socket, and its passes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer_lock, "RUN_FOLDER", folder / "run")
        self.router = FakeRouter(folder, monkeypatch)
        self.order = folder / "order.yaml"
        self.order.write_text(SLOWER)
        settings = Settings(
            order=self.order, state_dir=folder / "state", socket=folder / "sock", listen="127.0.0.1:0",
            frr_pathspace="dcedge-none",
        )  # fmt: skip
        in_force = OrderInForce(settings, self.router.store)
        self.store: Store = self.router.store
        self.client = ControlClient(settings.socket)
        in_force.start()
        self.service = Service(in_force)
        for name in ("intent", "run"):
            monkeypatch.setattr(self.service.reconciler, name, getattr(self.router.reconciler, name))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Until the end of the context, its first pass made."""
        with self.store.writer():
            serving = asyncio.ensure_future(self.service.serve())
            try:
                await self.until(lambda: self.service.runner.result is not None)
                yield
            finally:
                self.service.commands.end()
                await serving
                self.service.close()

    async def status(self) -> dict[str, Any]:
        """What `dcedge status` is told."""
        return cast("dict[str, Any]", await asyncio.to_thread(self.client.status))

    async def command(self, verb: str, body: str = "", **parameters: str) -> dict[str, Any]:
        """What the daemon answers."""
        return cast("dict[str, Any]", await self.service.commands.by_verb[verb](body, parameters))

    def rate(self) -> int:
        """Of the virtual interface `a`, in Mbit/s."""
        return self.router.kernel.htb_class("eth1.1", 1).rate * 8 // 1_000_000

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for it, not for ever."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds():  # noqa: ASYNC110 - threads and timers bring it about
                await asyncio.sleep(0.01)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """A daemon that does not run yet."""
    return Daemon(tmp_path, monkeypatch)


def test_status_polls_passes_and_changes_go_on(daemon: Daemon, disk: Disk) -> None:
    async def story() -> None:
        async with daemon.running():
            disk.hang()
            done = await daemon.command("apply", FASTER)
            assert (daemon.rate(), done["complete"]) == (60, True)
            assert any("the disk does not answer): a restart would lose" in note for note in done["notes"]), done
            drained = await daemon.command("drain", json.dumps({"names": ["a"]}), force="")
            assert drained["changed"] == ["a"]
            daemon.order.write_text(SLOWER)
            assert ((await daemon.command("reload"))["complete"], daemon.rate()) == (True, 50)
            assert ((await daemon.command("rollback"))["complete"], daemon.rate()) == (True, 60)
            daemon.router.kernel.remove_link("eth1.2")
            daemon.service.queue.ask()
            await daemon.until(lambda: "eth1.2" in daemon.router.kernel.names)
            polled = daemon.service.poller.last
            await daemon.until(lambda: daemon.service.poller.last is not polled)
            said = await daemon.status()
            assert any("the disk does not answer" in note for note in said["pass"]["notes"])
            disk.mend()
            await daemon.until(lambda: not daemon.store.files.owed.owes("runtime.json"))
        again = Store(daemon.store.folder)
        assert (again.orders.last_good(), again.runtime().drained) == (FASTER, frozenset({"a"}))

    asyncio.run(story())


def test_a_change_that_can_be_taken_back_waits_for_the_disk_alone(daemon: Daemon, disk: Disk) -> None:
    async def story() -> None:
        async with daemon.running():
            disk.hang()
            waiting = asyncio.ensure_future(daemon.command("apply", FASTER, confirm="60"))
            made = daemon.service.runner.result
            daemon.service.queue.ask()
            await daemon.until(lambda: daemon.service.runner.result is not made)
            assert (await daemon.status())["pass"]["finished_at"]
            assert daemon.rate() == 50
            assert not waiting.done(), "it began without a way back"
            await daemon.until(lambda: "the disk does not answer" in "".join(daemon.store.troubles()))
            disk.mend()
            assert (await waiting)["complete"]
            assert daemon.rate() == 60
            with pytest.raises(BusyError):
                await daemon.command("reload")

    asyncio.run(story())


def test_who_waits_for_the_disk_in_vain_holds_nobody_up(
    daemon: Daemon, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_writer, "GIVEN_UP_SECONDS", 0.2)

    async def story() -> None:
        async with daemon.running():
            disk.hang()
            for _ in range(8):  # more than there are threads for
                with pytest.raises(StateError, match=r"does not answer.*: nothing was changed"):
                    await daemon.command("apply", FASTER, confirm="60")
            assert daemon.rate() == 50
            assert (await daemon.command("drain", json.dumps({"names": ["a"]}), force=""))["changed"] == ["a"]
            disk.mend()
            async with asyncio.timeout(WAIT_SECONDS):
                while daemon.rate() == 50:
                    with suppress(StateError):
                        assert (await daemon.command("apply", FASTER, confirm="60"))["complete"]
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(WAIT_SECONDS):
                while daemon.store.pending_order.get() is not None:
                    with suppress(StateError):
                        assert (await daemon.command("confirm"))["confirmed"]
                    await asyncio.sleep(0.01)
            await daemon.until(lambda: not (daemon.store.folder / "pending.json").exists())

    asyncio.run(story())


def test_confirm_says_what_is_not_on_disk(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def story() -> None:
        async with daemon.running():
            await daemon.command("apply", FASTER, confirm="60")
            with monkeypatch.context() as patched:
                patched.setattr(StateDir, "write", full)
                confirmed = await daemon.command("confirm")
            assert any("last-good-order.yaml cannot be written (No space" in note for note in confirmed["notes"])

    asyncio.run(story())


def test_what_nobody_confirms_goes_away_at_its_deadline(daemon: Daemon, disk: Disk) -> None:
    async def story() -> None:
        async with daemon.running():
            await daemon.command("apply", FASTER, confirm="0.3")
            disk.hang()
            await daemon.until(lambda: daemon.rate() == 50)
            disk.mend()
            await daemon.until(lambda: not (daemon.store.folder / "pending.json").exists())
        assert Store(daemon.store.folder).runtime() != Runtime()

    asyncio.run(story())


def test_a_confirmation_that_is_not_on_disk_holds_up_no_deadline(daemon: Daemon, disk: Disk) -> None:
    async def story() -> None:
        async with daemon.running():
            await daemon.command("apply", FASTER, confirm="8")
            disk.hang()
            with pytest.raises(StateError, match=r"does not answer.*: the order is not confirmed"):
                await daemon.command("confirm")
            await daemon.until(lambda: daemon.rate() == 50)
            disk.mend()
            await daemon.until(lambda: not (daemon.store.folder / "pending.json").exists())
            await daemon.until(lambda: not daemon.store.files.owed.reasons())
            with pytest.raises(DcedgeError, match="no order waits"):
                await daemon.command("confirm")
        again = Store(daemon.store.folder)
        assert (again.orders.last_good(), len(again.runtime().rejected)) == (SLOWER, 1)

    asyncio.run(story())


def test_a_confirmation_that_comes_to_the_disk_too_late_is_none(
    daemon: Daemon, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = threading.Event()
    remove = StateDir.remove

    def told(folder: StateDir, name: str) -> None:
        remove(folder, name)
        removed.set()

    async def story() -> None:
        async with daemon.running():
            await daemon.command("apply", FASTER, confirm="60")
            pending = daemon.store.pending_order.get()
            disk.hang()
            monkeypatch.setattr(state_writer, "GIVEN_UP_SECONDS", 0.2)
            monkeypatch.setattr(StateDir, "remove", told)
            for _ in range(8):  # more than there are threads for
                with pytest.raises(StateError, match="the order is not confirmed"):
                    await daemon.command("confirm")
            with pytest.raises(BusyError):
                await daemon.command("reload")
            disk.mend()
            await daemon.until(removed.is_set)
            await daemon.until(lambda: Store(daemon.store.folder).pending_order.get() == pending)
            assert daemon.store.pending_order.get() == pending
            assert daemon.store.orders.last_good() != FASTER
            async with asyncio.timeout(WAIT_SECONDS):
                while daemon.store.pending_order.get() is not None:
                    with suppress(StateError):
                        assert (await daemon.command("confirm"))["confirmed"]
                    await asyncio.sleep(0.01)
            await daemon.until(lambda: Store(daemon.store.folder).orders.last_good() == FASTER)

    asyncio.run(story())


def test_nothing_waits_for_earlier_verdicts(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    read = HistoryFile.read

    def slow(file: HistoryFile, now: float) -> dict[str, list[Transition]]:
        answers.wait(WAIT_SECONDS)
        return read(file, now)

    monkeypatch.setattr(HistoryFile, "read", slow)
    daemon.store.folder.mkdir(exist_ok=True)
    earlier = Transition(clock.now() - 60.0, "up", "down", "no carrier")
    HistoryFile(daemon.store.history).append([("a", earlier)], dict)

    async def notes() -> str:
        return "".join((await daemon.status())["pass"]["notes"])

    async def story() -> None:
        async with daemon.running():
            assert daemon.rate() == 50
            polled = daemon.service.poller.last
            await daemon.until(lambda: daemon.service.poller.last is not polled)
            await daemon.until(lambda: bool(daemon.service.poller.history_trouble))
            assert "earlier verdicts are still being read" in await notes()
            answers.set()
            await daemon.until(lambda: not daemon.service.poller.history_trouble)
            assert daemon.service._outlook.history("a")[0].reason == "no carrier"

    asyncio.run(story())
