"""Route netlink at scale: many messages a send, acknowledgements read in bulk, dumps walked without copies.

A general netlink library costs 0.17 ms to encode one link message and more to decode one; at thousands of virtual
interfaces that, not the kernel, is the time a pass takes. This module knows just the framing (RFC 3549, rtnetlink(7));
what the messages mean is in `messages` and `observe`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dcedge.errors import KernelError

NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 2, 3, 4
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_ECHO, NLM_F_DUMP_INTR = 0x1, 0x2, 0x4, 0x8, 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSGERR_ATTR_MSG = 1

NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12
SOL_NETLINK = 270
SO_RCVBUFFORCE = 33

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port ID
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ERROR = struct.Struct("=i")
_BATCH = 64
_BATCH_SECONDS = 0.02  # what one should take at most
_RECEIVE_BYTES = 256 * 1024
_RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024
_DUMP_ATTEMPTS = 5
TIMEOUT_SECONDS = 30.0

Span = tuple[int, int]
T = TypeVar("T")


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute with its padding."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length & 3)


def nested(kind: int, *children: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(children))


def text(kind: int, value: str) -> bytes:
    """A string attribute, NUL-terminated."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    """An 8-bit attribute."""
    return attribute(kind, struct.pack("=B", value))


def u32(kind: int, value: int) -> bytes:
    """A 32-bit attribute in host order."""
    return attribute(kind, struct.pack("=I", value))


def attributes(data: memoryview, start: int, end: int) -> dict[int, Span]:
    """Where each attribute's payload stands in `data[start:end]`; a repeated type keeps its last."""
    found: dict[int, Span] = {}
    unpack = _ATTRIBUTE.unpack_from
    while start + 4 <= end:
        length, kind = unpack(data, start)
        if length < 4:
            break
        found[kind & NLA_TYPE_MASK] = (start + 4, start + length)
        start += (length + 3) & ~3
    return found


def each_attribute(data: memoryview, span: Span) -> Iterator[tuple[int, Span]]:
    """Type and payload place of each attribute in a nest, repeated ones too."""
    start, end = span
    while start + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < 4:
            break
        yield kind & NLA_TYPE_MASK, (start + 4, start + length)
        start += (length + 3) & ~3


def string_at(data: memoryview, span: Span) -> str:
    """The string in a payload, without its NUL."""
    return bytes(data[span[0] : span[1]]).rstrip(b"\0").decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Request:
    """One message to the kernel: type, extra flags, body (fixed header and attributes)."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the kernel said to one request: errno (0: done) and its own words, where it has any."""

    errno: int
    text: str

    def __str__(self) -> str:
        reason = os.strerror(self.errno)
        return f"{self.text} ({reason})" if self.text else reason


OK = Answer(0, "")


class Wire(Protocol):
    """What carries datagrams to the kernel and back: a bound netlink socket with capped and extended acknowledgements
    and strictly checked dumps (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK)."""

    def send(self, data: bytes, /) -> int:
        """Send one datagram of requests."""

    def recv_into(self, buffer: bytearray, /) -> int:
        """Receive one datagram; its length. Raises OSError; TimeoutError where none comes."""

    def close(self) -> None:
        """Close it."""


class RouteSocket:
    """A blocking route-netlink socket for requests and dumps, or one of another `protocol`; one thread at a time.

    It speaks over `wire` where one is given.
    """

    def __init__(self, protocol: int = socket.NETLINK_ROUTE, *, wire: Wire | None = None) -> None:
        self._socket = wire if wire is not None else _open(protocol)
        self._sequence = 0
        self._buffer = bytearray(_RECEIVE_BYTES)
        self._view = memoryview(self._buffer)

    def __enter__(self) -> RouteSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._view.release()
        self._socket.close()

    def execute(self, requests: Sequence[Request]) -> list[Answer]:
        """Send the requests in batches, in order; the answer of each, in the same order.

        A refused request does not stop the ones behind it. Raises KernelError where the socket itself fails.

        The kernel carries out a whole batch in one system call, and may let nothing else onto the processor until
        then; so where its steps are slow (a link that comes up among thousands: 20 ms) a batch has fewer.
        """
        answers: list[Answer] = []
        size = _BATCH
        while len(answers) < len(requests):
            batch = requests[len(answers) : len(answers) + size]
            started = time.monotonic()
            first = self._sequence + 1
            self._sequence += len(batch)
            frames = b"".join(
                _HEADER.pack(16 + len(r.body), r.kind, NLM_F_REQUEST | NLM_F_ACK | r.flags, first + i, 0)
                + r.body
                + bytes(-len(r.body) & 3)
                for i, r in enumerate(batch)
            )
            self._socket.send(frames)
            answers.extend(self._acknowledgements(first, len(batch)))
            taken = time.monotonic() - started
            fitting = int(len(batch) * _BATCH_SECONDS / taken) if taken else _BATCH
            size = max(1, min(_BATCH, 2 * len(batch), fitting))
        return answers

    def _acknowledgements(self, first: int, count: int) -> list[Answer]:
        answers: list[Answer] = [OK] * count
        missing = count
        while missing:
            for kind, flags, sequence, start, end in self._receive():
                if kind != NLMSG_ERROR or not first <= sequence < first + count:
                    continue
                missing -= 1
                code = -_ERROR.unpack_from(self._view, start)[0]
                if code:
                    answers[sequence - first] = Answer(code, self._extended_text(flags, start, end))
        return answers

    def _extended_text(self, flags: int, start: int, end: int) -> str:
        if not flags & NLM_F_ACK_TLVS:
            return ""
        skip = 4 + 16
        if not flags & NLM_F_CAPPED:
            skip = 4 + ((_HEADER.unpack_from(self._view, start + 4)[0] + 3) & ~3)
        found = attributes(self._view, start + skip, end)
        return string_at(self._view, found[NLMSGERR_ATTR_MSG]) if NLMSGERR_ATTR_MSG in found else ""

    def get(self, kind: int, body: bytes, decode: Callable[[memoryview, int, int], T]) -> T | None:
        """One object, decoded; None where there is none. Raises KernelError for any other refusal."""
        self._sequence += 1
        self._socket.send(_HEADER.pack(16 + len(body), kind, NLM_F_REQUEST, self._sequence, 0) + body)
        while True:
            for got, _, number, start, end in self._receive():
                if number != self._sequence:
                    continue
                if got != NLMSG_ERROR:
                    return decode(self._view, start, end)
                code = -_ERROR.unpack_from(self._view, start)[0]
                if code in {errno.ENODEV, errno.ENOENT}:
                    return None
                raise KernelError(f"get {kind}: {os.strerror(code)}", code)

    def dump(self, kind: int, body: bytes) -> Iterator[tuple[memoryview, int, int]]:
        """Each message of a dump as (data, start, end) of its body; valid until the next one is asked for.

        A dump that the kernel marks as interrupted raises KernelError (retryable): the caller starts anew.
        """
        self._sequence += 1
        sequence = self._sequence
        frame = _HEADER.pack(16 + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body
        self._socket.send(frame)
        interrupted = False
        while True:
            for got, flags, number, start, end in self._receive():
                if number != sequence:
                    continue
                interrupted |= bool(flags & NLM_F_DUMP_INTR)
                if got == NLMSG_DONE:
                    if interrupted:
                        raise KernelError("the kernel's tables changed during a dump", errno.EINTR, retryable=True)
                    return
                if got == NLMSG_ERROR:
                    code = -_ERROR.unpack_from(self._view, start)[0]
                    raise KernelError(f"dump {kind}: {os.strerror(code)}", code, retryable=code == errno.EBUSY)
                yield self._view, start, end

    def _receive(self) -> Iterator[tuple[int, int, int, int, int]]:
        try:
            size = self._socket.recv_into(self._buffer)
        except TimeoutError as error:
            raise KernelError("the kernel did not answer on netlink", errno.ETIMEDOUT, retryable=True) from error
        except OSError as error:
            raise KernelError(f"netlink: {error.strerror}", error.errno or 0, retryable=True) from error
        offset = 0
        while offset + 16 <= size:
            length, kind, flags, sequence, _ = _HEADER.unpack_from(self._view, offset)
            yield kind, flags, sequence, offset + 16, offset + length
            offset += (length + 3) & ~3


def _open(protocol: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
        sock.setsockopt(SOL_NETLINK, option, 1)
    enlarge_receive_buffer(sock, _RECEIVE_BUFFER_BYTES)
    sock.settimeout(TIMEOUT_SECONDS)
    sock.bind((0, 0))
    return sock


def enlarge_receive_buffer(sock: socket.socket, size: int) -> None:
    """Ask for a receive buffer of `size` bytes, beyond rmem_max where privileges allow."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
