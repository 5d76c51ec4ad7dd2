"""UDP in super-packets at a rate, as a busy application sends it: `python -m tests.bench.datagrams`, see below.

Arguments: TO PORT BYTES BPS [COUNT].

Datagrams of BYTES of payload, which the kernel cuts from one write (UDP_SEGMENT, udp(7)), until SIGTERM. BPS counts
payload; COUNT is how many are in a write, as many as go where it is not given.
"""

from __future__ import annotations

import socket
import sys
import time

UDP_SEGMENT = 103  # linux/udp.h
WRITE_BYTES_MAX = 65_000
SEGMENTS_MAX = 64  # UDP_MAX_SEGMENTS, linux/udp.h


def send(to: str, port: int, size: int, bps: float, count: int = SEGMENTS_MAX) -> None:
    """Send for ever."""
    data = bytes(size * min(count, SEGMENTS_MAX, WRITE_BYTES_MAX // size))
    with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
        due = time.monotonic()
        while True:
            sock.sendto(data, (to, port))
            due += len(data) * 8 / bps
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    send(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), *map(int, sys.argv[5:]))
