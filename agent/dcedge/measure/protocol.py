"""What the two ends of a measurement say to each other, in UDP payloads. Pure."""

from __future__ import annotations

import struct
from collections.abc import Collection
from enum import IntEnum
from typing import NamedTuple

from dcedge.errors import MeasureError

MAGIC = b"dceM"
PORT = 8472 + 1000  # free for this; the answering side may choose another
TOKEN_BYTES = 8
BITS_A_CHUNK = 4096  # so that an answer, and so its question, goes through any path of 576 bytes
PACKETS_MAX = 1_000_000  # of one measurement
_HEAD = struct.Struct("!4s8sBI")  # magic, token, message type, number
_LOST = struct.Struct("!I")
_CHUNK_BYTES = _LOST.size + BITS_A_CHUNK // 8
QUESTION_BYTES = _HEAD.size + _CHUNK_BYTES


class MessageType(IntEnum):
    """What a message is."""

    HELLO = 1  # number: how many packets are going to come
    DATA = 2  # number: which of them this is
    ASK = 3  # number: of which chunk of the record; then as many bytes as the answer has
    WELCOME = 4
    CHUNK = 5  # number: which; then the receiver's own losses and the bits


class Message(NamedTuple):
    """One message, its rest not looked into."""

    token: bytes
    type: MessageType
    number: int
    rest: bytes


def encode(token: bytes, message_type: MessageType, number: int, rest: bytes = b"") -> bytes:
    """A message as a payload."""
    return _HEAD.pack(MAGIC, token, message_type, number) + rest


def question(token: bytes, message_type: MessageType, number: int) -> bytes:
    """A HELLO or an ASK, no shorter than its answer: nobody is told more than he said."""
    return encode(token, message_type, number, bytes(_CHUNK_BYTES) if message_type is MessageType.ASK else b"")


def decode(payload: bytes) -> Message | None:
    """A payload as a message; None where it is none."""
    if len(payload) < _HEAD.size:
        return None
    magic, token, message_type, number = _HEAD.unpack_from(payload)
    if magic != MAGIC or message_type not in set(MessageType):
        return None
    return Message(token, MessageType(message_type), number, payload[_HEAD.size :])


def chunk(came: Collection[int], number: int, lost_here: int) -> bytes:
    """Part of the record of what came, as a chunk's rest."""
    first = number * BITS_A_CHUNK
    bits = 0
    for offset in range(BITS_A_CHUNK):
        bits |= (first + offset in came) << offset
    return _LOST.pack(lost_here) + bits.to_bytes(BITS_A_CHUNK // 8, "little")


def read_chunk(number: int, rest: bytes) -> tuple[int, set[int]]:
    """The receiver's own losses, and the numbers that came. Raises MeasureError."""
    if len(rest) != _CHUNK_BYTES:
        raise MeasureError("the answer cannot be read: is the same dcedge running at both ends?")
    bits = int.from_bytes(rest[4:], "little")
    first = number * BITS_A_CHUNK
    return _LOST.unpack_from(rest)[0], {first + n for n in range(BITS_A_CHUNK) if bits >> n & 1}
