"""The daemon's two loops beside each other."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dcedge import service
from dcedge.errors import KernelError
from dcedge.in_force import OrderInForce
from dcedge.settings import Settings
from dcedge.store import Store


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
