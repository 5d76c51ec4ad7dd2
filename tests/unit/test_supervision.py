"""What systemd hears: a line that says what is wrong first, and a sign of life only as long as the loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dcedge.daemon import systemd as supervision
from dcedge.daemon.systemd import Supervisor, status_line
from dcedge.monitor.snapshot import FrrSnapshot, OrderSnapshot, PassSnapshot
from tests.unit.expose.scene import down, snapshot, up


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """The socket that systemd would listen on; it wants a sign of life three times in 0.3 s."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    return listening


def heard(listening: socket.socket) -> list[str]:
    said = []
    try:
        while True:
            said.append(listening.recv(4096).decode())
    except BlockingIOError:
        return said


def watch(work: Callable[[], Awaitable[object]], seconds: float) -> None:
    async def run() -> None:
        await Supervisor().watch(work(), seconds)

    asyncio.run(run())


def test_systemd_hears_of_a_loop_that_waits_for_something_to_do(systemd: socket.socket) -> None:
    said: list[str] = []

    async def until_heard() -> None:
        async with asyncio.timeout(20.0):
            while said.count("WATCHDOG=1") < 3:
                await asyncio.sleep(0.05)
                said.extend(heard(systemd))

    watch(until_heard, 30.0)


def test_systemd_hears_nothing_of_a_pass_that_takes_too_long(systemd: socket.socket) -> None:
    watch(lambda: asyncio.to_thread(threading.Event().wait, 0.6), 0.0)
    assert heard(systemd) == []


def test_systemd_hears_nothing_of_a_loop_that_is_blocked(systemd: socket.socket) -> None:
    async def blocked() -> None:
        threading.Event().wait(0.6)

    watch(blocked, 10.0)
    assert len(heard(systemd)) <= 1


def test_a_failure_comes_through(systemd: socket.socket) -> None:
    async def fails() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        watch(fails, 10.0)


def test_what_a_failed_part_knew_is_let_go_of_at_once(systemd: socket.socket) -> None:
    """It may be all that is known of thousands of links, and the collector comes by but seldom."""

    class Known:
        pass

    left: list[weakref.ref[Known]] = []

    async def fails() -> None:
        known = Known()
        left.append(weakref.ref(known))
        raise ValueError

    async def run() -> None:
        with contextlib.suppress(ValueError):
            await Supervisor().watch(fails(), 5)
        assert left[0]() is None

    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()


def test_a_status_is_told_once_in_one_line(systemd: socket.socket) -> None:
    supervisor = Supervisor()
    for text in ("all\nwell", "all\nwell", "not so"):
        supervisor.status(lambda text=text: text)  # type: ignore[misc]
    assert heard(systemd) == ["STATUS=all well", "STATUS=not so"]


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    told: list[object] = []
    monkeypatch.setattr(supervision, "notify", lambda *words: told.append(words))
    supervisor = Supervisor()
    supervisor.ready()
    supervisor.status(lambda: pytest.fail("a line that nobody reads is put together"))
    supervisor.stopping()
    assert told == []


def test_systemd_hears_when_it_is_ready_and_when_it_stops(systemd: socket.socket) -> None:
    supervisor = Supervisor()
    supervisor.ready()
    supervisor.stopping()
    assert heard(systemd) == ["READY=1", "STOPPING=1"]


def test_the_line_says_what_is_wrong_first() -> None:
    well = snapshot(up("a"), up("b"), passes=PassSnapshot(finished=1.0))
    assert status_line(well) == "2 of 2 virtual interfaces up; everything as ordered"
    assert status_line(snapshot(up("a"), down("b"))) == (
        "1 of 2 virtual interfaces up, 1 down; "
        "b: BGP to 10.0.0.1 is Active for 35 s: the cloud does not answer on TCP 179"
    )
    not_wanted = down("a")._replace(admin="down"), down("c")._replace(admin="planned")
    assert status_line(snapshot(*not_wanted, down("b"))).endswith(
        "; b: BGP to 10.0.0.1 is Active for 35 s: the cloud does not answer on TCP 179"
    )
    assert status_line(snapshot(*not_wanted, up("b"))).endswith("everything as ordered")
    open_to_all = replace(well, passes=PassSnapshot(finished=1.0, notes=("NOT ISOLATED: nft refuses",)))
    assert status_line(open_to_all) == (
        "2 of 2 virtual interfaces up; not as ordered: isolation and guard are not in force"
    )
    no_frr = replace(well, frr=FrrSnapshot(False, "bgpd is not running"))
    assert status_line(no_frr) == "FRR does not answer (bgpd is not running); 2 of 2 virtual interfaces up"
    refused = replace(well, order=OrderSnapshot("order.yaml", 1.0, True, ("order.yaml:3: bad",)))
    assert status_line(refused) == "2 of 2 virtual interfaces up; order file refused: order.yaml:3: bad"
