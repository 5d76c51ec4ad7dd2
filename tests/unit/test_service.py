"""The daemon's parts beside each other: nothing that fails in one ends another."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from dcedge import poller, store
from dcedge.credentials import Secret
from dcedge.errors import KernelError, OrderInvalidError
from dcedge.in_force import OrderInForce
from dcedge.order.model import Credential
from dcedge.service import Service
from dcedge.settings import Settings
from dcedge.store import Store
from dcedge.tasks import BACKOFF_SECONDS, Tasks
from tests.unit.order.test_removal import ordered

FOUR, TWO = (ordered(dict.fromkeys(range(count), "bgp")) for count in (4, 2))
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


@pytest.fixture
def in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OrderInForce:
    """A router with four virtual interfaces in force."""
    monkeypatch.setattr(store, "RUN_FOLDER", tmp_path / "run")
    settings = Settings(order=tmp_path / "order.yaml", state_dir=tmp_path, frr_pathspace="dcedge-none")
    settings.order.write_text(FOUR)
    made = OrderInForce(settings, Store(tmp_path))
    made.start()
    return made


def handed_over(name: str) -> str:
    return json.dumps({json.dumps({"credential": name, "file": None}): f"secret of {name}"})


def test_passwords_come_with_the_order_that_is_taken_and_not_with_one_that_is_refused(
    monkeypatch: pytest.MonkeyPatch, in_force: OrderInForce
) -> None:
    """A refused order names fewer passwords: the sessions of the one in force are not to lose theirs."""
    daemon = Service(in_force)
    known = {Credential(credential="prod"): Secret("secret of prod")}

    def refuses(*_: object) -> None:
        raise KernelError("the kernel says no", 1)

    monkeypatch.setattr(daemon.reconciler, "run", refuses)

    async def commands() -> None:
        verbs = daemon.commands.by_verb
        daemon.reconciler.handed_over = known
        in_force.settings.order.write_text(TWO)
        for verb, text in (("reload", ""), ("apply", TWO)):
            await verbs["credentials"](handed_over("another"), {})
            with pytest.raises(OrderInvalidError, match="2 of 4"):
                await verbs[verb](text, {})
            assert daemon.reconciler.handed_over == known
        with pytest.raises(KernelError):
            await verbs["apply"](FOUR, {})
        assert daemon.reconciler.handed_over == known, "those of the refused order are not kept for the next"
        for name, verb, text, parameters in (("one", "apply", TWO, {"allow_removal": "2"}), ("two", "reload", "", {})):
            await verbs["credentials"](handed_over(name), {})
            with pytest.raises(KernelError):
                await verbs[verb](text, parameters)
            assert [secret.reveal() for secret in daemon.reconciler.handed_over.values()] == [f"secret of {name}"]

    try:
        asyncio.run(commands())
    finally:
        daemon.close()
