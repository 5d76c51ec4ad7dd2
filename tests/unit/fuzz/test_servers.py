"""Whatever is sent to the control socket and to HTTP: the next client is answered, and nothing is changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcedge.api.control.client import ControlClient
from dcedge.api.control.control_server import Command, ControlServer, Reply
from dcedge.api.http.endpoint import HttpServer
from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.errors import DcedgeError
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.last_hour import Hour
from dcedge.monitor.snapshot import PassSnapshot, Snapshot
from dcedge.reconcile.state.store import Store
from tests.unit.expose.scene import own_metrics, snapshot

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
PIECES = st.one_of(
    st.sampled_from(
        [
            b"GET", b"POST", b" ", b"/v1/status", b"/metrics", b"/v1/apply", b"/v1/drain", b" HTTP/1.1", b" HTTP/9.9",
            b"\n", b"Host: localhost\r\n", b"Content-Length: ", b"5", b"-1", b"Transfer-Encoding: chunked\r\n", b"\r\n",
            b"\0", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"..%2f", b"?confirm=", b"\r\n\r\n", b"ffff\r\n",
        ]
    ),
    st.binary(max_size=30),
)  # fmt: skip
REQUESTS = st.lists(PIECES, max_size=20).map(b"".join)

KEYS = st.sampled_from(["names", "links", "frr_lines", "drained", "order", "secrets", "deadline", "sysctl_before"])
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
).map(json.dumps)
STATE_FILES = ("owned.json", "runtime.json", "pending.json", "coming.json")


class Router:
    """What is served; it notes what it was asked to change."""

    def __init__(self) -> None:
        self.changes = 0

    def snapshot(self) -> Snapshot:
        return snapshot(passes=PassSnapshot(finished=time.time()))

    def metrics(self) -> DaemonMetrics:
        return own_metrics()

    def hour(self) -> Hour:
        return Hour()

    def order_text(self) -> str:
        return ""

    def history(self, name: str) -> tuple[Transition, ...]:
        return ()

    def urgent(self) -> bool:
        return False

    def commands(self) -> Mapping[str, Command]:
        return {"drain": self._drain}

    async def _drain(self, body: str, parameters: Mapping[str, str]) -> Reply:
        wish = json.loads(body)
        self.changes += 1
        return {"names": sorted(wish["names"]), "seconds": float(parameters.get("confirm", 0))}


class Served:
    """Both servers, in a thread of their own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "control.sock"
        self.router = Router()
        self._loop = asyncio.new_event_loop()
        self._http, self._control = HttpServer(self.router), ControlServer(self.router, self.path)
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.place = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)

    async def _start(self) -> tuple[str, int]:
        await self._control.start()
        return await self._http.start("127.0.0.1:0")

    def close(self) -> None:
        for server in (self._http, self._control):
            asyncio.run_coroutine_threadsafe(server.close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def healthy(self) -> bool:
        with socket.create_connection(self.place, 20) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder:  # short, as a UNIX socket's path must be
        made = Served(Path(folder))
        yield made
        made.close()


def send(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(20)
        while client.recv(1 << 16):
            pass


@UNHURRIED
@given(data=REQUESTS)
def test_http_answers_the_next_client(served: Served, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection(served.place, 20) as client:
        send(client, data)
    assert served.healthy()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@UNHURRIED
@given(data=REQUESTS)
def test_the_control_socket_answers_the_next_client(
    served: Served, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(served.path))
        send(client, data)
    assert ControlClient(served.path).status()["router"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@UNHURRIED
@given(body=st.one_of(st.text(max_size=60), JSON))
def test_a_body_that_is_not_understood_is_an_error_in_words(
    served: Served, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = served.router.changes
    with contextlib.suppress(DcedgeError):
        ControlClient(served.path).command("drain", body.encode("utf-8", "replace").decode(), confirm="soon")
    assert served.router.changes <= before + 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@UNHURRIED
@given(contents=st.one_of(st.binary(max_size=80), JSON.map(str.encode)), name=st.sampled_from(STATE_FILES))
def test_a_damaged_state_file_is_an_error_in_words(contents: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(contents)
        store = Store(Path(folder))
        for read in (store.owned, store.runtime, store.pending_order.get):
            with contextlib.suppress(DcedgeError):
                read()
