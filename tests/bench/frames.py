"""Ethernet frames sent as fast as one processor can: `python -m tests.bench.frames DEVICE TO_MAC FROM TO SIZES CPU`.

UDP in frames of SIZES bytes (with the FCS, which is not sent), by turns and in several flows, straight to the device:
no IP stack of the sender's, no queue, no super-packets (packet(7)). Until SIGTERM.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address

FCS_BYTES = 4
HEADERS_BYTES = 14 + 20 + 8
FLOWS = 64
BATCH = 12 * FLOWS
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20  # linux/if_packet.h


class _Part(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr (sendmmsg(2)): msghdr, and how much was sent."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("parts", ctypes.POINTER(_Part)),
        ("part_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


def frame(to_mac: str, source: IPv4Address, destination: IPv4Address, size: int, flow: int) -> bytes:
    """A UDP datagram in a frame of that size (with FCS); `flow` chooses its source port."""
    length = size - FCS_BYTES - 14
    ethernet = bytes.fromhex(to_mac.replace(":", "")) + bytes.fromhex("020000000f0f") + b"\x08\x00"
    words = (0x4500, length, 0, 0, 0x4000 | socket.IPPROTO_UDP)  # 64 hops
    header = struct.pack("!5HH4s4s", *words, 0, source.packed, destination.packed)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    header = header[:10] + struct.pack("!H", ~total & 0xFFFF) + header[12:]
    udp = struct.pack("!4H", 20_000 + flow, 9, length - 20, 0)  # RFC 768: 0 is no checksum
    return (ethernet + header + udp).ljust(size - FCS_BYTES, b"\0")


def send(device: str, frames: Sequence[bytes]) -> None:
    """Send them again and again."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0))
        sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        buffers = [ctypes.create_string_buffer(one, len(one)) for one in frames]
        messages = _messages(buffers)
        sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
        while True:
            # What a full queue drops on the way is no error of the sender's.
            sendmmsg(sock.fileno(), messages, len(frames), 0)


def _messages(buffers: Iterable[ctypes.Array[ctypes.c_char]]) -> ctypes.Array[_Message]:
    made = [_Message(parts=ctypes.pointer(_Part(ctypes.addressof(b), len(b))), part_count=1) for b in buffers]
    return (_Message * len(made))(*made)


def main(device: str, to_mac: str, source: str, destination: str, sizes: str, cpu: str) -> None:
    """Send for ever, on that processor alone."""
    os.sched_setaffinity(0, {int(cpu)})
    turns = [int(size) for size in sizes.split(",")]
    ends = IPv4Address(source), IPv4Address(destination)
    send(device, [frame(to_mac, *ends, turns[n % len(turns)], n % FLOWS) for n in range(BATCH)])


if __name__ == "__main__":
    main(*sys.argv[1:])
