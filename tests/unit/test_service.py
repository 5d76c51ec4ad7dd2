"""The daemon's two loops beside each other."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from dcedge import service
from dcedge.credentials import Secret
from dcedge.errors import KernelError, OrderInvalidError
from dcedge.in_force import OrderInForce
from dcedge.order.model import Credential
from dcedge.settings import Settings
from dcedge.store import Store
from tests.unit.order.test_removal import ordered

FOUR, TWO = (ordered(dict.fromkeys(range(count), "bgp")) for count in (4, 2))


def test_a_pass_never_polls_while_the_clock_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both polls read one netlink socket: side by side, one takes the other's answer and both wait for ever."""
    inside: list[int] = []
    at_once: list[int] = []

    def looks(_: object) -> dict[int, object]:
        inside.append(1)
        at_once.append(len(inside))
        threading.Event().wait(0.05)
        inside.pop()
        return {}

    monkeypatch.setattr(service, "read_counters", looks)
    settings = Settings(order=tmp_path / "order.yaml", state_dir=tmp_path, frr_pathspace="dcedge-none")
    daemon = service.Service(OrderInForce(settings, Store(tmp_path)))

    async def both() -> None:
        await asyncio.gather(*(daemon._make_poll() for _ in range(3)))

    try:
        asyncio.run(both())
    finally:
        daemon.close()
    assert at_once == [1, 1, 1]


def test_what_a_broken_off_command_was_to_do_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    order = tmp_path / "order.yaml"
    order.write_text("router: {asn: 65010, router_id: 10.255.0.1}\n")
    settings = Settings(order=order, state_dir=tmp_path, frr_pathspace="dcedge-none")
    in_force = OrderInForce(settings, Store(tmp_path))
    in_force.take(in_force.read_file())
    daemon = service.Service(in_force)

    def refuses(*_: object) -> None:
        raise KernelError("the kernel's tables changed during a dump", 4, retryable=True)

    monkeypatch.setattr(daemon.reconciler, "run", refuses)

    async def command() -> None:
        daemon.on_firewall_event()
        with pytest.raises(KernelError):
            await daemon._make_pass_and_look()
        assert daemon._wanted.pending
        assert not daemon._pass.locked()

    try:
        asyncio.run(command())
    finally:
        daemon.close()


@pytest.fixture
def in_force(tmp_path: Path) -> OrderInForce:
    """A router with four virtual interfaces in force."""
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
    daemon = service.Service(in_force)
    known = {Credential(credential="prod"): Secret("secret of prod")}

    def refuses(*_: object) -> None:
        raise KernelError("the kernel says no", 1)

    monkeypatch.setattr(daemon.reconciler, "run", refuses)

    async def commands() -> None:
        verbs = daemon.commands()
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
