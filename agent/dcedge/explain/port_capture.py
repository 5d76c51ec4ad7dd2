"""A capture on one port, made by the program `dcedge-capture`, which alone takes apart what strangers send.

It hears no password: what it tells of a frame is judged here.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

from dcedge.errors import CaptureError
from dcedge.explain.capture import Listener
from dcedge.explain.frames import read_frame

_SECONDS_MAX = 60  # that the program lives
_START_SECONDS_MAX = 30.0  # on a small machine scapy takes seconds to load
_FRAMES_MAX = 20_000
_LINE_BYTES_MAX = 1 << 19  # a segment of 64 KB is in it twice, in hexadecimal
_READ_BYTES = 1 << 16


class PortCapture:
    """A capture on one port, into a listener.

    Raises OSError where the port may not be listened to (CAP_NET_RAW) or there is none of that name, CaptureError where
    the program fails otherwise.
    """

    def __init__(self, port: str, listener: Listener) -> None:
        self._listener = listener
        self._pending = b""
        # Where this interpreter's own commands are: in a virtual environment, in the package's, in the system's.
        program = Path(sysconfig.get_path("scripts"), "dcedge-capture")
        if not program.exists():
            raise CaptureError(f"{program} is not installed")
        self._process = subprocess.Popen(
            [str(program), port, str(_SECONDS_MAX)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            bufsize=0,
        )
        try:
            self._await_start()
        except BaseException:
            self._end()
            raise
        self.started = time.monotonic()

    def __enter__(self) -> PortCapture:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """The program's process."""
        return self._process.pid

    def listen(self, until: float, *, conclusive: bool = False) -> None:
        """Hear frames until then (monotonic seconds), or as soon as what was heard is conclusive."""
        for _ in range(_FRAMES_MAX):
            if conclusive and self._listener.conclusive:
                return
            line = self._line(until)
            if line is None:
                return
            if line.startswith(b'{"error"'):
                raise _told_error(line)
            self._listener.hear(read_frame(line))

    def _await_start(self) -> None:
        line = self._line(time.monotonic() + _START_SECONDS_MAX)
        if line is None:
            raise CaptureError(f"dcedge-capture was not ready within {_START_SECONDS_MAX:.0f} s")
        if line != b'{"listening":true}':
            raise _told_error(line)

    def _line(self, until: float) -> bytes | None:
        """The next line; None where none comes until then."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._pending:
            left = until - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return None
            got = os.read(descriptor, _READ_BYTES)
            if not got:
                raise CaptureError(f"dcedge-capture ended, status {self._process.wait(_START_SECONDS_MAX)}")
            self._pending += got
            if len(self._pending) > _LINE_BYTES_MAX:
                raise CaptureError("dcedge-capture sent a line that is too long")
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _end(self) -> None:
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def _told_error(line: bytes) -> OSError | CaptureError:
    """The error that the program tells of."""
    try:
        said: Any = json.loads(line)
        number, text = said["errno"], str(said["error"])
    except (ValueError, KeyError, TypeError):
        return CaptureError("dcedge-capture sent an unexpected first line")
    return OSError(number, os.strerror(number)) if type(number) is int else CaptureError(f"dcedge-capture: {text}")
