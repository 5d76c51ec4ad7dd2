"""The daemon's parts beside each other: nothing that fails in one ends another."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dcedge import poller, store
from dcedge.errors import KernelError
from dcedge.in_force import OrderInForce
from dcedge.service import Service
from dcedge.settings import Settings
from dcedge.store import Store
from dcedge.tasks import BACKOFF_SECONDS, Tasks

ORDER = "router: {asn: 65010, router_id: 10.255.0.1}\n"


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A daemon that has an order, and makes no pass yet."""
    monkeypatch.setattr(store, "RUN_FOLDER", tmp_path / "run")
    order = tmp_path / "order.yaml"
    order.write_text(ORDER)
    settings = Settings(order=order, state_dir=tmp_path, socket=tmp_path / "sock", frr_pathspace="dcedge-none")
    in_force = OrderInForce(settings, Store(tmp_path))
    in_force.take(in_force.read_file())
    return Service(in_force)


def test_polls_never_read_one_socket_side_by_side(monkeypatch: pytest.MonkeyPatch, daemon: Service) -> None:
    """Else one takes the other's answer and both wait for ever."""
    inside: list[int] = []
    at_once: list[int] = []

    def looks(_: object) -> dict[int, object]:
        inside.append(1)
        at_once.append(len(inside))
        threading.Event().wait(0.05)
        inside.pop()
        return {}

    monkeypatch.setattr(poller, "read_counters", looks)

    async def three() -> None:
        await asyncio.gather(*(daemon.poller.poll() for _ in range(3)))

    try:
        asyncio.run(three())
    finally:
        daemon.close()
    assert at_once == [1, 1, 1]


def test_what_a_broken_off_command_was_to_do_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, daemon: Service
) -> None:
    tried: list[object] = []

    def refuses(*_: object) -> None:
        tried.append(_)
        raise KernelError("the kernel's tables changed during a dump", 4, retryable=True)

    monkeypatch.setattr(daemon.reconciler, "run", refuses)

    async def command() -> None:
        with pytest.raises(KernelError):
            await daemon.commands.by_verb["apply"](ORDER, {})
        assert not daemon.runner.busy
        assert daemon.queue.seconds_until_due() <= 1.0
        await daemon.runner.make_due()

    try:
        asyncio.run(command())
    finally:
        daemon.close()
    assert len(tried) == 2


def test_a_pass_goes_on_though_who_asked_for_it_has_gone(monkeypatch: pytest.MonkeyPatch, daemon: Service) -> None:
    """Side by side with the next one it would use the same sockets."""
    going_on, let = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(*_: object) -> None:
        order.append("begins")
        going_on.set()
        let.wait(5)
        order.append("ends")
        raise KernelError("enough", 4)

    monkeypatch.setattr(daemon.reconciler, "run", slow)

    async def leave_and_ask_again() -> None:
        first = asyncio.ensure_future(daemon.runner.make())
        await asyncio.to_thread(going_on.wait, 5)
        first.cancel()
        second = asyncio.ensure_future(daemon.runner.make_due())
        await asyncio.sleep(0)
        let.set()
        await second

    try:
        asyncio.run(leave_and_ask_again())
    finally:
        daemon.close()
    assert order == ["begins", "ends", "begins", "ends"]


def test_a_task_that_fails_is_told_counted_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    runs: list[int] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def main() -> None:
        tasks, done = Tasks(sleep), asyncio.Event()

        async def fails_twice() -> None:
            runs.append(1)
            if len(runs) < 3:
                raise RuntimeError("out of the blue")
            done.set()

        tasks.keep("polls", fails_twice)
        await done.wait()
        assert tasks.failures == {"polls": 2}
        await tasks.stop()

    asyncio.run(main())
    assert pauses == [BACKOFF_SECONDS, 2 * BACKOFF_SECONDS]
    assert caplog.text.count("the task polls failed") == 2
