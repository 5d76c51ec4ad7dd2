"""A BGP speaker that no router would be: it says in OPEN and in NOTIFICATION whatever bytes it is given.

One session, IPv4 unicast, no routes. RFC 4271 for the messages, RFC 9003 for what a shutdown says.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address

MARKER = b"\xff" * 16
OPEN, NOTIFICATION, KEEPALIVE = 1, 3, 4
HOSTNAME = 73  # draft-walton-bgp-hostname-capability
TIMEOUT_SECONDS = 30.0


def listen(address: str) -> socket.socket:
    """The socket on which it waits for its peer."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, 179))
    listener.listen()
    listener.settimeout(TIMEOUT_SECONDS)
    return listener


def establish(listener: socket.socket, asn: int, hostname: bytes) -> socket.socket:
    """Bring the session up, under that host name."""
    peer, _ = listener.accept()
    peer.settimeout(TIMEOUT_SECONDS)
    capabilities = _capability(1, struct.pack("!HBB", 1, 0, 1)) + _capability(65, struct.pack("!I", asn))
    capabilities += _capability(HOSTNAME, bytes([len(hostname)]) + hostname + bytes([len(hostname)]) + hostname)
    parameters = bytes([2, len(capabilities)]) + capabilities
    header = struct.pack("!BHH4sB", 4, min(asn, 23456), 90, IPv4Address("10.66.66.66").packed, len(parameters))
    peer.sendall(_message(OPEN, header + parameters))
    while _receive(peer) != OPEN:
        pass
    peer.sendall(_message(KEEPALIVE, b""))
    while _receive(peer) != KEEPALIVE:
        pass
    return peer


def shut_down(peer: socket.socket, text: bytes) -> None:
    """End the session administratively, saying why."""
    peer.sendall(_message(NOTIFICATION, bytes([6, 2, len(text)]) + text))
    peer.close()


def _capability(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value


def _message(kind: int, body: bytes) -> bytes:
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


def _receive(peer: socket.socket) -> int:
    length, kind = struct.unpack("!16xHB", _exactly(peer, 19))
    _exactly(peer, length - 19)
    return int(kind)


def _exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = peer.recv(size - len(data))
        if not piece:
            raise ConnectionResetError("the peer closed the session")
        data += piece
    return data
