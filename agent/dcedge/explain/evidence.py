"""All that was gathered about one virtual interface, as plain values: what the walk judges and the report quotes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dcedge.kernel.port.ethtool import LinkMode
from dcedge.kernel.port.optics import Optics
from dcedge.monitor.health.facts import DigestFault, Facts, OwnLoss
from dcedge.monitor.health.verdict import Layer, Side
from dcedge.order.field_types import Seconds
from dcedge.order.resolve import ResolvedInterface

# What came back to a SYN: nothing at all is a filter's way, or a wrong MD5 digest's.
SynAnswer = Literal["accepted", "refused", "prohibited", "silence"]


@dataclass(frozen=True, slots=True)
class PathCheck:
    """One address pair, tried out: ARP or ND, pings, and the largest packet that passes unfragmented.

    `path_mtu` is None where it was not tried or loss hid it, `refused` why the router itself would not send.
    """

    destination: str
    sent: int = 0
    received: int = 0
    rtt: Seconds | None = None
    refused: str | None = None
    hardware_address: str | None = None
    neighbour: bool | None = None
    path_mtu: int | None = None


@dataclass(frozen=True, slots=True)
class TaggedSender:
    """Somebody who sends frames on the port with another tag than any that is ordered there."""

    tags: tuple[int, ...]  # VLAN IDs, outermost first; empty: untagged
    hardware_address: str
    address: str | None  # what its ARP or ND gives as its own


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """TCP 179 with one peer: what a SYN gets, with the ordered password and without one, and how its own TCP comes."""

    signed: SynAnswer | None = None
    unsigned: SynAnswer | None = None
    left: bool = True  # whether our SYN was seen to leave
    digest: DigestFault | None = None
    syns_received: int = 0
    answered_unheard: bool = False  # SYN-ACKs arrive over and over: this router's TCP does not get them


@dataclass(frozen=True, slots=True)
class OpenSeen:
    """The OPEN that a peer sent (RFC 4271, 4.2)."""

    asn: int
    hold: int
    router_id: str
    families: tuple[str, ...] = ()  # of its multiprotocol capabilities, as AFI/SAFI


@dataclass(frozen=True, slots=True)
class Capture:
    """What was heard on the port for some seconds."""

    seconds: Seconds
    strangers: tuple[TaggedSender, ...] = ()
    neighbours: tuple[tuple[str, str], ...] = ()  # address and hardware address of who sends on the ordered tags
    replies: frozenset[str] = frozenset()  # addresses whose echo replies arrived
    opens: Mapping[str, OpenSeen] = field(default_factory=dict)  # by peer
    notifications: Mapping[str, str] = field(default_factory=dict)  # by peer: what its NOTIFICATION said


@dataclass(frozen=True, slots=True)
class PortEvidence:
    """The port as its counters and its driver tell."""

    carrier_changes: int = 0
    receive_errors: int = 0
    transmit_errors: int = 0
    receive_dropped: int = 0
    transmit_dropped: int = 0
    mode: LinkMode | None = None
    optics: tuple[tuple[str, Optics], ...] = ()


@dataclass(frozen=True, slots=True)
class DaemonSays:
    """What the running daemon says of the virtual interface. Times in seconds since 1970."""

    verdict: str
    reason: str
    layer: Layer
    side: Side
    since: float | None
    lost: int = 0
    probes: int = 0
    router_late: Seconds = 0.0  # what this router waited for a processor in a second of late
    own_losses: tuple[OwnLoss, ...] = ()  # what it lost itself; the worst first
    transitions: int = 0  # in the last day
    resets: Mapping[str, tuple[int, str | None]] = field(default_factory=dict)  # by peer: times lost, why the last time


@dataclass(frozen=True, slots=True)
class Circuit:
    """What the provider knows the line by."""

    connection: str
    provider: str
    circuit_id: str
    description: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The whole. `facts` are what the daemon would judge, with what was tried out just now folded in."""

    at: float
    circuit: Circuit
    interface: ResolvedInterface
    facts: Facts
    port: PortEvidence
    paths: tuple[PathCheck, ...] = ()
    tcp: Mapping[str, TcpCheck] = field(default_factory=dict)  # by peer
    capture: Capture | None = None
    foreign_firewall: tuple[str, ...] = ()  # chains of others that drop
    not_forwarding: tuple[str, ...] = ()  # sysctls that keep the router from forwarding
    daemon: DaemonSays | None = None
    frr_asked: bool = True  # False: not permitted to
    unseen: tuple[str, ...] = ()
