"""What a verdict rests on, as plain values: of the port, the link, the sessions, the probes and the load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dcedge.monitor.health.notifications import refusal
from dcedge.order.field_types import Family, Seconds
from dcedge.probe.stream import SILENT_IN_A_ROW

BfdState = Literal["up", "down", "init", "admin_down"]
# What TCP segments with another MD5 digest than ordered show (RFC 2385): none, a wrong one, or one nobody ordered.
DigestFault = Literal["missing", "wrong", "unexpected"]
_LOSS_MIN_PROBES = 8
THIS_ROUTER = "this router"
STANDS: Seconds = 3  # a session that is refused over and over is up in between for less
_STANDS_UNANNOUNCED: Seconds = 30  # refused for what we announce, it is up until we announce that again


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """One member of an LACP bond (IEEE 802.1AX). `partner` is whether LACPDUs of a partner are heard on it, and
    `in_use` whether both ends collect and distribute on it; None where the kernel does not say."""

    name: str
    present: bool = True
    joined: bool = True
    admin_up: bool = True
    carrier: bool = True
    partner: bool | None = True
    in_use: bool | None = True


@dataclass(frozen=True, slots=True)
class LightFacts:
    """A transceiver's light in dBm, and the power below which the module itself raises an alarm; None: not told."""

    receive_dbm: float | None = None
    transmit_dbm: float | None = None
    receive_alarm_dbm: float | None = None
    transmit_alarm_dbm: float | None = None

    @property
    def receive_low(self) -> bool:
        """Whether less light comes in than the module needs."""
        return _below(self.receive_dbm, self.receive_alarm_dbm)

    @property
    def transmit_low(self) -> bool:
        """Whether less light leaves than the module should give."""
        return _below(self.transmit_dbm, self.transmit_alarm_dbm)


@dataclass(frozen=True, slots=True)
class PortFacts:
    """The port of the VI's connection; `carrier` is None while that is unknown. `members` are a bond's.

    `speed_bps` is what its two ends agreed on (a bond's: of the members in use together), None where that is not told;
    `connection` has the port to itself, ordered at `ordered_bps`.
    """

    name: str
    present: bool = True
    admin_up: bool = True
    carrier: bool | None = True
    members: tuple[MemberFacts, ...] = ()
    light: LightFacts | None = None
    speed_bps: int | None = None
    half_duplex: bool = False
    connection: str = ""
    ordered_bps: int = 0

    @property
    def slower_than_ordered(self) -> bool:
        """Whether its two ends agreed on less than is ordered."""
        return self.speed_bps is not None and self.speed_bps < self.ordered_bps


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """The VI's own link; `silent` is how long no frame has come in on it, None while that is unknown."""

    name: str
    present: bool = True
    admin_up: bool = True
    vlan: int | None = None
    silent: Seconds | None = None


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One BGP session as FRR tells it. `state` is FRR's word (Idle, Connect, ... Established).

    `duration` is how long it has been in that state; `bfd` is None where BFD is not ordered or not known, `advertised`
    None while unknown. `received` are the prefixes that are accepted, `announced` all that the peer sends (None: not
    known). `digest` is what was seen to be wrong with TCP-MD5, where it was and can only be this session's.
    `held` is whether FRR, with BFD in force, has it Idle with no mind to set it up.
    """

    peer: str
    family: Family
    state: str
    duration: Seconds | None = None
    admin_shutdown: bool = False
    last_reset: str | None = None
    received: int = 0
    announced: int | None = None
    receive_limit: int | None = None
    advertised: int | None = None
    advertise_ordered: bool = False
    bfd: BfdState | None = None
    bfd_detection_ms: int | None = None  # in force; None: not known
    bfd_detection_ordered_ms: int | None = None
    ttl_security: bool = False
    digest: DigestFault | None = None
    customer_asn: int | None = None
    cloud_asn: int | None = None
    lost: int = 0  # how often it was lost after it had been up
    held: bool = False

    @property
    def bfd_lacking(self) -> bool:
        """Whether BFD is ordered and not up, as far as is known."""
        return self.bfd != "up" and (self.bfd is not None or self.bfd_detection_ordered_ms is not None)

    @property
    def established(self) -> bool:
        """Whether routes can be exchanged over it: it is up, and has not just come up after it was refused."""
        if self.state != "Established":
            return False
        unannounced = self.advertise_ordered and self.advertised == 0
        stands = _STANDS_UNANNOUNCED if unannounced else STANDS
        return self.duration is None or self.duration >= stands or refusal(self.last_reset or "") is None


@dataclass(frozen=True, slots=True)
class ProbeFacts:
    """The recent probes of one destination, and whether it answers ARP or ND (None: unknown).

    `lost_in_a_row` counts the latest ones; `span` is the time in which all were sent. `full_size` is whether a packet
    of the ordered MTU that must not be fragmented gets an answer (None: not tried); `mtu` is that MTU.
    """

    destination: str
    family: Family
    probes: int
    lost: int
    error: str | None = None
    neighbour: bool | None = None
    lost_in_a_row: int = 0
    span: Seconds = 0.0
    full_size: bool | None = None
    mtu: int = 0

    @property
    def loss(self) -> float:
        """The share that was lost; 0 while too few were sent to tell."""
        return self.lost / self.probes if self.probes >= _LOSS_MIN_PROBES else 0.0

    @property
    def answers(self) -> bool:
        """Whether one of the latest probes was answered."""
        return self.lost < self.probes and self.lost_in_a_row < SILENT_IN_A_ROW

    @property
    def silent(self) -> bool:
        """Whether every one of enough recent probes was lost."""
        return self.loss == 1.0 or self.lost_in_a_row >= _LOSS_MIN_PROBES

    @property
    def protocol(self) -> str:
        """What finds the destination's hardware address."""
        return "ARP" if self.family == "ipv4" else "neighbour discovery"


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """Where a prefix that a gateway's clouds announce (or that is static) leads to.

    `link` is the one by which packets to it leave (None: there is no way), `expected` those that lead to the gateway.
    `instead` is the kind of route that zebra prefers to the cloud's, in its words; empty where it prefers none.
    `unresolved` are peers with a next hop that bgpd has no route to. `rejected` is whether the kernel refused the
    route, `errors` how many it has refused since zebra's start.
    """

    prefix: str
    family: Family
    link: str | None
    expected: tuple[str, ...]
    instead: str = ""
    unresolved: tuple[tuple[str, str], ...] = ()
    rejected: bool = False
    errors: int = 0


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """Loss beside load: the share of probes lost while the virtual interface was busy and while it was quiet.

    `busy_bps` is what it carried then, in the direction that carried more; `full_size_loss` is that of the full-size
    probes among those while it was busy, None while too few were sent to tell.
    """

    busy_loss: float
    quiet_loss: float
    busy_bps: float
    outward: bool
    full_size_loss: float | None = None


class OwnLoss(NamedTuple):
    """What this router itself lost of late: at a port or as a whole, by the kernel's name of the counter, and of how
    much."""

    where: str
    counter: str
    lost: int
    of: int

    @property
    def share(self) -> float:
        """The part that was lost."""
        return self.lost / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the verdict rests on. `failing` are the texts of the operations that do not succeed on this VI.

    `carries` is the traffic that a drained one still has, in words. `astray` are the peers of sessions that are down to
    which packets leave by another link than its own, with that link; None where there is no way.
    """

    admin: Literal["up", "down", "planned"]
    port: PortFacts
    link: LinkFacts
    static: bool = False
    drained: bool = False
    was_up: bool = True  # at some time: it has nothing to settle any more
    carries: str = ""
    failing: tuple[str, ...] = ()
    frr_available: bool = True
    frr_detail: str = ""
    frr_version: str | None = None  # as FRR gives it: `10.3`
    sessions: tuple[SessionFacts, ...] = ()
    probes: tuple[ProbeFacts, ...] = ()
    busy: bool = False  # now
    load: LoadFacts | None = None  # where it was busy of late
    routes: tuple[RouteFacts, ...] = ()  # of its gateway, as far as they were looked at
    families: frozenset[Family] = frozenset()  # of its addresses
    not_forwarded: frozenset[Family] = frozenset()  # by this router as a whole
    astray: Mapping[str, str | None] = field(default_factory=dict)
    router_late: Seconds = 0.0  # what this router's processes waited for a processor in a second of late; 0: hardly
    own_losses: tuple[OwnLoss, ...] = ()  # where they may explain a fault; the worst first
    ordered_bps: int | None = None

    def probe_of(self, peer: str) -> ProbeFacts | None:
        """The probes towards one session's peer."""
        return next((probe for probe in self.probes if probe.destination == peer), None)


def _below(power: float | None, threshold: float | None) -> bool:
    return power is not None and threshold is not None and power < threshold
