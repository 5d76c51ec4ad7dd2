"""Talking to FRR's daemons: what is absent, wedged or restarted is said, and nothing hangs."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.frr.vty import WITHOUT_BFD, FrrClient

Answer = Callable[[str], bytes | None]


@contextmanager
def daemon(folder: Path, name: str, answer: Answer, connections: int = 1) -> Iterator[None]:
    """Something that listens where a daemon would; `answer` returning None closes the connection."""
    path = folder / f"{name}.vty"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def converse(client: socket.socket) -> None:
            with client:
                while command := client.recv(4096):
                    reply = answer(command.rstrip(b"\0").decode())
                    if reply is None:
                        break
                    client.sendall(reply)

        def serve() -> None:
            for _ in range(connections):
                try:
                    client, _peer = listener.accept()
                except OSError:
                    return
                threading.Thread(target=converse, args=(client,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def says(text: str, status: int = 0) -> bytes:
    return text.encode() + b"\0\0\0" + bytes([status])


def client(folder: Path, timeout: float = 5.0, silent: set[str] | None = None) -> FrrClient:
    return FrrClient(run_folder=folder, timeout=timeout, silent=silent)


def test_an_answer_comes_back_whole(tmp_path: Path) -> None:
    long = "line\n" * 100_000
    with daemon(tmp_path, "bgpd", lambda c: says("" if c == "enable" else long)):
        assert client(tmp_path).ask("bgpd", "show running-config") == long


def test_a_refused_command_is_an_error_that_hides_secrets(tmp_path: Path) -> None:
    def answer(command: str) -> bytes:
        return says("") if command == "enable" else says("% Unknown command", 2)

    with (
        daemon(tmp_path, "bgpd", answer),
        pytest.raises(FrrError, match=r"bgpd refused .*password \*\*\*.*Unknown command"),
    ):
        client(tmp_path).ask("bgpd", "neighbor 10.0.0.1 password s3cret")


def test_an_absent_daemon_is_said_by_name(tmp_path: Path) -> None:
    with daemon(tmp_path, "zebra", lambda _: says("")):
        missing = client(tmp_path).unavailable()
    assert list(missing) == ["bfdd", "bgpd"]
    assert "bgpd is not running" in missing["bgpd"]


def test_without_bfdd_bgpd_is_read_and_written_and_what_bfdd_lacks_is_said(tmp_path: Path) -> None:
    told: list[str] = []

    def bgpd(command: str) -> bytes:
        told.append(command)
        return says("router bgp 65010\n" if command == "show running-config" else "")

    with daemon(tmp_path, "bgpd", bgpd, connections=4), daemon(tmp_path, "zebra", lambda _: says("")):
        router = client(tmp_path)
        assert router.running_config().entries == {"router bgp 65010"}
        assert "bfdd is not running" in router.bfdd_absence
        router.apply("router bgp 65010\n neighbor 10.0.0.1 remote-as 64512\nexit\n")
        assert any("neighbor 10.0.0.1 remote-as 64512" in command for command in told)
        with pytest.raises(FrrUnavailableError, match="bfdd is not running"):
            router.apply("bfd\n profile dcedge-200-3\nexit\n")
        router.needed = WITHOUT_BFD
        assert router.unavailable() == {}


def test_a_wedged_daemon_does_not_hang_its_client(tmp_path: Path) -> None:
    with daemon(tmp_path, "bgpd", lambda _: b""), pytest.raises(FrrUnavailableError, match="does not answer"):
        client(tmp_path, timeout=0.2).ask("bgpd", "show version")


def test_a_wedged_daemon_whose_queue_is_full_does_not_answer_either(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "bgpd.vty"))
        listener.listen(0)
        first = client(tmp_path, timeout=0.1)
        with pytest.raises(FrrUnavailableError, match="does not answer"):
            first.ask("bgpd", "show version")
        # That one still stands in the queue, though it has gone.
        with pytest.raises(FrrUnavailableError, match="bgpd does not answer"):
            client(tmp_path, timeout=0.1).ask("bgpd", "show version")


def test_who_was_silent_once_is_given_little_time_until_it_answers_again(tmp_path: Path) -> None:
    silent: set[str] = set()
    speaks = threading.Event()

    def answer(command: str) -> bytes:
        return says("ok") if speaks.is_set() else b""

    with daemon(tmp_path, "bgpd", answer, connections=3):
        with pytest.raises(FrrUnavailableError):
            client(tmp_path, timeout=0.1, silent=silent).ask("bgpd", "show version")
        assert silent == {"bgpd"}
        other = client(tmp_path, timeout=30, silent=silent)
        started = time.monotonic()
        with pytest.raises(FrrUnavailableError):
            other.ask("bgpd", "show running-config")
        assert time.monotonic() - started < 10
        speaks.set()
        assert other.ask("bgpd", "show running-config") == "ok"
    assert silent == set()


def test_a_restarted_daemon_is_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(command: str) -> bytes | None:
        asked.append(command)
        return None if command == "show version" and asked.count(command) == 2 else says("ok")

    with daemon(tmp_path, "bgpd", answer, connections=2):
        frr = client(tmp_path)
        assert frr.ask("bgpd", "show version") == "ok"
        assert frr.ask("bgpd", "show version") == "ok"
    assert asked.count("enable") == 2


def test_what_is_no_text_does_not_stop_the_reading(tmp_path: Path) -> None:
    with daemon(tmp_path, "bgpd", lambda c: says("") if c == "enable" else b"\xff\x00\x00\x00\x00"):
        assert client(tmp_path).ask("bgpd", "show version") == "\\xff"


def test_a_change_is_not_begun_while_a_daemon_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FrrUnavailableError, match=r"zebra is not running.*bfdd is not running.*bgpd is not running"):
        client(tmp_path).apply("bfd\n profile dcedge-200-3\nexit\nrouter bgp 65010\n")


def test_a_daemon_that_has_gone_and_left_its_socket_keeps_nobody_from_saving(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(tmp_path / "staticd.vty"))
    with daemon(tmp_path, "zebra", lambda _: says("hostname lab\n")), daemon(tmp_path, "bfdd", lambda _: says("bfd\n")):
        frr = client(tmp_path)
        assert frr.wedged_others() == ()
        assert list(frr.copies()) == ["zebra", "bfdd"]


def test_a_daemon_that_is_not_needed_and_hangs_is_named(tmp_path: Path) -> None:
    with daemon(tmp_path, "staticd", lambda command: says("") if command == "enable" else b""):
        frr = client(tmp_path, timeout=0.2)
        assert frr.wedged_others() == ("staticd",)
        with pytest.raises(FrrUnavailableError, match="staticd does not answer"):
            frr._raise_if_one_hangs()


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOMEM, errno.EMFILE])
def test_a_vtysh_that_cannot_be_started_is_an_frr_that_cannot_save(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_start(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    frr = client(tmp_path)
    monkeypatch.setattr(frr, "_raise_if_one_hangs", lambda: None)
    monkeypatch.setattr(subprocess, "Popen", cannot_start)
    with pytest.raises(FrrUnavailableError, match="vtysh cannot be started"):
        frr.write_config()
