"""The cloud's end of a measurement: takes the burst, and tells what came. It answers nobody without its token."""

from __future__ import annotations

import secrets
import select
import socket
import struct
from collections.abc import Callable

from dcedge.errors import MeasureError
from dcedge.measure.messages import TOKEN_BYTES, Kind, chunk, decode, encode

_SO_RCVBUFFORCE, _SO_MEMINFO, _MEMINFO_DROPS = 33, 55, 8
_BUFFER_BYTES = 256 << 20


def answer(address: str, port: int, seconds: float, say: Callable[[str], None]) -> int:
    """Answer measurements to this address until so many seconds have passed without a word; how many there were.

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
        came: set[int] = set()
        count = drops_before = 0
        while select.select([sock], [], [], seconds)[0]:
            payload, peer = sock.recvfrom(65535)
            message = decode(payload)
            if message is None or not secrets.compare_digest(message.token, token):
                continue
            match message.kind:
                case Kind.DATA:
                    came.add(message.number)
                case Kind.HELLO:
                    came.clear()
                    count, drops_before = count + 1, _drops(sock)
                    sock.sendto(encode(token, Kind.WELCOME, message.number), peer)
                case Kind.ASK:
                    rest = chunk(came, message.number, _drops(sock) - drops_before)
                    sock.sendto(encode(token, Kind.CHUNK, message.number, rest), peer)
        return count


def _drops(sock: socket.socket) -> int:
    """What the socket itself had no room for."""
    return int(struct.unpack_from("=I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36), 4 * _MEMINFO_DROPS)[0])
