"""The cloud's end of a measurement: takes the burst, and tells what came.

It heeds nobody without its token, and no answer is longer than its question: whoever sends with another's address makes
it send no more to that one than to itself. What one measurement and one start may come to is bounded.
"""

from __future__ import annotations

import secrets
import select
import socket
import struct
import time
from collections.abc import Callable

from dcedge.errors import MeasureError
from dcedge.measure.protocol import BITS_A_CHUNK, PACKETS_MAX, TOKEN_BYTES, Message, MessageType, chunk, decode, encode

MEASUREMENTS_MAX = 100  # of one start
_ANSWERS_A_CHUNK = 16  # a lost answer is asked for again
_SO_RCVBUFFORCE, _SO_MEMINFO, _MEMINFO_DROPS = 33, 55, 8
_BUFFER_BYTES = 256 << 20


class Answerer:
    """What the answering side knows. `drops`: how many packets it had no room for, since its start."""

    def __init__(self, token: bytes, drops: Callable[[], int]) -> None:
        self.measurements = 0
        self._token = token
        self._drops = drops
        self._drops_before = 0
        self._expected = 0  # packets of the measurement under way
        self._came: set[int] = set()
        self._answers: dict[int, int] = {}  # given, by chunk

    @property
    def exhausted(self) -> bool:
        """Whether it was asked for more measurements than it will answer."""
        return self.measurements > MEASUREMENTS_MAX

    def heard(self, payload: bytes) -> bytes | None:
        """The answer to a payload, empty where there is none to give; None where the payload has not the token."""
        message = decode(payload)
        if message is None or not secrets.compare_digest(message.token, self._token):
            return None
        answer = self._answer(message)
        return answer if len(answer) <= len(payload) else b""

    def _answer(self, message: Message) -> bytes:
        number = message.number
        match message.type:
            case MessageType.DATA if number < self._expected:
                self._came.add(number)
            case MessageType.HELLO if 0 < number <= PACKETS_MAX:
                self._begin(number)
                return b"" if self.exhausted else encode(self._token, MessageType.WELCOME, number)
            case MessageType.ASK if number * BITS_A_CHUNK < self._expected:
                self._answers[number] = self._answers.get(number, 0) + 1
                if self._answers[number] <= _ANSWERS_A_CHUNK:
                    rest = chunk(self._came, number, self._drops() - self._drops_before)
                    return encode(self._token, MessageType.CHUNK, number, rest)
        return b""

    def _begin(self, expected: int) -> None:
        if expected == self._expected and not self._came and not self._answers:
            return  # said again, since the answer was lost
        self.measurements += 1
        self._expected, self._drops_before = expected, self._drops()
        self._came.clear()
        self._answers.clear()


def answer(address: str, port: int, seconds: float, say: Callable[[str], None]) -> int:
    """Answer measurements to this address until so many seconds have passed without a word of one; how many there were.

    `say` gets the token, which whoever measures has to know. Raises MeasureError where the address cannot be had.
    """
    token = secrets.token_bytes(TOKEN_BYTES)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, port))
        except OSError as error:
            raise MeasureError(f"cannot listen on {address}:{port}: {error.strerror}") from error
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        say(token.hex())
        answerer = Answerer(token, lambda: _drops(sock))
        deadline = time.monotonic() + seconds
        while not answerer.exhausted and (left := deadline - time.monotonic()) > 0:
            if not select.select([sock], [], [], left)[0]:
                break
            payload, peer = sock.recvfrom(65535)
            said = answerer.heard(payload)
            if said is None:
                continue  # noise keeps nobody here
            deadline = time.monotonic() + seconds
            if said:
                sock.sendto(said, peer)
        return min(answerer.measurements, MEASUREMENTS_MAX)


def _drops(sock: socket.socket) -> int:
    """What the socket itself had no room for."""
    return int(struct.unpack_from("=I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36), 4 * _MEMINFO_DROPS)[0])
