"""Traffic through virtual interfaces, and what arrived of it, judged at the far end of the wire.

A rate counts Ethernet frame bytes as HTB counts them: the 14 bytes of header and what follows, no tag, no
FCS. It comes from the receive counters of the trunk's cloud end, which count whole frames, tags included (the
fibre has super-packets off, see `netns.Fibre`), so four bytes a tag come off each frame.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tests.lab.netns import AHEAD, Namespace, Port, end, received
from tests.lab.wait import until

if TYPE_CHECKING:
    from scapy.layers.l2 import Ether

TAG_BYTES = 4  # IEEE 802.1Q-2018, 9.4
WARM_UP_SECONDS = 0.7  # the shaper's burst and TCP's slow start are over by then
STREAM = Path(__file__).with_name("stream.py")


class TrafficError(AssertionError):
    """What was to be sent broke off."""


@dataclass(frozen=True)
class Rate:
    """What arrived at a port in a span of time; bytes are frame bytes without tags."""

    bytes: int
    packets: int
    seconds: float

    @property
    def bps(self) -> float:
        """Bits a second."""
        return self.bytes * 8 / self.seconds


def rate_during(port: Port, seconds: float, tags: int) -> Rate:
    """What arrives at `port` over `seconds`, each frame carrying so many tags."""
    start, before = time.monotonic(), received(port)
    time.sleep(seconds)  # the span that is measured
    now = received(port)
    elapsed = time.monotonic() - start
    packets = now.packets - before.packets
    return Rate(now.bytes - before.bytes - packets * tags * TAG_BYTES, packets, elapsed)


def saturate(
    client: Namespace,
    servers: Sequence[str],
    trunk: Port,
    tags: int,
    *,
    seconds: float = 3.0,
    flows: int = 4,
) -> Rate:
    """Send all that TCP can to each of the servers' addresses at once; what arrives at the trunk's cloud end.

    `flows` TCP connections go to each address, where iperf3 must listen; they run in the client's namespace.
    """
    with saturated(client, servers, trunk, seconds=seconds, flows=flows):
        return rate_during(trunk, seconds, tags)


@contextlib.contextmanager
def saturated(
    client: Namespace, servers: Sequence[str], trunk: Port, *, seconds: float, flows: int = 4
) -> Iterator[None]:
    """The same while the body runs, which takes about so many seconds; it begins when all is at full speed."""
    before = received(trunk)

    def start(address: str) -> subprocess.Popen[bytes]:
        return client.popen(
            *(*AHEAD, "iperf3", "--client", address, "--parallel", str(flows)),
            *("--time", str(round(seconds + WARM_UP_SECONDS) + 60), "--connect-timeout", "5000"),
        )

    senders = {address: start(address) for address in servers}

    def flowing() -> int:
        # A server still has the client before for a moment, and sends another one away.
        senders.update({address: start(address) for address, sender in senders.items() if sender.poll() is not None})
        return received(trunk).bytes - before.bytes

    try:
        until("traffic to flow", flowing, accept=lambda count: count > 200_000 * len(servers))
        time.sleep(WARM_UP_SECONDS)
        yield
        for address, sender in senders.items():
            if sender.poll() is not None:
                raise TrafficError(f"iperf3 towards {address} ended with status {sender.returncode}")
    finally:
        for sender in senders.values():
            end(sender)


@dataclass(frozen=True)
class Ping:
    """What ping reports; times in seconds, None where nothing came back."""

    sent: int
    received: int
    minimum: float | None
    average: float | None
    maximum: float | None


def ping(
    source: Namespace, address: str, *, count: int = 5, interval: float = 0.1, options: Sequence[str] = ()
) -> Ping:
    """Send echo requests and report; a lost one is waited for a second."""
    said = source.run(
        *("ping", "-n", "-q", "-c", str(count), "-i", str(interval), "-W", "1", *options, address),
        check=False,
    )
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", said.stdout)
    if counts is None:
        return Ping(0, 0, None, None, None)  # ping could not even send: no route
    times = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/", said.stdout)
    figures = [float(text) / 1000 for text in times.groups()] if times else [None, None, None]
    return Ping(int(counts[1]), int(counts[2]), *figures)


def reaches(source: Namespace, address: str) -> bool:
    """Whether one echo request to `address` is answered within a second."""
    return ping(source, address, count=1).received == 1


@dataclass
class Stream:
    """How a UDP stream with sequence numbers fared; complete once its context is left."""

    sent: int = 0
    received: int = 0
    lost: int = 0
    reordered: int = 0  # arrived after one with a higher number (RFC 4737's definition)
    duplicated: int = 0
    longest_silence: float = 0.0  # seconds between two arrivals
    missing: list[tuple[int, int]] = field(default_factory=list)  # first and last number of each hole


@contextlib.contextmanager
def udp_stream(
    source: Namespace,
    sink: Namespace,
    address: str,
    *,
    packets_per_second: int = 1000,
    size: int = 100,
    port: int = 5301,
) -> Iterator[Stream]:
    """Keep a steady UDP stream of `size`-byte payloads flowing to an address of `sink` while the body runs.

    The body begins when the first packet has arrived. The counts are in the yielded value afterwards.
    """
    sink_side = _stream(sink, "receive", address, str(port))
    source_side: subprocess.Popen[str] | None = None
    try:
        _expect(sink_side, "ready")
        source_side = _stream(source, "send", address, str(port), str(packets_per_second), str(size))
        _expect(sink_side, "first")
        stream = Stream()
        yield stream
        sent = json.loads(_finish(source_side))["sent"]
        result = json.loads(_finish(sink_side, str(sent)))
        stream.sent = sent
        stream.received = result["received"]
        stream.lost = sent - result["received"]
        stream.reordered = result["reordered"]
        stream.duplicated = result["duplicated"]
        stream.longest_silence = result["longest_silence"]
        stream.missing = [(first, last) for first, last in result["missing"]]
    finally:
        for process in (source_side, sink_side):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def _stream(namespace: Namespace, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        namespace.command(sys.executable, "-I", "-S", str(STREAM), *words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _expect(process: subprocess.Popen[str], word: str, seconds: float = 60.0) -> None:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], seconds)[0]:
        raise AssertionError(f"no {word!r} from the UDP stream's receiver within {seconds:g} s")
    said = process.stdout.readline().strip()
    if said != word:
        raise AssertionError(f"the UDP stream's receiver said {said!r} instead of {word!r}")


def _finish(process: subprocess.Popen[str], text: str = "") -> str:
    said, _ = process.communicate(text + "\n", timeout=30)
    if process.returncode:
        raise AssertionError(f"the UDP stream's process ended with status {process.returncode}: {said}")
    return said


class Capture:
    """What passes a port while the context is open, both directions, tags included, as scapy frames."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._frames: list[Ether] = []
        self._stopping = threading.Event()

    def __enter__(self) -> Capture:
        import scapy.layers.inet6  # noqa: F401  with it scapy knows Ethernet, IPv4 and IPv6
        from scapy.arch.linux import L2ListenSocket

        # scapy's socket puts back the tag that the kernel hands over beside the frame (PACKET_AUXDATA).
        self._socket = self._port.namespace.call(L2ListenSocket, iface=self._port.name, promisc=True)
        self._thread = threading.Thread(target=self._read, name=f"capture {self._port.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._stopping.is_set():
            self._take(0.05)
        while self._take(0):  # what arrived before the end
            pass

    def _take(self, patience: float) -> bool:
        """Take a frame in, if one comes within so many seconds; whether one did."""
        if not select.select([self._socket], [], [], patience)[0]:
            return False
        frame = self._socket.recv()
        if frame is not None:
            self._frames.append(cast("Ether", frame))
        return True

    @property
    def frames(self) -> list[Ether]:
        """The frames so far."""
        return list(self._frames)

    def vlans(self, matching: Callable[[Ether], bool]) -> set[tuple[int, ...]]:
        """The stacks of VLAN IDs, outermost first, on the frames that match; () is an untagged frame."""
        from scapy.layers.l2 import Dot1AD, Dot1Q

        found = set()
        for frame in filter(matching, self._frames):
            tags = []
            layer = frame.payload
            while isinstance(layer, Dot1Q | Dot1AD):
                tags.append(int(layer.vlan))
                layer = layer.payload
            found.add(tuple(tags))
        return found


def between(one: str, other: str) -> Callable[[Ether], bool]:
    """A match for `Capture.vlans`: IP packets between the two addresses, either way."""

    def matches(frame: Ether) -> bool:
        from scapy.layers.inet import IP
        from scapy.layers.inet6 import IPv6

        for layer in (IP, IPv6):
            if layer in frame:
                return {frame[layer].src, frame[layer].dst} == {one, other}
        return False

    return matches
