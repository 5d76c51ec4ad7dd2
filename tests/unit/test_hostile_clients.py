"""Hostile clients of a daemon that is at work: its memory stays bounded, and what is broken meanwhile is repaired."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dcedge.api.control.client import ControlClient
from tests.lab.prefork import Forked
from tests.lab.wait import PATIENCE_SECONDS, until
from tests.unit.test_cli import AS_ROOT, Router, daemon, router

__all__ = ["daemon", "router"]  # fixtures
pytestmark = [AS_ROOT, pytest.mark.timeout(120)]

MALFORMED = 3000
SLOW = 500
HUGE = 1 << 30
GROWTH_BYTES = 64 << 20
HTTP = ("127.0.0.1", 9478)
ADDRESS = "10.255.101.2/30"


def resident(process: Forked) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def connected(router: Router, control: bool) -> socket.socket:
    """A client of the control socket, or of HTTP in the router's namespace."""
    if control:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(str(router.socket))
        return client
    return router.namespace.call(socket.create_connection, HTTP, 5)


def malformed(router: Router, control: bool) -> list[socket.socket]:
    chance = random.Random(11)
    connections = 0
    for _ in range(MALFORMED):
        with contextlib.suppress(OSError), connected(router, control) as client:
            connections += 1
            client.sendall(
                chance.choice((b"", b"GET ", b"POST /v1/apply HTTP/1.1\r\n")) + chance.randbytes(200) + b"\r\n\r\n"
            )
            client.shutdown(socket.SHUT_WR)
            client.recv(4096)
    assert connections == MALFORMED
    return []


def slow(router: Router, control: bool) -> list[socket.socket]:
    held = []
    for _ in range(SLOW):
        with contextlib.suppress(OSError):
            client = connected(router, control)
            client.sendall(b"GET /")
            held.append(client)
    return held


def huge(router: Router, control: bool) -> list[socket.socket]:
    path = b"/v1/apply" if control else b"/metrics"
    client = connected(router, control)
    sent = 0
    with contextlib.suppress(OSError):
        client.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (path, HUGE))
        while sent < HUGE:
            sent += client.send(bytes(1 << 20))
    assert sent < HUGE, "all of it was read"
    return [client]


@pytest.mark.parametrize("control", [False, True], ids=["HTTP", "control socket"])
@pytest.mark.parametrize("attack", [malformed, slow, huge])
def test_a_pass_is_made_all_the_same(
    router: Router,
    daemon: Forked,
    attack: Callable[[Router, bool], list[socket.socket]],
    control: bool,
) -> None:
    before = resident(daemon)
    held = attack(router, control)
    try:
        router.namespace.ip(f"address delete {ADDRESS} dev eth1")
        until("the address to be back", router.state_of_kernel, accept=lambda said: ADDRESS in said)
        assert resident(daemon) - before < GROWTH_BYTES
    finally:
        for client in held:
            client.close()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(Exception):
            assert ControlClient(router.socket).status()["pass"]
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
