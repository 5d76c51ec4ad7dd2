"""What is heard on a port for some seconds: whose frames, with which tags, and how the peers' TCP and BGP come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from dcedge.explain.active_checks import BGP_PORT, tcp_md5
from dcedge.explain.bgp_messages import read_notification, read_open
from dcedge.explain.evidence import Capture, OpenSeen, SynAnswer, TaggedSender
from dcedge.explain.frames import Frame, Segment
from dcedge.monitor.health.facts import DigestFault
from dcedge.order.credentials import Secret
from dcedge.order.field_types import Address, Seconds

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
    open: OpenSeen | None = None
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

    @property
    def conclusive(self) -> bool:
        """Whether something was heard that names a fault by itself."""
        heard = self.tcp.values()
        return bool(self.strangers) or any(one.digest is not None or one.notification is not None for one in heard)

    def hear(self, frame: Frame) -> None:
        """Take a frame, tags and all, that came in or went out."""
        outward = frame.source in self.ours
        if frame.tags == self.tags:
            self._ordered(frame, outward=outward)
        elif outward or frame.tags in self.known_tags or (not frame.tags and frame.ports_own):
            return
        elif len(self.strangers) < _STRANGERS_MAX:
            key = (frame.tags, frame.source)
            before = self.strangers.get(key)
            if before is None or before.address is None:
                self.strangers[key] = TaggedSender(frame.tags, frame.source, frame.own_address)

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

    def _ordered(self, frame: Frame, *, outward: bool) -> None:
        if not outward and (address := frame.own_address) is not None:
            self.neighbours[address] = frame.source
            if frame.answers:
                self.answered.add(address)
        if frame.ip is None:
            return
        source, destination = str(frame.ip[0]), str(frame.ip[1])
        if frame.tcp is not None:
            self._segment(frame.tcp, source, destination, frame.source)
        elif source in self.watched:
            if frame.echo_reply == self.identifier:
                self.replies.add(source)
            elif frame.unreachable in self.ports:
                self.tcp.setdefault(source, TcpHeard()).answers[frame.unreachable] = "prohibited"

    @property
    def _customers(self) -> set[str]:
        return {str(peer.customer) for peer in self.watched.values()}

    def _segment(self, segment: Segment, source: str, destination: str, hardware: str) -> None:
        if destination in self.watched and segment.source_port in self.ports:
            self.tcp.setdefault(destination, TcpHeard()).sent.add(segment.source_port)
        peer = self.watched.get(source)
        if peer is None and segment.destination_port == BGP_PORT and destination in self._customers:
            self.neighbours[source] = hardware  # somebody else wants to speak BGP with us here
        if peer is None or BGP_PORT not in (segment.source_port, segment.destination_port):
            return
        heard = self.tcp.setdefault(source, TcpHeard())
        port = segment.destination_port
        if segment.syn and segment.ack:
            heard.syn_acks[port] += 1
        if port in self.ports:
            heard.answers[port] = "refused" if segment.reset else "accepted"
            return
        if segment.syn and not segment.ack:
            heard.syns += 1
            heard.digest = _digest_fault(segment, peer) or heard.digest
        if segment.payload:
            heard.open = read_open(segment.payload) or heard.open
            heard.notification = read_notification(segment.payload) or heard.notification


def _digest_fault(segment: Segment, peer: Watched) -> DigestFault | None:
    """How a peer's SYN differs from what is ordered (RFC 2385); None where it does not."""
    if peer.secret is None:
        return "unexpected" if segment.digest is not None else None
    if segment.digest is None:
        return "missing"
    raw = segment.segment
    data = raw[(raw[12] >> 4) * 4 :]
    expected = tcp_md5(peer.cloud, peer.customer, raw[:20], data, len(raw), peer.secret)
    return None if segment.digest == expected else "wrong"
