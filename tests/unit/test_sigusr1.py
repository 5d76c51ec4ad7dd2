"""What the daemon says of itself to who asks by SIGUSR1, and to who reads its log at level debug."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcedge.errors import SettingsError
from dcedge.reconcile.pass_log import PassLog, where
from dcedge.reconcile.queue import FULL_RESYNC_SECONDS, RETRY_SECONDS, PassQueue
from dcedge.reconcile.result import DirtySet
from dcedge.settings import LogLevel
from tests.lab.wait import until
from tests.unit.reconcile.test_queue import FAILED, Time

PROGRAM = """
import asyncio, sys, time
from dcedge.order.credentials import Secret
from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.daemon.sigusr1 import dump_on_signal
from dcedge.daemon.tasks import Tasks

async def waits_for_ever():
    await asyncio.sleep(3600)

async def blocks_the_loop():
    await asyncio.sleep(0)
    print("ready", flush=True)
    time.sleep(3600)

async def main():
    secret = Secret("Kaiserlei-101")
    dump_on_signal(asyncio.get_running_loop(), lambda: ["a part with Kaiserlei-101 in it"])
    tasks = Tasks(DaemonMetrics().task_failures)
    tasks.keep("waits", waits_for_ever)
    await asyncio.sleep(0.01)
    if sys.argv[1:]:
        await blocks_the_loop()
    print("ready", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def told(program: subprocess.Popen[str], log: Path, last: str) -> str:
    """What it says to SIGUSR1, up to some last words."""
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.send_signal(signal.SIGUSR1)
    return until(f"{last!r} in what it says", log.read_text, accept=lambda said: last in said)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def started(log: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as stderr:
        command = [sys.executable, "-c", PROGRAM, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
            yield process
            process.kill()


@pytest.fixture
def program(log: Path) -> Iterator[subprocess.Popen[str]]:
    yield from started(log)


@pytest.fixture
def stuck_program(log: Path) -> Iterator[subprocess.Popen[str]]:
    yield from started(log, "stuck")


def test_a_signal_tells_threads_parts_and_tasks_and_the_daemon_goes_on(
    program: subprocess.Popen[str], log: Path
) -> None:
    said = told(program, log, "waits_for_ever:")
    assert "Current thread" in said
    assert "a part with *** in it" in said, "a secret is hidden"
    assert "tasks: 2" in said
    assert "Tasks._again_and_again:" in said
    assert program.poll() is None


def test_where_the_loop_is_stuck_the_threads_say_in_what(stuck_program: subprocess.Popen[str], log: Path) -> None:
    said = told(stuck_program, log, "blocks_the_loop")
    assert "in blocks_the_loop" in said
    assert "tasks:" not in said


def test_a_pass_says_why_it_was_made() -> None:
    time = Time()
    passes = PassQueue(time)
    passes.order_changed()
    passes.ask(DirtySet(frozenset({3})), "kernel event")
    passes.take()
    assert list(passes.reasons) == ["an order must be carried out", "kernel event"]
    passes.ended(FAILED)
    time.now += RETRY_SECONDS
    passes.take()
    assert list(passes.reasons) == ["retry of what is not as ordered"]
    time.now += FULL_RESYNC_SECONDS
    passes.take()
    assert list(passes.reasons) == ["60 s without a full resync"]
    passes.ask()
    passes.ask(DirtySet(frr=True), "FRR answers again")
    passes.take()
    assert passes.take().dirty is None
    assert list(passes.reasons) == ["an earlier request was not finished"]


def test_the_last_passes_are_known_with_where_and_why_and_the_debug_log_has_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "dcedge")
    passes, known = PassQueue(Time()), PassLog()
    passes.ask(DirtySet(frozenset({7, 3}), queues=True), "kernel event")
    known.began(passes.take(), passes.reasons)
    (line,) = known.lines()
    assert line.endswith("Z links 3, 7 and their queues, reason: kernel event: running, or aborted")
    assert "pass begins: links 3, 7 and their queues, reason: kernel event" in caplog.messages
    for _ in range(100):
        known.began(passes.take(), passes.reasons)
    assert len(list(known.lines())) < 100


@pytest.mark.parametrize(
    ("dirty", "ordered", "said"),
    [
        (None, False, "full resync"),
        (DirtySet(), True, "changes of the order"),
        (DirtySet(), False, "differences to the order"),
        (DirtySet(frr=True, firewall=True), True, "changes of the order, FRR, the firewall"),
        (DirtySet(frozenset(range(99))), False, "links 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …"),
    ],
)
def test_what_a_pass_observes_is_said_in_words(dirty: DirtySet | None, ordered: bool, said: str) -> None:
    assert where(dirty, ordered=ordered) == said


def test_the_log_level_comes_from_the_environment_where_the_service_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DCEDGE_LOG_LEVEL", raising=False)
    assert LogLevel.from_environment() is LogLevel.INFO
    monkeypatch.setenv("DCEDGE_LOG_LEVEL", "DEBUG")
    assert LogLevel.from_environment() is LogLevel.DEBUG
    monkeypatch.setenv("DCEDGE_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError, match="'loud' is none of debug, info, warning, error"):
        LogLevel.from_environment()
