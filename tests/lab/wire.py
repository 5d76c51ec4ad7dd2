"""The line between the runner and the lab: frames of a kind, a length and a payload."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterator

HEADER = struct.Struct("!cI")
WINDOW = 1 << 16
"""Bytes of standard input that may be under way without having been taken by the command."""


class Kind(enum.Enum):
    """What a frame carries; the lab's own come first."""

    READY = b"R"  # the lab has booted
    STDOUT = b"O"
    STDERR = b"E"
    TAKEN = b"T"  # that many bytes of standard input were taken, in decimal
    STATUS = b"X"  # the command's exit status, in decimal; the last frame
    JOB = b"J"  # what to run, as JSON
    STDIN = b"I"  # empty: end of input
    SIGNAL = b"S"  # its number, in decimal
    SIZE = b"W"  # the terminal's rows and columns, in decimal, with a space between


def frame(kind: Kind, payload: bytes = b"") -> bytes:
    """One frame, ready to be written."""
    return HEADER.pack(kind.value, len(payload)) + payload


class Frames:
    """Cuts a stream of bytes, fed in pieces of any size, into frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """The frames that are complete now that data has come too."""
        self._pending += data
        while len(self._pending) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._pending)
            end = HEADER.size + length
            if len(self._pending) < end:
                return
            payload = bytes(self._pending[HEADER.size : end])
            del self._pending[:end]
            yield Kind(kind), payload


def write_all(write: Callable[[bytes | memoryview], int], data: bytes) -> None:
    """Writes data to its end with a blocking write that may take less than it is given."""
    view = memoryview(data)
    while view:
        view = view[write(view) :]
