"""The two ends of a UDP stream with sequence numbers, each its own process; `traffic.udp_stream` runs them.

    stream.py send ADDRESS PORT PACKETS_PER_SECOND SIZE     until a line comes on standard input
    stream.py receive ADDRESS PORT                          until the number sent comes on standard input

Both print one line of JSON at the end. The receiver says `ready` when it listens, `first` at the first
packet.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import sys
import time

NUMBER = struct.Struct("!Q")
BURST = 20  # packets sent at once at most; what a stalled processor kept from being sent then comes later instead
LAGGARD_SECONDS = 1.0  # how long the last packets may take after the sender has stopped
BUFFER_BYTES = 8 << 20


def main(words: list[str]) -> int:
    """Run one end; returns the exit status."""
    role, address, port, *rest = words
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as end:
        # Past net.core.rmem_max, as root: what is lost must be lost on the way and not here.
        force = 33 if role == "receive" else 32  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
        end.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
        if role == "receive":
            end.bind((address, int(port)))
            print("ready", flush=True)
            print(json.dumps(receive(end)), flush=True)
        else:
            end.connect((address, int(port)))
            rate, size = int(rest[0]), int(rest[1])
            print(json.dumps({"sent": send(end, rate, size)}), flush=True)
    return 0


def send(end: socket.socket, rate: int, size: int) -> int:
    """Send `rate` packets a second, without a burst that a queue may drop, until a line arrives on standard input.

    Returns how many.
    """
    padding = bytes(max(0, size - NUMBER.size))
    began = time.monotonic()
    sent = 0
    while not select.select([sys.stdin], [], [], 1 / rate)[0]:
        due = int((time.monotonic() - began) * rate)
        if due - sent > BURST:
            began += (due - sent - BURST) / rate
            due = sent + BURST
        while sent < due:
            # Without a route just now, or refused, the packet counts as lost.
            with contextlib.suppress(OSError):
                end.send(NUMBER.pack(sent) + padding)
            sent += 1
    return sent


def receive(end: socket.socket) -> dict[str, object]:
    """Take packets until the sender's count is on standard input and no more come; returns the tallies."""
    seen: set[int] = set()
    highest = -1
    reordered = duplicated = 0
    longest = 0.0
    last: float | None = None
    expected: int | None = None
    while True:
        sources = [end] if expected is not None else [end, sys.stdin]
        ready = select.select(sources, [], [], LAGGARD_SECONDS if expected is not None else None)[0]
        if end in ready:
            number = NUMBER.unpack_from(end.recv(65535))[0]
            now = time.monotonic()
            if last is None:
                print("first", flush=True)
            else:
                longest = max(longest, now - last)
            last = now
            duplicated += number in seen
            reordered += number < highest and number not in seen
            seen.add(number)
            highest = max(highest, number)
        elif sys.stdin in ready:
            expected = int(sys.stdin.readline() or 0)
        if expected is not None and (not ready or len(seen) >= expected):
            break
    return {
        "received": len(seen),
        "reordered": reordered,
        "duplicated": duplicated,
        "longest_silence": longest,
        "missing": holes(seen, expected),
    }


def holes(seen: set[int], expected: int) -> list[tuple[int, int]]:
    """The runs of numbers below `expected` that were never seen, as first and last."""
    found: list[tuple[int, int]] = []
    for number in range(expected):
        if number in seen:
            continue
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
