"""The daemon's two loops beside each other."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from dcedge import service
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
