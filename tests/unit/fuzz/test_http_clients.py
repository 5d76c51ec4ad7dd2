"""Hostile clients of HTTP, thousands of them: they get no memory, and the others get their answers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dcedge.api.http import endpoint as module
from tests.lab.wait import PATIENCE_SECONDS
from tests.unit.expose.test_web_config import AUTH, TLS, answer, authorized, config, folder, served

__all__ = ["folder"]  # a fixture

MALFORMED = 5_000  # twice
SLOW = 500
HUGE = 1 << 30
ROOM_BYTES = 32 << 20


def resident_bytes() -> int:
    """This process's memory, as proc_pid_statm(5) has it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def grown(before: int) -> int:
    return resident_bytes() - before


Attack = Callable[[tuple[str, int]], Awaitable[None]]


async def malformed(place: tuple[str, int]) -> None:
    """Thousands of requests that are none, from random bytes to heads that never were."""
    chance = random.Random(7)
    starts = (
        b"",
        b"GET ",
        b"GET / HTTP/1.1\r\n",
        b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01",
    )

    async def one() -> None:
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection(*place)
            writer.write(chance.choice(starts) + chance.randbytes(chance.randrange(400)) + b"\r\n\r\n")
            writer.write_eof()
            await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
            writer.close()

    for _ in range(MALFORMED // 20):
        await asyncio.gather(*(one() for _ in range(20)))


async def slow(place: tuple[str, int]) -> None:
    """Five hundred clients that send a byte now and then."""
    held = []
    for _ in range(SLOW):
        with contextlib.suppress(OSError):
            held.append(await asyncio.open_connection(*place))
    for _ in range(3):
        for _, writer in held:
            with contextlib.suppress(OSError):
                writer.write(b"G")
        await asyncio.sleep(0.05)
    for _, writer in held:
        writer.transport.abort()


async def huge(place: tuple[str, int]) -> None:
    """A request of a gigabyte, as much of it as is taken."""
    reader, writer = await asyncio.open_connection(*place)
    sent = 0
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(f"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: {HUGE}\r\n\r\n".encode())
        while sent < HUGE:
            writer.write(bytes(1 << 20))
            await asyncio.wait_for(writer.drain(), 2)
            sent += 1 << 20
    writer.transport.abort()
    assert sent < HUGE, "all of it was read"
    del reader


@pytest.mark.parametrize("protected", [False, True], ids=["plain", "TLS and a password"])
@pytest.mark.parametrize("attack", [malformed, slow, huge])
def test_hostile_clients_get_no_memory_and_the_others_an_answer(
    folder: Path, attack: Attack, protected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 1.0)

    async def good(place: tuple[str, int]) -> int:
        trust = folder / "server.crt" if protected else None
        try:
            return (await answer(place, authorized("prometheus", "Rebstock"), trust))[0]
        except (OSError, ssl.SSLError):
            return 0

    async def scene() -> None:
        async with served(config(folder, TLS + AUTH) if protected else None) as place:
            assert await good(place) == 200
            await attack(place)  # what the first takes, libraries' own tables among it, must do for all that follow
            before = resident_bytes()
            await attack(place)
            assert grown(before) < ROOM_BYTES
            deadline = time.monotonic() + PATIENCE_SECONDS
            while await good(place) != 200:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)

    asyncio.run(scene())
