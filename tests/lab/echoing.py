"""A daemon of FRR's that repeats what it is given in the worst ways: it stands before the real one's vty socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

REPLY_END = b"\0\0\0"
# How it answers a line of configuration; where that is no whole reply, it goes away in the middle of it.
Echo = Callable[[str], bytes]


def reply(text: str, status: int) -> bytes:
    """An answer on a vty socket; status 0 is success."""
    return text.encode() + REPLY_END + bytes([status])


class EchoingDaemon:
    """Before one daemon's socket for as long as the context lasts: lines in which `mark` is are answered by `echoes`,
    by one after the other.

    All else goes to the real one. Who was connected before still is to the real one alone.
    """

    def __init__(self, sockets: Path, daemon: str, mark: str, echoes: Sequence[Echo]) -> None:
        self._path = sockets / f"{daemon}.vty"
        self._real = sockets / f"{daemon}.vty-real"
        self._mark, self._echoes = mark, echoes
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._open: list[socket.socket] = []
        self.answered = 0

    def __enter__(self) -> Self:
        self._path.rename(self._real)
        self._listening.bind(str(self._path))
        self._path.chmod(0o777)
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._real.rename(self._path)
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # of being closed
            while True:
                client, _ = self._listening.accept()
                self._open.append(client)
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as real, contextlib.suppress(OSError):
            real.connect(str(self._real))
            heard = b""
            while piece := client.recv(1 << 16):
                *lines, heard = (heard + piece).split(b"\0")
                for line in lines:
                    if self._mark in line.decode():
                        answer = self._echoes[self.answered % len(self._echoes)](line.decode())
                        self.answered += 1
                        client.sendall(answer)
                        if answer[-4:-1] != REPLY_END:
                            return
                    else:
                        real.sendall(line + b"\0")
                        client.sendall(_answer(real))


def _answer(real: socket.socket) -> bytes:
    said = b""
    while len(said) < 4 or said[-4:-1] != REPLY_END:
        piece = real.recv(1 << 18)
        if not piece:
            raise ConnectionResetError
        said += piece
    return said
