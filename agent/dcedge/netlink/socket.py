"""Netlink at scale on pyroute2's socket: many messages a send, one acknowledgement for all, dumps without copies.

pyroute2's own requests take some 70 microseconds a message and do not look at NLM_F_DUMP_INTR; here that is done on the
bytes (RFC 3549, rtnetlink(7)). What the messages mean is in `templates` and `reader`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from pyroute2.netlink import (
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_ACK_TLVS,
    NLM_F_CAPPED,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOL_NETLINK,
    nlmsgerr,
)
from pyroute2.netlink.rtnl import RTM_VALUES
from pyroute2.netlink.rtnl.iprsocket import IPRSocket

from dcedge.errors import KernelError
from dcedge.netlink.descriptions import NETLINK_CAP_ACK, SO_RCVBUFFORCE
from dcedge.netlink.layout import HEADER, fields_struct
from dcedge.netlink.reader import Reader

_HEADER_BYTES = HEADER.size
ERROR = fields_struct(nlmsgerr, ("error",))
_ACKNOWLEDGEMENT = struct.Struct(HEADER.format + ERROR.format.lstrip("="))
_WORDS = Reader(nlmsgerr, "NLMSGERR_ATTR_MSG")
_BATCH = 64
_BATCH_SECONDS = 0.02  # what one should take at most
_RECEIVE_BYTES = 256 * 1024
_RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024
TIMEOUT_SECONDS = 30.0

T = TypeVar("T")


Buffer = bytes | bytearray


class Request(NamedTuple):
    """One message to the kernel: type, extra flags, body (fixed header and attributes)."""

    message_type: int
    flags: int
    body: Buffer


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
    """What carries datagrams in the place of a kernel's socket: `socket.socket`, as far as it is used here."""

    def send(self, data: bytes, flags: int = 0, /) -> int:
        """Send one datagram of requests."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """One datagram. Raises BlockingIOError where none waits, OSError with ENOBUFS where some were lost."""

    def recv_into(self, buffer: bytearray, /) -> int:
        """Receive one datagram; its length. Raises OSError; TimeoutError where none comes."""

    def fileno(self) -> int:
        """For an event loop."""

    def close(self) -> None:
        """Close it."""


def open_socket(
    protocol: int = NETLINK_ROUTE,
    *,
    groups: int = 0,
    buffer_bytes: int = _RECEIVE_BUFFER_BYTES,
    timeout_seconds: float = TIMEOUT_SECONDS,
    wire: Wire | None = None,
) -> Any:
    """pyroute2's IPRSocket for any netlink protocol, a member of these groups (as bits); 0 seconds: it does not block.

    With capped acknowledgements, the kernel's own words and strictly checked dumps (netlink(7)). Raises OSError.
    """
    sock = IPRSocket(ext_ack=True, strict_check=True, use_socket=wire)
    sock.spec["family"] = protocol  # the constructor takes NETLINK_ROUTE for granted, and opens nothing yet
    inner = sock.socket
    if wire is None:
        try:
            inner.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
            _enlarge_receive_buffer(inner, buffer_bytes)
            inner.settimeout(timeout_seconds)
            # IPRSocket.bind tries 180 port numbers whatever the kernel says, and raises KeyError then.
            inner.bind((0, groups))
        except BaseException:
            sock.close()
            raise
    return sock


def _enlarge_receive_buffer(sock: socket.socket, size: int) -> None:
    """Ask for a receive buffer of `size` bytes, beyond rmem_max where privileges allow."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


class RouteSocket:
    """A blocking route-netlink socket for requests and dumps, or one of another `protocol`; one thread at a time.

    It speaks over `wire` where one is given.
    """

    def __init__(self, protocol: int = NETLINK_ROUTE, *, wire: Wire | None = None) -> None:
        self._wire = wire
        self._socket = open_socket(protocol, wire=wire)
        self._receive_into = self._socket.socket.recv_into
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
        if self._wire is not None:
            self._wire.close()

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
            self._socket.send(b"".join(_frames(batch, first, acknowledged=True)))
            answers.extend(self._answers(first, len(batch)))
            taken = time.monotonic() - started
            fitting = int(len(batch) * _BATCH_SECONDS / taken) if taken else _BATCH
            size = max(1, min(_BATCH, 2 * len(batch), fitting))
        return answers

    def _answers(self, first: int, count: int) -> list[Answer]:
        """The answers to a batch: the kernel tells of each that it refuses, and answers the last in any case."""
        answers: list[Answer] = [OK] * count
        view, unpack, last = self._view, _ACKNOWLEDGEMENT.unpack_from, first + count - 1
        sequence = -1
        while sequence != last:
            size, at = self._receive(), 0
            while at + _ACKNOWLEDGEMENT.size <= size:
                length, message_type, flags, number, _, code = unpack(view, at)
                if message_type == NLMSG_ERROR and first <= number <= last:
                    sequence = number
                    if code:
                        answers[number - first] = Answer(-code, self._extended_text(flags, at, at + length))
                at += (length + 3) & ~3 or _HEADER_BYTES
        return answers

    def _extended_text(self, flags: int, start: int, end: int) -> str:
        if not flags & NLM_F_ACK_TLVS:
            return ""
        request = start + _ACKNOWLEDGEMENT.size
        copied = _HEADER_BYTES if flags & NLM_F_CAPPED else (HEADER.unpack_from(self._view, request)[0] + 3) & ~3
        # A copy of the request stands between the error number and the attributes, of which pyroute2 does not know.
        found = _WORDS.read(self._view, request + copied - ERROR.size, end)
        return str(found.get("NLMSGERR_ATTR_MSG", ""))

    def get(self, request: Request, decode: Callable[[memoryview, int, int], T]) -> T | None:
        """One object, decoded; None where there is none. Raises KernelError for any other refusal."""
        self._sequence += 1
        self._socket.send(b"".join(_frames([request], self._sequence)))
        while True:
            size, at = self._receive(), 0
            while at + _HEADER_BYTES <= size:
                length, got, _, number, _ = HEADER.unpack_from(self._view, at)
                start, end = at + _HEADER_BYTES, at + length
                at += (length + 3) & ~3 or _HEADER_BYTES
                if number != self._sequence:
                    continue
                if got != NLMSG_ERROR:
                    return decode(self._view, start, end)
                code = -ERROR.unpack_from(self._view, start)[0]
                if code in {errno.ENODEV, errno.ENOENT}:
                    return None
                raise KernelError(f"{_name(request)}: {os.strerror(code)}", code)

    def dump(self, request: Request) -> Iterator[tuple[memoryview, int, int]]:
        """Each message of a dump as (data, start, end) of its body; valid until the next one is asked for.

        A dump that the kernel marks as interrupted raises KernelError (retryable): the caller starts anew.
        """
        self._sequence += 1
        sequence = self._sequence
        self._socket.send(b"".join(_frames([request], sequence, NLM_F_DUMP)))
        interrupted, view, unpack = False, self._view, HEADER.unpack_from
        while True:
            size, at = self._receive(), 0
            while at + _HEADER_BYTES <= size:
                length, got, flags, number, _ = unpack(view, at)
                start, end = at + _HEADER_BYTES, at + length
                at += (length + 3) & ~3 or _HEADER_BYTES
                if number != sequence:
                    continue
                interrupted |= bool(flags & NLM_F_DUMP_INTR)
                if got == NLMSG_DONE:
                    if interrupted:
                        raise KernelError("the kernel's tables changed during a dump", errno.EINTR, retryable=True)
                    return
                if got == NLMSG_ERROR:
                    code = -ERROR.unpack_from(view, start)[0]
                    raise KernelError(f"{_name(request)}: {os.strerror(code)}", code, retryable=code == errno.EBUSY)
                yield view, start, end

    def _receive(self) -> int:
        """Have the next datagram in the buffer; its length."""
        try:
            return int(self._receive_into(self._buffer))
        except TimeoutError as error:
            raise KernelError("the kernel did not answer on netlink", errno.ETIMEDOUT, retryable=True) from error
        except OSError as error:
            raise KernelError(f"netlink: {error.strerror}", error.errno or 0, retryable=True) from error


def _name(request: Request) -> str:
    """As rtnetlink(7) calls the message."""
    return str(RTM_VALUES.get(request.message_type, f"netlink message {request.message_type}"))


def _frames(requests: Sequence[Request], first: int, flags: int = 0, *, acknowledged: bool = False) -> Iterator[Buffer]:
    """Requests with their netlink headers, numbered from `first` on; `acknowledged`: the last is answered in any case.

    The kernel tells of what it refuses whether asked or not (netlink(7)); one answer a batch spares a system call each.
    """
    pack, size, flags = HEADER.pack, _HEADER_BYTES, flags | NLM_F_REQUEST
    last = first + len(requests) - 1 if acknowledged else -1
    for number, (message_type, extra, body) in enumerate(requests, first):
        asked = flags | extra | (NLM_F_ACK if number == last else 0)
        yield pack(size + len(body), message_type, asked, number, 0)
        yield body
        if padding := -len(body) & 3:
            yield bytes(padding)


def frame(request: Request) -> bytes:
    """One request with its netlink header, for a socket that is used for nothing else."""
    return b"".join(_frames([request], 1))
