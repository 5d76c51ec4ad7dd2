"""`dcedge measure`: from words to a burst, and what it showed in words again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from dcedge.errors import MeasureError, UnitError
from dcedge.kernel.naming import interface_link
from dcedge.kernel.port.hardware import ports_of
from dcedge.kernel.port.names import port_names
from dcedge.kernel.queue.shaping import frame_bytes
from dcedge.measure.answer import answer
from dcedge.measure.burst import SEND_FACTOR, BurstPath, Sent, packets_within, send_burst
from dcedge.measure.policer import Policer, advice, find_policer
from dcedge.measure.protocol import PACKETS_MAX, PORT, TOKEN_BYTES
from dcedge.netlink.socket import RouteSocket
from dcedge.order.load import load_order
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.units import format_rate, parse_rate

_PACKETS_MIN = 200


def place_of(text: str) -> tuple[str, int]:
    """ADDRESS[:PORT], IPv4. Raises MeasureError."""
    address, _, port = text.partition(":")
    try:
        return str(IPv4Address(address)), int(port) if port else PORT
    except ValueError as error:
        raise MeasureError(f"{text!r} is not an IPv4 address, with a port or without") from error


def answer_measurements(address: str, port: int, seconds: float, say: Callable[[str], None]) -> int:
    """Be the answering side; how many measurements were answered."""
    return answer(address, port, seconds, lambda token: say(f"the token is {token}"))


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is going to be sent."""

    interface: ResolvedInterface
    ordered_bps: int
    way: BurstPath
    token: bytes
    volume_bytes: int

    @classmethod
    def planned(cls, order: Path, name: str, to: str, token: str, volume: str) -> Measurement:
        """From the command line. Raises MeasureError and what reading the order raises."""
        loaded = load_order(order).order
        if name not in loaded.virtual_interfaces:
            raise MeasureError(f"there is no virtual interface {name!r}")
        with closing(RouteSocket()) as sock:
            interface = resolve_interface(loaded, name, port_names(sock, ports_of(loaded)))
        pair = next((pair for pair in interface.addresses if pair.customer.version == 4), None)
        if pair is None:
            raise MeasureError(f"{name} needs an IPv4 address to be measured")
        address, port = place_of(to)
        try:
            said, size = bytes.fromhex(token), parse_rate(volume)
        except (ValueError, UnitError) as error:
            raise MeasureError(f"invalid token or volume: {error}") from error
        if len(said) != TOKEN_BYTES:
            raise MeasureError("the token is what `dcedge measure --answer` prints at the cloud's end")
        if packets_within(size, interface.mtu) < _PACKETS_MIN:
            raise MeasureError(f"{volume} is too little: at least {_PACKETS_MIN * frame_bytes(interface.mtu)} bytes")
        if packets_within(size, interface.mtu) > PACKETS_MAX:
            most = PACKETS_MAX * frame_bytes(interface.mtu)
            raise MeasureError(f"{volume} is too much: at most {most} bytes of {PACKETS_MAX} frames are answered")
        customer, gateway = pair.customer.ip, pair.cloud
        assert isinstance(customer, IPv4Address)
        assert isinstance(gateway, IPv4Address)
        way = BurstPath(interface_link(interface), customer, gateway, IPv4Address(address), port)
        return cls(interface, interface.shaped_bps, way, said, size)

    def describe(self) -> str:
        """What it would do, in words."""
        seconds = self.volume_bytes * 8 / (self.ordered_bps * SEND_FACTOR)
        return (
            f"this would send at most {self.volume_bytes} bytes to {self.way.target}, past the shaper of"
            f" {self.interface.name}, at {format_rate(round(self.ordered_bps * SEND_FACTOR))} for {seconds:.2f} s"
        )

    def run(self) -> MeasureResult:
        """Send it. Raises MeasureError."""
        sent = send_burst(self.way, self.token, self.ordered_bps, self.interface.mtu, self.volume_bytes)
        size = sent.size + max(0, self.interface.overhead)
        return MeasureResult(self, sent, find_policer(sent.at, sent.came, size))


@dataclass(frozen=True, slots=True)
class MeasureResult:
    """What a measurement showed."""

    measured: Measurement
    sent: Sent
    policer: Policer | None

    def lines(self) -> list[str]:
        """In words."""
        measured, sent = self.measured, self.sent
        lost = len(sent.at) - len(sent.came)
        lines = [
            f"sent {len(sent.at)} frames of {sent.size} bytes at {format_rate(round(sent.rate_bps))},"
            f" {lost} were dropped"
        ]
        if self.policer is None:
            lines.append(
                f"no policer found up to {format_rate(round(sent.rate_bps))} and {len(sent.at) * sent.size} bytes:"
                " there is none, or its burst is larger than the volume"
            )
            return lines
        burst_ms = self.policer.burst_bytes * 8 / self.policer.rate_bps * 1000
        lines += [
            f"ordered {format_rate(measured.ordered_bps)}",
            f"policer {self.policer.rate_bps / 1e6:.3f} Mbit/s, burst {self.policer.burst_bytes:.0f} bytes"
            f" ({burst_ms:.1f} ms)",
            *advice(self.policer, measured.ordered_bps, measured.interface.mtu, measured.interface.overhead),
        ]
        return lines

    def document(self) -> dict[str, object]:
        """For programs."""
        return {
            "virtual_interface": self.measured.interface.name,
            "ordered_bps": self.measured.ordered_bps,
            "sent_frames": len(self.sent.at),
            "sent_bytes": len(self.sent.at) * self.sent.size,
            "sent_bps": self.sent.rate_bps,
            "received_frames": len(self.sent.came),
            "policer": None
            if self.policer is None
            else {"rate_bps": self.policer.rate_bps, "burst_bytes": self.policer.burst_bytes},
        }
