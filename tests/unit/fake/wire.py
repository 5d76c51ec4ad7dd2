"""Netlink framing on the kernel's side of a socket (RFC 3549, netlink(7)): requests in, datagrams out."""

from __future__ import annotations

import errno
import os
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pyroute2.netlink import (
    NLM_F_ACK,
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_MULTI,
    NLMSG_DONE,
    NLMSG_ERROR,
    nlmsgerr,
)

DATAGRAM_BYTES = 16 * 1024  # a dump comes in several

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


def number(message: Any, name: str) -> int:
    """The number of an attribute, as pyroute2 counts them."""
    names = [entry[0] for entry in message.nla_map]
    return names.index(name)


NLMSGERR_ATTR_MSG = number(nlmsgerr, "NLMSGERR_ATTR_MSG")


class RefusedError(Exception):
    """The kernel's refusal: an errno and its own words."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Message:
    """One request as it came in."""

    message_type: int
    flags: int
    sequence: int
    frame: bytes

    @property
    def body(self) -> bytes:
        """What follows the netlink header."""
        return self.frame[16:]

    @property
    def is_dump(self) -> bool:
        """Whether a whole table is asked for."""
        return bool(self.flags & NLM_F_DUMP == NLM_F_DUMP)


def messages(data: bytes) -> Iterator[Message]:
    """The requests of one send."""
    at = 0
    while at + 16 <= len(data):
        length, message_type, flags, sequence, _ = _HEADER.unpack_from(data, at)
        assert length >= 16
        yield Message(message_type, flags, sequence, data[at : at + length])
        at += (length + 3) & ~3


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute with its padding."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length & 3)


def attributes(data: bytes) -> dict[int, bytes]:
    """The payloads in a nest, by type."""
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        assert length >= 4, "an attribute is longer than its header"
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def _frame(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(16 + len(body), kind, flags, sequence, 0) + body + bytes(-len(body) & 3)


def acknowledgement(request: Message, refusal: RefusedError | None) -> bytes:
    """NLMSG_ERROR as a socket with NETLINK_CAP_ACK and NETLINK_EXT_ACK gets it."""
    words = attribute(NLMSGERR_ATTR_MSG, refusal.text.encode() + b"\0") if refusal and refusal.text else b""
    code = struct.pack("=i", -refusal.code if refusal else 0)
    return _frame(
        NLMSG_ERROR,
        NLM_F_CAPPED | (NLM_F_ACK_TLVS if words else 0),
        request.sequence,
        code + request.frame[:16] + words,
    )


@dataclass
class Wire:
    """What stands in for the kernel's socket below pyroute2's: `send` and `recv_into`, as `socket.socket` has them.

    `carry_out` does one request and returns the messages that it asks for, as type and body; it may raise RefusedError.
    `interrupted` says whether the table that a dump goes over changes under it.
    """

    carry_out: Callable[[Message], Iterable[tuple[int, bytes]]]
    interrupted: Callable[[], bool]
    closed: bool = False
    fails: list[int] = field(default_factory=list)  # errnos that the next receptions fail with
    _waiting: deque[bytes] = field(default_factory=deque)

    def send(self, data: bytes, flags: int = 0) -> int:
        """Have the requests carried out, one after the other."""
        for request in messages(data):
            self._waiting.extend(self._answer(request))
        return len(data)

    def recv_into(self, buffer: bytearray) -> int:
        """One datagram. Raises OSError where the kernel lost some, TimeoutError where none comes."""
        if self.fails:
            code = self.fails.pop(0)
            raise OSError(code, os.strerror(code))
        if not self._waiting:
            raise TimeoutError
        datagram = self._waiting.popleft()
        buffer[: len(datagram)] = datagram
        return len(datagram)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """One datagram, which is at most so long."""
        buffer = bytearray(size)
        return bytes(buffer[: self.recv_into(buffer)])

    def fileno(self) -> int:
        """There is none."""
        return -1

    def close(self) -> None:
        """Close it."""
        self.closed = True

    def _answer(self, request: Message) -> Iterator[bytes]:
        try:
            found = list(self.carry_out(request))
        except RefusedError as error:
            yield acknowledgement(request, error)
            return
        if request.is_dump:
            yield from self._dump(request, found)
            return
        yield from (_frame(kind, 0, request.sequence, body) for kind, body in found)
        if request.flags & NLM_F_ACK:
            yield acknowledgement(request, None)

    def _dump(self, request: Message, found: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
        flags = NLM_F_MULTI | (NLM_F_DUMP_INTR if self.interrupted() else 0)
        datagram = b""
        for kind, body in (*found, (NLMSG_DONE, bytes(4))):
            frame = _frame(kind, flags, request.sequence, body)
            if len(datagram) + len(frame) > DATAGRAM_BYTES:
                yield datagram
                datagram = b""
            datagram += frame
        yield datagram


@dataclass
class EventWire:
    """What stands in for the event socket: whatever happens is sent to it, `room` datagrams at most wait."""

    room: int = 10_000
    _waiting: deque[bytes] = field(default_factory=deque)
    _overrun: bool = False

    def tell(self, kind: int, body: bytes) -> None:
        """The kernel's word on one change; where nobody has read the others it is lost."""
        if len(self._waiting) >= self.room:
            self._overrun = True
        else:
            self._waiting.append(_frame(kind, 0, 0, body))

    def send(self, data: bytes, flags: int = 0) -> int:
        """Nobody is asked anything here."""
        raise AssertionError("the event socket only listens")

    def recv_into(self, buffer: bytearray) -> int:
        """One datagram."""
        datagram = self.recv(len(buffer))
        buffer[: len(datagram)] = datagram
        return len(datagram)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """One datagram. Raises BlockingIOError where none waits, OSError (ENOBUFS) once where some were lost."""
        if self._overrun:
            self._overrun = False
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        if not self._waiting:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self._waiting.popleft()[:size]

    def fileno(self) -> int:
        """There is none."""
        return -1

    def close(self) -> None:
        """Close it."""
