"""The control socket: who may do what, what errors become, and whose file it is."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dcedge.api.control.client import MAX_BODY, ControlClient
from dcedge.api.control.control_server import Command, ControlServer, Reply, start_control
from dcedge.api.status import status_json
from dcedge.errors import BusyError, DcedgeError, NotRunningError
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.last_hour import Hour
from dcedge.monitor.snapshot import Snapshot
from dcedge.order.findings import Finding, OrderInvalidError
from tests.unit.expose.scene import snapshot

T = TypeVar("T")

FINDING = Finding("order.yaml", 14, 11, "virtual_interfaces.prod-a.vlan", "4095 is not a VLAN ID (0-4094)")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="changing anything takes root")


class Daemon:
    """A backend that remembers what it was asked to do."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.reloads = 0
        self.error: DcedgeError | None = None

    def urgent(self) -> bool:
        return False

    def snapshot(self) -> Snapshot:
        return snapshot()

    def hour(self) -> Hour:
        return Hour()

    def order_text(self) -> str:
        return ""

    def history(self, name: str) -> tuple[Transition, ...]:
        return (Transition(5.0, "up", "down", "no \x1b[31mcarrier"),) if name == "prod-a" else ()

    def commands(self) -> Mapping[str, Command]:
        return {"apply": self.apply, "reload": self.reload}

    async def apply(self, text: str, parameters: Mapping[str, str]) -> Reply:
        if self.error is not None:
            raise self.error
        self.applied.append(text)
        self.parameters = dict(parameters)
        return {"complete": True, "operations": 3}

    async def reload(self, _: str, __: Mapping[str, str]) -> Reply:
        self.reloads += 1
        return {}


def ask(path: Path, daemon: Daemon, question: Callable[[ControlClient], T]) -> T:
    """Put a question to a running daemon, as a command line in another thread would."""

    async def run() -> T:
        async with start_control(path, daemon):
            return await asyncio.to_thread(question, ControlClient(path, timeout=20))

    return asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


def test_the_history_of_one_virtual_interface_is_given_with_what_a_peer_said_escaped(path: Path) -> None:
    told = ask(path, Daemon(), lambda client: client.history("prod-a"))
    assert told == [{"at": 5.0, "before": "up", "after": "down", "reason": "no \\x1b[31mcarrier"}]
    assert ask(path, Daemon(), lambda client: client.history("no body/é")) == []


def test_status_is_the_snapshot_as_json(path: Path) -> None:
    status = ask(path, Daemon(), ControlClient.status)
    assert [vi["name"] for vi in status["virtual_interfaces"]] == ["prod-a", "prod-b"]
    assert status == json.loads(json.dumps(status_json(snapshot())))


@AS_ROOT
def test_root_applies_an_order(path: Path) -> None:
    daemon = Daemon()
    text = "router:\n  asn: 65010  # Zürich\n"
    answer = ask(path, daemon, lambda client: client.command("apply", text, confirm="5m"))
    assert daemon.applied == [text]
    assert answer == {"complete": True, "operations": 3}


@AS_ROOT
def test_root_has_the_order_read_again(path: Path) -> None:
    daemon = Daemon()
    ask(path, daemon, lambda client: client.command("reload"))
    assert daemon.reloads == 1


@AS_ROOT
@pytest.mark.parametrize("kind", [OrderInvalidError, BusyError, DcedgeError])
def test_the_daemons_errors_arrive_as_what_they_were(path: Path, kind: type[DcedgeError]) -> None:
    daemon = Daemon()
    daemon.error = OrderInvalidError([FINDING]) if kind is OrderInvalidError else kind("a pass is under way")
    with pytest.raises(kind) as raised:
        ask(path, daemon, lambda client: client.command("apply", "x"))
    assert type(raised.value) is kind
    assert str(raised.value) == str(daemon.error)
    if isinstance(raised.value, OrderInvalidError):
        assert raised.value.findings == (FINDING,)


@AS_ROOT
def test_an_order_larger_than_any_is_refused_and_the_daemon_lives_on(path: Path) -> None:
    daemon = Daemon()

    def both(client: ControlClient) -> int:
        with pytest.raises(DcedgeError):
            client.command("apply", "x" * (MAX_BODY + 10_000))
        return len(client.status()["virtual_interfaces"])

    assert ask(path, daemon, both) == 2
    assert daemon.applied == []


ASK_AS_NOBODY = """
import http.client, os, socket, sys, json
sock = socket.socket(socket.AF_UNIX)
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
sock.connect(sys.argv[1])
answers = []
for method, path in (("GET", "/v1/status"), ("POST", "/v1/reload")):
    connection = http.client.HTTPConnection("dcedge")
    connection.sock = sock
    connection.request(method, path, b"")
    response = connection.getresponse()
    response.read()
    answers.append(response.status)
print(json.dumps(answers))
"""


@AS_ROOT
def test_another_user_may_read_and_not_change(path: Path) -> None:
    daemon = Daemon()
    nobody = pwd.getpwnam("nobody").pw_uid

    def as_nobody(_: ControlClient) -> Any:
        # Let in by the file's mode, as a member of the group would be; the kernel still tells who it is.
        path.chmod(0o666)
        done = subprocess.run(
            [sys.executable, "-c", ASK_AS_NOBODY, path.name, str(nobody)], cwd=path.parent, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert ask(path, daemon, as_nobody) == [200, 403]
    assert daemon.reloads == 0


HOLD_AS_NOBODY = """
import os, socket, sys, time
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
held = []
for _ in range(200):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[1])
    held.append(sock)
print("held", flush=True)
sys.stdin.read()
"""


@AS_ROOT
def test_a_reader_who_holds_all_places_that_are_to_be_had_does_not_keep_root_out(path: Path) -> None:
    daemon = Daemon()
    nobody = pwd.getpwnam("nobody").pw_uid

    def meanwhile(client: ControlClient) -> None:
        path.chmod(0o666)
        with subprocess.Popen(
            [sys.executable, "-c", HOLD_AS_NOBODY, path.name, str(nobody)],
            cwd=path.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as holding:  # fmt: skip
            assert holding.stdout is not None
            assert holding.stdout.readline() == b"held\n"
            client.command("reload")
            assert holding.stdin is not None
            holding.stdin.close()

    ask(path, daemon, meanwhile)
    assert daemon.reloads == 1


class Users:
    """Connections whose users the test names, one after the other."""

    def __init__(self, path: Path) -> None:
        self.server = ControlServer(Daemon(), path, user_of=lambda _: self.user)
        self.path = path
        self.user = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def let_in(self, user: int, count: int = 1) -> int:
        """Connect so many times, and stay; how many were not turned away."""
        self.user = user
        found = 0
        for _ in range(count):
            reader, writer = await asyncio.open_unix_connection(str(self.path))
            self.writers.append(writer)
            try:
                writer.write(b"GET /v1/history/x HTTP/1.1\r\nHost: x\r\n\r\n")
                found += b"200" in await asyncio.wait_for(reader.readline(), 20)
            except ConnectionError:
                continue
        return found


def test_no_user_gets_all_places_and_some_are_for_root_alone(path: Path) -> None:
    async def scene() -> None:
        users = Users(path)
        await users.server.start()
        try:
            assert await users.let_in(1001, 100) == 16
            assert await users.let_in(1002, 16) == 16, "others are let in all the same"
            assert [await users.let_in(user, 16) for user in (1003, 1004)] == [16, 8]
            assert await users.let_in(1005) == 0
            assert await users.let_in(0, 9) == 8
            users.writers[0].close()
            await users.writers[0].wait_closed()
            assert await users.let_in(1005, 2) == 1, "there is room again"
        finally:
            for writer in users.writers:
                writer.transport.abort()
            await users.server.close()

    asyncio.run(scene())


def test_a_full_line_at_the_door_is_waited_in(path: Path) -> None:
    path.parent.mkdir()
    told: list[str] = []

    def ask() -> None:
        with pytest.raises(DcedgeError) as raised:
            ControlClient(path, timeout=20).status()
        told.append(str(raised.value))

    with socket.socket(socket.AF_UNIX) as door, socket.socket(socket.AF_UNIX) as first:
        door.bind(str(path))
        door.listen(0)
        first.connect(str(path))
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(0.2)
        assert told == [], "it is not turned away"
        for _ in range(2):
            inside, _ = door.accept()
            inside.close()
        asking.join(20)
    assert len(told) == 1
    assert "lost the connection" in told[0], "it was let in"


def test_a_line_that_does_not_move_is_not_waited_in_for_ever(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as door, socket.socket(socket.AF_UNIX) as first:
        door.bind(str(path))
        door.listen(0)
        first.connect(str(path))
        with pytest.raises(DcedgeError, match="did not answer within"):
            ControlClient(path, timeout=0.2).status()


def test_the_socket_is_open_to_owner_and_group_only(path: Path) -> None:
    mode = ask(path, Daemon(), lambda _: path.stat().st_mode)
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_the_socket_is_gone_after_the_daemon(path: Path) -> None:
    ask(path, Daemon(), ControlClient.status)
    assert list(path.parent.iterdir()) == []


def test_a_stale_socket_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    assert len(ask(path, Daemon(), ControlClient.status)["virtual_interfaces"]) == 2


def test_a_live_socket_is_respected(path: Path) -> None:
    @asynccontextmanager
    async def two() -> AsyncIterator[None]:
        async with start_control(path, Daemon()):
            with pytest.raises(BusyError, match="another daemon answers"):
                await ControlServer(Daemon(), path).start()
            yield

    async def run() -> int:
        async with two():
            status = await asyncio.to_thread(ControlClient(path, timeout=20).status)
            return len(status["virtual_interfaces"])

    assert asyncio.run(run()) == 2


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(DcedgeError, match="is not a socket"):
        ask(path, Daemon(), ControlClient.status)
    assert path.read_text() == "precious"


def test_without_a_daemon_the_client_says_so(path: Path) -> None:
    with pytest.raises(NotRunningError):
        ControlClient(path).status()


def test_a_daemon_that_does_not_answer_does_not_hold_the_client_for_ever(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        with pytest.raises(DcedgeError, match="did not answer"):
            ControlClient(path, timeout=0.2).status()


def test_an_unknown_verb_is_an_error_and_no_crash(path: Path) -> None:
    def unknown(client: ControlClient) -> None:
        client._ask("POST", "explode", b"")

    with pytest.raises(DcedgeError, match=r"unknown verb|only root"):
        ask(path, Daemon(), unknown)


def test_where_nobody_may_look_for_a_socket_it_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def start() -> None:
        with pytest.raises(DcedgeError, match=r"cannot listen on .*: Not a directory"):
            await ControlServer(Daemon(), tmp_path / "file" / "control.sock").start()

    asyncio.run(start())
