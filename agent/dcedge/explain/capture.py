"""What arrives on a port for some seconds: whose frames, with which tags, and how the peers' TCP and BGP come.

Only ARP, ICMP and TCP 179 are looked at: the kernel sorts out the rest, so that a busy port does not drown it. The port
hears everything while it lasts (PACKET_ADD_MEMBERSHIP, packet(7)), since a network card may filter VLANs that nobody
ordered. Scapy takes the frames apart; it is imported here alone, and this only when a capture is made.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from scapy.arch import get_if_hwaddr
from scapy.arch.linux import L2ListenSocket
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet

from dcedge.credentials import Secret
from dcedge.explain.evidence import Capture, OpenLook, SynAnswer, TaggedSender
from dcedge.explain.looks import BGP_PORT, tcp_md5
from dcedge.health.verdict import DigestFault
from dcedge.order.kinds import Address, Seconds

_SO_ATTACH_FILTER = 26
_FRAMES_MAX = 20_000
_STRANGERS_MAX = 8


@dataclass(frozen=True, slots=True)
class Watched:
    """A peer whose TCP and pings are looked at; `secret` is the ordered password."""

    customer: Address
    cloud: Address
    secret: Secret | None


@dataclass(slots=True)
class TcpHeard:
    """What was heard of a peer's TCP."""

    syns: int = 0
    digest: DigestFault | None = None
    answers: dict[int, SynAnswer] = field(default_factory=dict)  # to our own SYNs, by our port
    sent: set[int] = field(default_factory=set)  # our ports whose SYN was seen to leave
    syn_acks: Counter[int] = field(default_factory=Counter)  # by our or FRR's port
    open: OpenLook | None = None
    notification: str | None = None  # the last one it sent, in FRR's words


@dataclass(slots=True)
class Listener:
    """Sorts frames; pure but for its growing. `ours`: hardware addresses of this router; `tags`: the ordered ones."""

    tags: tuple[int, ...]
    known_tags: frozenset[tuple[int, ...]]  # of all virtual interfaces on this port
    ours: frozenset[str]
    watched: Mapping[str, Watched]  # by the peer's address
    ports: frozenset[int]  # from which `explain` sends its SYNs
    identifier: int  # of its echo requests: the daemon sends others
    strangers: dict[tuple[tuple[int, ...], str], TaggedSender] = field(default_factory=dict)
    neighbours: dict[str, str] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)  # addresses that answered ARP or a solicitation
    replies: set[str] = field(default_factory=set)
    tcp: dict[str, TcpHeard] = field(default_factory=dict)

    def ask(self, link: str) -> None:
        """Ask for the hardware address of every peer, by broadcast as if nobody were known. OSError."""
        for peer in self.watched.values():
            send_solicitation(link, peer.customer, peer.cloud)

    @property
    def conclusive(self) -> bool:
        """Whether something was heard that names a fault by itself."""
        heard = self.tcp.values()
        return bool(self.strangers) or any(one.digest is not None or one.notification is not None for one in heard)

    def hear(self, frame: Packet) -> None:
        """Take a frame, tags and all, that came in or went out."""
        hardware = str(frame.src).lower()
        tags = tuple(int(layer.vlan) for layer in _layers(frame) if isinstance(layer, (Dot1Q, Dot1AD)) and layer.vlan)
        outward = hardware in self.ours
        if tags == self.tags:
            self._ordered(frame, hardware, outward=outward)
        elif outward or tags in self.known_tags or (not tags and _ports_own(frame)):
            return
        elif len(self.strangers) < _STRANGERS_MAX:
            address = _own_address(frame)
            key = (tags, hardware)
            before = self.strangers.get(key)
            if before is None or before.address is None:
                self.strangers[key] = TaggedSender(tags, hardware, address)

    def capture(self, seconds: Seconds) -> Capture:
        """What was heard, as a value."""
        return Capture(
            seconds,
            tuple(self.strangers.values()),
            tuple(self.neighbours.items()),
            frozenset(self.replies),
            {peer: heard.open for peer, heard in self.tcp.items() if heard.open is not None},
            {peer: heard.notification for peer, heard in self.tcp.items() if heard.notification is not None},
        )

    def _ordered(self, frame: Packet, hardware: str, *, outward: bool) -> None:
        if not outward and (address := _own_address(frame)) is not None:
            self.neighbours[address] = hardware
            if _answers(frame):
                self.answered.add(address)
        source, destination = _ends(frame)
        if source is None or destination is None:
            return
        if frame.haslayer(TCP):
            self._segment(frame[TCP], source, destination, hardware)
        elif source in self.watched:
            if _echo_reply(frame) == self.identifier:
                self.replies.add(source)
            elif frame.haslayer("TCPerror") and frame.haslayer(ICMP) and frame[ICMP].type == 3:
                self._prohibited(source, int(frame["TCPerror"].sport))

    def _prohibited(self, peer: str, port: int) -> None:
        if port in self.ports:
            self.tcp.setdefault(peer, TcpHeard()).answers[port] = "prohibited"

    @property
    def _customers(self) -> set[str]:
        return {str(peer.customer) for peer in self.watched.values()}

    def _segment(self, segment: Any, source: str, destination: str, hardware: str) -> None:
        if destination in self.watched and int(segment.sport) in self.ports:
            self.tcp.setdefault(destination, TcpHeard()).sent.add(int(segment.sport))
        peer = self.watched.get(source)
        if peer is None and int(segment.dport) == BGP_PORT and destination in self._customers:
            self.neighbours[source] = hardware  # somebody else wants to speak BGP with us here
        if peer is None or BGP_PORT not in (segment.sport, segment.dport):
            return
        heard = self.tcp.setdefault(source, TcpHeard())
        flags, port = int(segment.flags), int(segment.dport)
        syn, ack, reset = flags & 0x02, flags & 0x10, flags & 0x04
        if syn and ack:
            heard.syn_acks[port] += 1
        if port in self.ports:
            heard.answers[port] = "refused" if reset else "accepted"
            return
        if syn and not ack:
            heard.syns += 1
            heard.digest = _digest_fault(segment, peer) or heard.digest
        payload = bytes(segment.payload)
        if payload:
            heard.open = read_open(payload) or heard.open
            heard.notification = read_notification(payload) or heard.notification


def _layers(frame: Packet) -> Iterable[Packet]:
    layer: Any = frame
    while layer:
        yield layer
        layer = layer.payload


def _ports_own(frame: Packet) -> bool:
    """Whether an untagged frame is what any port says of its own accord: LLDP, LACP, STP, IPv6's link-local chatter."""
    if frame.haslayer("IPv6"):
        return ip_address(str(frame["IPv6"].src)).is_link_local or str(frame["IPv6"].src) == "::"
    return not (frame.haslayer(ARP) or frame.haslayer(IP))


def _own_address(frame: Packet) -> str | None:
    """The address that the sender of an ARP packet or a neighbour solicitation gives as its own."""
    if frame.haslayer(ARP):
        address = str(frame[ARP].psrc)
        return None if address == "0.0.0.0" else address
    if frame.haslayer("ICMPv6ND_NS") and str(frame["IPv6"].src) != "::":
        return str(frame["IPv6"].src)
    if frame.haslayer("ICMPv6ND_NA"):
        return str(frame["ICMPv6ND_NA"].tgt)
    return None


def _echo_reply(frame: Packet) -> int | None:
    """The identifier of an echo reply."""
    if frame.haslayer(ICMP) and frame[ICMP].type == 0:
        return int(frame[ICMP].id)
    return int(frame["ICMPv6EchoReply"].id) if frame.haslayer("ICMPv6EchoReply") else None


def _answers(frame: Packet) -> bool:
    return bool(frame.haslayer("ICMPv6ND_NA") or (frame.haslayer(ARP) and frame[ARP].op == 2))


def _ends(frame: Packet) -> tuple[str | None, str | None]:
    if frame.haslayer(IP):
        return str(frame[IP].src), str(frame[IP].dst)
    if frame.haslayer("IPv6"):
        return str(ip_address(str(frame["IPv6"].src))), str(ip_address(str(frame["IPv6"].dst)))
    return None, None


def _digest_fault(segment: Any, peer: Watched) -> DigestFault | None:
    """How a peer's SYN differs from what is ordered (RFC 2385); None where it does not."""
    options = dict(option for option in segment.options if len(option) == 2)
    digest = options.get("MD5", options.get(19))
    if peer.secret is None:
        return "unexpected" if digest is not None else None
    if digest is None:
        return "missing"
    raw = bytes(segment)
    length = len(raw)
    offset = (raw[12] >> 4) * 4
    expected = tcp_md5(peer.cloud, peer.customer, raw[:20], raw[offset:], length, peer.secret)
    return None if bytes(digest) == expected else "wrong"


# Of RFC 4271, 6.2, RFC 5492, 5, RFC 9234, 4.2 and RFC 4486, 4: what names a fault by itself, in the words that FRR has
# for it.
_NOTIFICATIONS = {
    (2, 1): "OPEN Message Error/Unsupported Version Number",
    (2, 2): "OPEN Message Error/Bad Peer AS",
    (2, 3): "OPEN Message Error/Bad BGP Identifier",
    (2, 4): "OPEN Message Error/Unsupported Optional Parameter",
    (2, 6): "OPEN Message Error/Unacceptable Hold Time",
    (2, 7): "OPEN Message Error/Unsupported Capability",
    (2, 11): "OPEN Message Error/Role Mismatch",
    (6, 1): "Cease/Maximum Number of Prefixes Reached",
    (6, 2): "Cease/Administrative Shutdown",
    (6, 3): "Cease/Peer De-configured",
    (6, 5): "Cease/Connection Rejected",
    (6, 8): "Cease/Out of Resources",
}


def read_notification(payload: bytes) -> str | None:
    """The NOTIFICATION somewhere in a segment of a BGP stream (RFC 4271, 4.5), where it is one that names a fault."""
    at = 0
    while len(payload) >= at + 21 and payload[at : at + 16] == b"\xff" * 16:
        length, kind = int.from_bytes(payload[at + 16 : at + 18]), payload[at + 18]
        if kind == 3:
            code, subcode = payload[at + 19], payload[at + 20]
            return _NOTIFICATIONS.get((code, subcode), "OPEN Message Error" if code == 2 else None)
        if length < 19:
            return None
        at += length
    return None


def read_open(payload: bytes) -> OpenLook | None:
    """The OPEN at the beginning of a BGP stream's segment (RFC 4271, 4.2; RFC 5492, 6793, 4760)."""
    if len(payload) < 29 or payload[:16] != b"\xff" * 16 or payload[18] != 1:
        return None
    _, asn, hold, router_id, length = struct.unpack_from("!BHH4sB", payload, 19)
    families: list[str] = []
    at, end = 29, min(29 + length, len(payload))
    while at + 2 <= end:
        kind, size = payload[at], payload[at + 1]
        inner, stop = at + 2, min(at + 2 + size, end)
        while kind == 2 and inner + 2 <= stop:
            code, width = payload[inner], payload[inner + 1]
            value = payload[inner + 2 : inner + 2 + width]
            if code == 65 and len(value) == 4:
                asn = int.from_bytes(value)
            elif code == 1 and len(value) == 4:
                afi, safi = struct.unpack("!HxB", value)
                families.append(f"{ {1: 'IPv4', 2: 'IPv6'}.get(afi, afi) }/{ {1: 'unicast'}.get(safi, safi) }")
            inner += 2 + width
        at = stop
    return OpenLook(asn, hold, str(ip_address(router_id)), tuple(families))


def send_solicitation(link: str, customer: Address, cloud: Address) -> None:
    """Send an ARP request (RFC 826) or a neighbour solicitation (RFC 4861, 4.3). OSError."""
    own = get_if_hwaddr(link)
    if cloud.version == 4:
        asked = Ether(src=own, dst="ff:ff:ff:ff:ff:ff") / ARP(
            op=1, hwsrc=own, psrc=str(customer), hwdst="00:00:00:00:00:00", pdst=str(cloud)
        )
    else:
        tail = cloud.packed[-3:]
        group = ip_address(bytes.fromhex("ff0200000000000000000001ff") + tail)
        asked = (
            Ether(src=own, dst="33:33:ff:" + ":".join(f"{byte:02x}" for byte in tail))
            / IPv6(src=str(customer), dst=str(group), hlim=255)
            / ICMPv6ND_NS(tgt=str(cloud))
            / ICMPv6NDOptSrcLLAddr(lladdr=own)
        )
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((link, 0))
        sock.send(bytes(asked))


class PortCapture:
    """A capture on one port, into a listener. OSError: it may not be opened (CAP_NET_RAW) or there is no such port."""

    def __init__(self, port: str, listener: Listener) -> None:
        self._listener = listener
        self._socket = L2ListenSocket(iface=port, promisc=True)
        _attach_filter(self._socket.ins)
        self.started = time.monotonic()

    def __enter__(self) -> PortCapture:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def listen(self, until: float, *, conclusive: bool = False) -> None:
        """Hear frames until then (monotonic seconds), or as soon as what was heard is conclusive."""
        for _ in range(_FRAMES_MAX):
            left = until - time.monotonic()
            if left <= 0 or (conclusive and self._listener.conclusive):
                return
            self._socket.ins.settimeout(left)
            try:
                frame = self._socket.recv()
            except TimeoutError:
                return
            if frame is not None:
                self._listener.hear(frame)


def _attach_filter(sock: socket.socket) -> None:
    program = filter_program()
    instructions = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)


def filter_program() -> bytes:
    """A classic BPF program (linux/filter.h): lets through ARP, ICMP, ICMPv6 and TCP 179, under at most one tag.

    (A received frame's outermost tag is beside it, not in it: packet(7), PACKET_AUXDATA.)
    """
    code: list[tuple[int, int, str, str]] = []  # operation, operand, where to go if equal and if not
    places: dict[str, int] = {}
    half, byte, equals, header_length, half_indexed, give = 0x28, 0x30, 0x15, 0xB1, 0x48, 0x06
    for tag, base in ((False, 12), (True, 16)):
        name = "tagged" if tag else "plain"
        places[name] = len(code)
        code.append((half, base, "", ""))
        code.append((equals, 0x0806, "take", ""))
        code.append((equals, 0x86DD, f"{name}6", ""))
        if tag:
            code.append((equals, 0x0800, "", "drop"))
        else:
            code.append((equals, 0x8100, "tagged", ""))
            code.append((equals, 0x88A8, "tagged", ""))
            code.append((equals, 0x0800, "", "drop"))
        code.append((byte, base + 11, "", ""))
        code.append((equals, socket.IPPROTO_ICMP, "take", ""))
        code.append((equals, socket.IPPROTO_TCP, "", "drop"))
        code.append((header_length, base + 2, "", ""))
        code.append((half_indexed, base + 2, "", ""))
        code.append((equals, BGP_PORT, "take", ""))
        code.append((half_indexed, base + 4, "", ""))
        code.append((equals, BGP_PORT, "take", "drop"))
        places[f"{name}6"] = len(code)
        code.append((byte, base + 8, "", ""))
        code.append((equals, socket.IPPROTO_ICMPV6, "take", ""))
        code.append((equals, socket.IPPROTO_TCP, "", "drop"))
        code.append((half, base + 42, "", ""))
        code.append((equals, BGP_PORT, "take", ""))
        code.append((half, base + 44, "", ""))
        code.append((equals, BGP_PORT, "take", "drop"))
    places["take"] = len(code)
    code.append((give, 0xFFFF, "", ""))
    places["drop"] = len(code)
    code.append((give, 0, "", ""))

    def step(here: int, to: str) -> int:
        return places[to] - here - 1 if to else 0

    return b"".join(
        struct.pack("=HBBI", operation, step(here, then), step(here, otherwise), operand)
        for here, (operation, operand, then, otherwise) in enumerate(code)
    )
