"""The customer's end of a measurement: a bounded, paced burst past the shaper, out of one virtual interface's link.

It speaks Ethernet itself (packet(7)): what it sends passes no queue of ours, and the answers are heard although the
guard lets none of them reach the router.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from pyroute2.protocols import ETH_P_IP

from dcedge.errors import MeasureError
from dcedge.kernel.queue.shaping import frame_bytes
from dcedge.measure.protocol import BITS_A_CHUNK, Message, MessageType, decode, encode, question, read_chunk

_UDP = 17
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20
_IP_BYTES, _UDP_BYTES = 20, 8
_ANSWER_SECONDS, _ATTEMPTS = 1.0, 3
_SETTLING_SECONDS = 0.3  # the last packets are on their way
# What is said besides: greetings and the questions after what came, each as often as it is tried.
_TALK_BYTES, _TALK_BYTES_A_PACKET = 4096, 1
SEND_FACTOR = 2.0  # how many times the ordered rate is sent


@dataclass(frozen=True, slots=True)
class BurstPath:
    """How packets leave: link, addresses, the cloud's hardware address is asked of the kernel."""

    link: str
    customer: IPv4Address
    gateway: IPv4Address
    target: IPv4Address
    port: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What a burst was, and what came of it. Times in seconds; `size` in frame bytes."""

    at: tuple[float, ...]
    came: frozenset[int]
    size: int

    @property
    def rate_bps(self) -> float:
        """How fast it was."""
        span = self.at[-1] - self.at[0]
        return len(self.at) * self.size * 8 / span if span else 0.0


def packets_within(volume_bytes: int, mtu: int) -> int:
    """How many full frames a volume has room for."""
    return max(0, volume_bytes - _TALK_BYTES) // (frame_bytes(mtu) + _TALK_BYTES_A_PACKET)


def send_burst(way: BurstPath, token: bytes, ordered_bps: int, mtu: int, volume_bytes: int) -> Sent:
    """Send full frames at twice the ordered rate, as many as the volume has; what came of them. Raises MeasureError."""
    count = packets_within(volume_bytes, mtu)
    size = frame_bytes(mtu)
    with _PacketSocket(way) as wire:
        if wire.ask(token, MessageType.HELLO, count, MessageType.WELCOME) is None:
            raise MeasureError(
                f"{way.target}:{way.port} does not answer: is `dcedge measure --answer` running there, with this token?"
            )
        rest = bytes(mtu - _IP_BYTES - _UDP_BYTES - len(encode(token, MessageType.DATA, 0)))
        frames = [wire.frame(encode(token, MessageType.DATA, number, rest)) for number in range(count)]
        at = wire.send_paced(frames, size * 8 / (ordered_bps * SEND_FACTOR))
        time.sleep(_SETTLING_SECONDS)
        came: set[int] = set()
        for number in range(-(-count // BITS_A_CHUNK)):
            message = wire.ask(token, MessageType.ASK, number, MessageType.CHUNK)
            if message is None:
                raise MeasureError(f"{way.target} did not report what it received")
            lost, part = read_chunk(number, message.rest)
            if lost:
                raise MeasureError(f"{way.target} dropped {lost} packets itself: measure with a smaller volume")
            came |= part
    return Sent(tuple(at), frozenset(came), size)


class _PacketSocket:
    """A packet socket on the link, and a UDP socket that keeps the port."""

    def __init__(self, way: BurstPath) -> None:
        self._way = way
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _PacketSocket:
        way = self._way
        try:
            self._raw = self._stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
            self._raw.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
            self._raw.bind((way.link, ETH_P_IP))
            # Without a socket on it the kernel would call the port unreachable.
            self._own = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            self._own.bind(("", 0))
        except OSError as error:
            self._stack.close()
            raise MeasureError(f"cannot send on {way.link}: {error.strerror}") from error
        self._own_port: int = self._own.getsockname()[1]
        own_address: bytes = self._raw.getsockname()[4]
        self._head = _hardware_address(way) + own_address + struct.pack("!H", ETH_P_IP)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def frame(self, payload: bytes) -> bytes:
        """A payload as a frame to the target."""
        way = self._way
        length = _IP_BYTES + _UDP_BYTES + len(payload)
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, length, 0, 0x4000, 64, _UDP, 0, way.customer.packed, way.target.packed
        )
        header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
        # A UDP checksum of zero is none (RFC 768).
        return self._head + header + struct.pack("!HHHH", self._own_port, way.port, length - _IP_BYTES, 0) + payload

    def ask(self, token: bytes, kind: MessageType, number: int, expected: MessageType) -> Message | None:
        """Send a message until its answer comes; None where none does."""
        for _ in range(_ATTEMPTS):
            self._raw.send(self.frame(question(token, kind, number)))
            deadline = time.monotonic() + _ANSWER_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                self._raw.settimeout(left)
                try:
                    message = self._payload(self._raw.recv(65535))
                except TimeoutError:
                    break
                if message is not None and (message.token, message.type, message.number) == (token, expected, number):
                    return message
        return None

    def _payload(self, frame: bytes) -> Message | None:
        packet = frame[14:]
        if len(packet) < _IP_BYTES + _UDP_BYTES or packet[9] != _UDP or packet[12:16] != self._way.target.packed:
            return None
        at = (packet[0] & 15) * 4
        if int.from_bytes(packet[at + 2 : at + 4]) != self._own_port:
            return None
        return decode(packet[at + _UDP_BYTES :])

    def send_paced(self, frames: list[bytes], gap: float) -> list[float]:
        """Send frames with `gap` seconds from one to the next; when each left."""
        times = []
        start = time.monotonic()
        send, clock = self._raw.send, time.monotonic
        self._raw.settimeout(None)
        for number, frame in enumerate(frames):
            due = start + number * gap
            while (now := clock()) < due:
                pass
            send(frame)
            times.append(now)
        return times


def _hardware_address(way: BurstPath) -> bytes:
    """The gateway's, from the kernel's table (proc(5), /proc/net/arp)."""
    for line in Path("/proc/thread-self/net/arp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[0] == str(way.gateway) and fields[5] == way.link and fields[3] != "00:00:00:00:00:00":
            return bytes.fromhex(fields[3].replace(":", ""))
    raise MeasureError(f"{way.gateway} does not answer ARP on {way.link}")


def _checksum(header: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
