"""From the facts of one virtual interface to one verdict with its reason. Pure.

RULES is read from top to bottom, from the order down to the prefixes; the first rule that has something to say
gives the verdict. A rule is one function; its reason names what is wrong, on whose side as far as that is
known, and how it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from dcedge.order.kinds import Family, Seconds
from dcedge.probe.stream import SILENT_IN_A_ROW
from dcedge.units import format_rate, format_seconds

State = Literal["up", "degraded", "down", "drained", "pending"]
STATES: tuple[State, ...] = ("up", "degraded", "down", "drained", "pending")
# From the order and this router's port up to what crosses the line, as `explain` walks them.
Layer = Literal[
    "order", "port", "light", "carrier", "lacp", "link", "frames", "neighbour", "ping", "mtu", "frr", "tcp", "md5",
    "open", "bgp", "bfd", "prefixes", "forwarding", "rate", "none",
]  # fmt: skip
BfdState = Literal["up", "down", "init", "admin_down"]
Side = Literal["customer", "line", "cloud", "unknown"]

# What TCP segments with another MD5 digest than ordered show (RFC 2385): none, a wrong one, or one nobody ordered.
DigestFault = Literal["missing", "wrong", "unexpected"]

LOSS_DEGRADED = 0.02  # of the probes in the window
LOSS_UNDER_LOAD = 0.05
_ALL_LOST = 0.97
_LOSS_MIN_PROBES = 8
# A link on which ARP fails is silent for longer than its tries are apart; one whose ARP entry is still believed, for
# longer than probes that get an answer are.
NOTHING_HEARD: Seconds = 3
_SURELY_NOTHING_HEARD: Seconds = 10
STANDS: Seconds = 3  # a session that is refused over and over is up in between for less
_STANDS_UNANNOUNCED: Seconds = 30  # refused for what we announce, it is up until we announce that again
_EXCHANGING: Seconds = 5  # how long after it came up a session may still be without prefixes
_SETTLING: Seconds = 15  # how long a session may take before its absence is called a fault


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one virtual interface; `layer` and `side` say where the fault is, where there is one."""

    state: State
    reason: str
    layer: Layer = "none"
    side: Side = "unknown"


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
    """The port of the VI's connection; `carrier` is None while that is unknown. `members` are a bond's."""

    name: str
    present: bool = True
    admin_up: bool = True
    carrier: bool | None = True
    members: tuple[MemberFacts, ...] = ()
    light: LightFacts | None = None


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
    None while unknown. `digest` is what was seen to be wrong with TCP-MD5, where it was and can only be this session's.
    `held` is whether FRR, with BFD in force, has it Idle with no mind to set it up.
    """

    peer: str
    family: Family
    state: str
    duration: Seconds | None = None
    admin_shutdown: bool = False
    last_reset: str | None = None
    received: int = 0
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
        return self.duration is None or self.duration >= stands or refused(self) is None


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


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the verdict rests on. `failing` are the texts of the operations that do not succeed on this VI.

    `carries` is the traffic that a drained one still has, in words.
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
    ordered_bps: int | None = None

    def probe_of(self, peer: str) -> ProbeFacts | None:
        """The probes towards one session's peer."""
        return next((probe for probe in self.probes if probe.destination == peer), None)


Rule = Callable[[Facts], Verdict | None]


def ordered_down(facts: Facts) -> Verdict | None:
    """The order has it down."""
    if facts.admin == "down":
        return Verdict("down", "the order has it administratively down", "order", "customer")
    return None


def drained(facts: Facts) -> Verdict | None:
    """An operator moved its traffic away; what else is wrong with it is said too."""
    if not facts.drained:
        return None
    beneath = judge(replace(facts, drained=False))
    reason = "drained by an operator"
    if facts.carries:
        reason += f", but carries {facts.carries}"
    if facts.static:
        reason += "; it is static: the cloud cannot be told"
    if beneath.state != "up":
        reason += f"; besides it is {beneath.state}: {beneath.reason}"
    return Verdict("drained", reason, beneath.layer, beneath.side)


def port_missing(facts: Facts) -> Verdict | None:
    """The port that the order names is not there."""
    if facts.port.present:
        return None
    return Verdict("down", f"port {facts.port.name} does not exist on this router", "port", "customer")


def port_shut(facts: Facts) -> Verdict | None:
    """Someone set the port down."""
    if facts.port.admin_up:
        return None
    return Verdict("down", f"port {facts.port.name} is set down on this router", "port", "customer")


def no_carrier(facts: Facts) -> Verdict | None:
    """No carrier: nothing beyond the port can be judged."""
    port = facts.port
    if port.carrier is not False:
        return None
    if port.members:
        why = "; ".join(fault.reason for member in port.members if (fault := member_fault(port.name, member)))
        reason = f"bond {port.name} has no carrier: {why or 'fewer members than min_links carry traffic'}"
        lit = any(member.carrier for member in port.members)
        sides = {fault.side for member in port.members if (fault := member_fault(port.name, member))}
        return Verdict("down", reason, "lacp" if lit else "carrier", sides.pop() if len(sides) == 1 else "unknown")
    if port.light is not None and port.light.receive_dbm is not None:
        seen = f"{port.light.receive_dbm:.1f} dBm of light come in"
        if port.light.receive_low:
            reason = f"port {port.name} has no carrier and no light: {seen}: fibre cut, or the provider's port is dark"
            return Verdict("down", reason, "light", "line")
        reason = f"port {port.name} has no carrier though {seen}: speed, auto-negotiation or FEC of the two ends differ"
        return Verdict("down", reason, "carrier", "unknown")
    reason = f"port {port.name} has no carrier: fibre, transceiver or the provider's port"
    return Verdict("down", reason, "carrier", "line")


def no_lacp_partner(facts: Facts) -> Verdict | None:
    """A bond none of whose members has a partner passes nothing on."""
    members = facts.port.members
    if not members or any(member.partner is not False for member in members):
        return None
    if any(session.established for session in facts.sessions):
        return None
    reason = f"the cloud does not speak LACP on any member of {facts.port.name}"
    return Verdict("down", reason, "lacp", "cloud")


def link_missing(facts: Facts) -> Verdict | None:
    """Its link is not made yet."""
    if facts.link.present:
        return None
    why = f": {facts.failing[0]}" if facts.failing else " yet"
    return Verdict("pending", f"its link {facts.link.name} is not made{why}", "link", "customer")


def link_shut(facts: Facts) -> Verdict | None:
    """Someone set the link down."""
    if facts.link.admin_up:
        return None
    return Verdict("down", f"its link {facts.link.name} is set down on this router", "link", "customer")


def frr_absent(facts: Facts) -> Verdict | None:
    """Without FRR no session can be had, nor its state."""
    if facts.frr_available or facts.static:
        return None
    detail = f" ({facts.frr_detail})" if facts.frr_detail else ""
    pings = "; the cloud answers pings" if any(probe.answers for probe in facts.probes) else ""
    return Verdict("pending", f"FRR does not answer{detail}, so BGP waits{pings}", "frr", "customer")


def sessions_missing(facts: Facts) -> Verdict | None:
    """FRR runs but has not been given the sessions."""
    if facts.static or facts.sessions:
        return None
    why = f": {facts.failing[0]}" if facts.failing else " yet"
    return Verdict("pending", f"BGP is not configured{why}", "bgp", "customer")


def sessions_down(facts: Facts) -> Verdict | None:
    """No session is up, or not every one."""
    lacking = [session for session in facts.sessions if not session.established]
    if not lacking:
        return None
    cause = why_not_established(facts, lacking[0])
    reason = cause.reason
    if lacking[0].admin_shutdown and facts.failing:
        reason += f": {facts.failing[0]}"
    if len(lacking) > 1:
        reason += f" (and {len(lacking) - 1} more)"
    if len(lacking) < len(facts.sessions):
        return replace(cause, state="degraded", reason=reason)
    settling = all(s.duration is not None and s.duration < _SETTLING and not s.admin_shutdown for s in lacking)
    lost = facts.was_up and any(s.lost for s in lacking)
    if settling and not lost and not any(map(refused, lacking)):
        reason = f"BGP to {lacking[0].peer} is coming up ({lacking[0].state})"
        return Verdict("pending", reason, cause.layer, cause.side)
    return replace(cause, reason=reason)


def bfd_down(facts: Facts) -> Verdict | None:
    """BGP is up without the BFD that was ordered: a silent failure would be noticed late."""
    for session in facts.sessions:
        if session.bfd is not None and session.bfd != "up":
            reason = f"BFD to {session.peer} is {session.bfd.replace('_', ' ')} while BGP is up: the cloud has it off"
            return Verdict("degraded", reason, "bfd", "cloud")
    return None


def neighbour_lost(facts: Facts) -> Verdict | None:
    """Who answers no ARP or ND gets no packet any more, whatever BGP believes until its hold time is over."""
    lost = [probe for probe in facts.probes if probe.neighbour is False]
    found = (nothing_heard(facts, lost[0]) or no_neighbour(facts, lost[0])) if lost else None
    if found is not None and len(lost) < len(facts.probes):
        return replace(found, state="degraded")
    return found


def static_unreachable(facts: Facts) -> Verdict | None:
    """A static VI has no session to go by, but for pings."""
    if not facts.static:
        return None
    silent = [probe for probe in facts.probes if probe.silent]
    if silent and len(silent) == len(facts.probes):
        if silent[0].neighbour:
            reason = f"{silent[0].destination} answers {silent[0].protocol} but no pings"
            return Verdict("degraded", reason, "ping", "cloud")
        return Verdict("down", f"{silent[0].destination} answers no pings{_because(silent[0])}", "ping")
    return None


def member_lacking(facts: Facts) -> Verdict | None:
    """A bond carries on without one of its members: with less than was ordered, and no spare."""
    faults = [fault for member in facts.port.members if (fault := member_fault(facts.port.name, member))]
    if not faults:
        return None
    well = len(facts.port.members) - len(faults)
    reason = f"{well} of the {len(facts.port.members)} members of {facts.port.name} carry: {faults[0].reason}"
    return replace(faults[0], state="degraded", reason=reason)


def weak_light(facts: Facts) -> Verdict | None:
    """The light is weaker than the module's own alarm threshold: it works until it does not."""
    light = facts.port.light
    if light is None:
        return None
    if light.receive_low:
        reason = f"only {_dbm(light.receive_dbm)} of light come in at {facts.port.name} (alarm below "
        return Verdict("degraded", f"{reason}{_dbm(light.receive_alarm_dbm)}): dirty or bent fibre", "light", "line")
    if light.transmit_low:
        reason = f"the transceiver of {facts.port.name} sends only {_dbm(light.transmit_dbm)} (alarm below "
        return Verdict("degraded", f"{reason}{_dbm(light.transmit_alarm_dbm)})", "light", "customer")
    return None


def full_size_lost(facts: Facts) -> Verdict | None:
    """Small packets pass and full ones do not: sessions stay up while transfers hang."""
    if facts.busy and (facts.load is None or (facts.load.full_size_loss or 0.0) < _ALL_LOST):
        return None  # a policer lets none of some through too
    for probe in facts.probes:
        # Where small ones get lost too, it is not the size.
        if probe.full_size is False and probe.answers and probe.loss <= LOSS_DEGRADED:
            reason = (
                f"packets of {probe.mtu} bytes do not get through to {probe.destination}, smaller ones do: "
                "an MTU black hole beyond this router"
            )
            return Verdict("degraded", reason, "mtu", "cloud")
    return None


def no_prefixes(facts: Facts) -> Verdict | None:
    """A session that carries no route carries no traffic."""
    for session in facts.sessions:
        lacks = session.received == 0 or (session.advertise_ordered and session.advertised == 0)
        if lacks and session.duration is not None and session.duration < _EXCHANGING:
            reason = f"BGP to {session.peer} has just come up and has still to exchange prefixes"
            return Verdict("degraded", reason, "prefixes", "unknown")
        if session.received == 0:
            reason = f"{session.peer} announces no prefix that is accepted here"
            return Verdict("degraded", reason, "prefixes", "unknown")
        if session.advertise_ordered and session.advertised == 0:
            reason = f"nothing is announced to {session.peer}: no prefix of `advertise` is in this routing table"
            return Verdict("degraded", reason, "prefixes", "customer")
    return None


def failing_operations(facts: Facts) -> Verdict | None:
    """It carries traffic, but is not what was ordered."""
    if not facts.failing:
        return None
    return Verdict("degraded", f"not as ordered: {'; '.join(facts.failing)}", "order", "customer")


def bfd_slow(facts: Facts) -> Verdict | None:
    """The slower of the two ends sets the pace (RFC 5880, 6.8.4): a silent failure is noticed later than ordered."""
    for session in facts.sessions:
        seen, ordered = session.bfd_detection_ms, session.bfd_detection_ordered_ms
        if session.bfd == "up" and seen is not None and ordered is not None and seen > ordered:
            takes = f"{seen} ms to notice a failure, not {ordered} ms as ordered"
            reason = f"BFD to {session.peer} takes {takes}: the cloud's timers are slower"
            return Verdict("degraded", reason, "bfd", "cloud")
    return None


def policed(facts: Facts) -> Verdict | None:
    """Pings get lost under load only, below the ordered rate: somebody drops what was ordered."""
    load = facts.load
    if load is None or load.busy_loss <= LOSS_UNDER_LOAD or load.quiet_loss > LOSS_DEGRADED:
        return None
    if load.full_size_loss is not None and load.full_size_loss >= _ALL_LOST:
        return None
    way = "out" if load.outward else "in"
    ordered = f" of the ordered {format_rate(facts.ordered_bps)}" if facts.ordered_bps else ""
    reason = (
        f"{load.busy_loss:.0%} of the pings are lost while {format_rate(load.busy_bps)}{ordered} go {way}, none of "
        "them when it is quiet: the cloud's policer is set below the order"
    )
    return Verdict("degraded", reason, "rate", "cloud")


def lossy(facts: Facts) -> Verdict | None:
    """Pings get lost. Where BFD says that the path is sound, or BGP lives without any ping answered, it is the
    cloud that polices ICMP, not the link that loses."""
    for probe in facts.probes:
        session = next((s for s in facts.sessions if s.peer == probe.destination), None)
        # Probes from before the session came up were lost to what kept it down.
        young = session is not None and session.duration is not None and session.duration < probe.span
        if probe.loss <= LOSS_DEGRADED or young:
            continue
        share = f"{probe.loss:.0%} of the pings to {probe.destination}"
        if session is not None and session.bfd == "up":
            reason = f"as ordered; {share} go unanswered, but BFD loses none: policed ICMP"
            return Verdict("up", reason, "ping", "cloud")
        if session is not None and probe.silent:
            reason = f"as ordered; {share} go unanswered, but BGP stays up: filtered ICMP"
            return Verdict("up", reason, "ping", "cloud")
        return Verdict("degraded", f"{share} are lost{_because(probe)}", "ping")
    return None


def as_ordered(_: Facts) -> Verdict:
    """Nothing to complain of."""
    return Verdict("up", "as ordered")


RULES: tuple[Rule, ...] = (
    ordered_down,
    drained,
    port_missing,
    port_shut,
    no_carrier,
    no_lacp_partner,
    link_missing,
    link_shut,
    frr_absent,
    sessions_missing,
    sessions_down,
    neighbour_lost,
    static_unreachable,
    weak_light,
    member_lacking,
    policed,
    full_size_lost,
    bfd_down,
    no_prefixes,
    failing_operations,
    bfd_slow,
    lossy,
    as_ordered,
)


def judge(facts: Facts) -> Verdict:
    """The verdict on one virtual interface: the first rule's that applies."""
    return next(verdict for rule in RULES if (verdict := rule(facts)) is not None)


def _because(probe: ProbeFacts) -> str:
    return f" ({probe.error})" if probe.error else ""


def _below(power: float | None, threshold: float | None) -> bool:
    return power is not None and threshold is not None and power < threshold


def _dbm(power: float | None) -> str:
    return "no power reading" if power is None else f"{power:.1f} dBm"


def member_fault(bond: str, member: MemberFacts) -> Verdict | None:
    """What is wrong with one member of a bond."""
    name = member.name
    if not member.present:
        return Verdict("down", f"port {name} does not exist on this router", "port", "customer")
    if not member.admin_up:
        return Verdict("down", f"{name} is set down on this router", "port", "customer")
    if not member.joined:
        return Verdict("down", f"{name} is not in {bond}", "lacp", "customer")
    if not member.carrier:
        return Verdict("down", f"{name} has no carrier: fibre, transceiver or the provider's port", "lacp", "line")
    if member.partner is False:
        return Verdict("down", f"the cloud does not speak LACP on {name}", "lacp", "cloud")
    if member.in_use is False:
        return Verdict("down", f"the cloud does not take {name} into its bundle", "lacp", "cloud")
    return None


def nothing_heard(facts: Facts, probe: ProbeFacts | None) -> Verdict | None:
    """Not one frame comes in on its VLAN, though the cloud's address is asked for."""
    silent = facts.link.silent
    if silent is None or silent < NOTHING_HEARD:
        return None
    if probe is not None and probe.neighbour is not False and (probe.answers or silent < _SURELY_NOTHING_HEARD):
        return None
    where = f"VLAN {facts.link.vlan}" if facts.link.vlan else "this untagged port"
    reason = f"no frame comes in on {where} ({facts.link.name}) for {format_seconds(silent)}: another VLAN at the cloud"
    return Verdict("down", f"{reason}, or nothing set up there", "frames", "cloud")


def no_neighbour(_: Facts, probe: ProbeFacts | None) -> Verdict | None:
    """Frames come in, but the cloud's address answers neither ARP nor ND."""
    if probe is None or probe.neighbour is not False:
        return None
    reason = f"{probe.destination} does not answer {probe.protocol}: another address at the cloud, or a filter"
    return Verdict("down", reason, "neighbour", "cloud")


DIGESTS: dict[DigestFault, str] = {
    "missing": "the cloud's TCP comes without MD5: no password is set there",
    "wrong": "the cloud's TCP comes with a wrong MD5 digest: another password is set there",
    "unexpected": "the cloud's TCP comes with MD5, but no password is ordered",
}

_REMOVED = "peer de-configured"
# NOTIFICATIONs (RFC 4271, 4.5; RFC 4486) in FRR's words: the layer they speak of; what it means, and whose side has to
# look, where the cloud sent it and where this router did.
_NOTIFICATIONS: tuple[tuple[str, Layer, tuple[str, Side], tuple[str, Side]], ...] = (
    (
        "bad peer as",
        "open",
        ("the cloud refuses our AS{customer}: another customer ASN is set there", "cloud"),
        ("the cloud does not come with the ordered AS{cloud}", "cloud"),
    ),
    (
        "open message error",
        "open",
        ("the cloud refuses our OPEN", "cloud"),
        ("the cloud's OPEN cannot be accepted", "cloud"),
    ),
    (
        "maximum number of prefixes",
        "prefixes",
        ("we announce more prefixes than the cloud takes", "customer"),
        ("the cloud announces more prefixes than the order's receive_limit", "cloud"),
    ),
    (
        "administrative shutdown",
        "bgp",
        ("the cloud has shut the session down", "cloud"),
        ("this router has shut the session down", "customer"),
    ),
    (
        _REMOVED,
        "bgp",
        ("the cloud has removed the session", "cloud"),
        ("this router has removed the session", "customer"),
    ),
    (
        "connection rejected",
        "bgp",
        ("the cloud rejects the session", "cloud"),
        ("this router rejects the session", "customer"),
    ),
    (
        "out of resources",
        "bgp",
        ("the cloud has no resources left for the session", "cloud"),
        ("this router has no resources left for the session", "customer"),
    ),
)
_RECEIVED, _SENT = "bgp notification received", "bgp notification sen"


def _frrs_own(last_reset: str | None) -> str:
    """FRR's words for a session's end, in small letters, without what the peer had to say besides (RFC 9003)."""
    return ": ".join((last_reset or "").lower().split(": ", 2)[:2])


def refusal(last_reset: str) -> tuple[str, Layer, Side] | None:
    """What the NOTIFICATION in FRR's reason of a session's end says is wrong: in words, the layer, and whose side."""
    said = _frrs_own(last_reset)
    for sign, layer, received, sent in _NOTIFICATIONS:
        if sign in said:
            meaning, side = sent if _SENT in said else received
            return meaning, layer, side
    return None


def refused_by_cloud(session: SessionFacts) -> bool:
    """Whether the cloud itself has said why it wants no session: that outweighs what is guessed from outside."""
    return refusal(session.last_reset or "") is not None and _RECEIVED in _frrs_own(session.last_reset)


def refused(session: SessionFacts) -> tuple[str, Layer, Side] | None:
    """What the last NOTIFICATION of a session says is wrong, with its ASNs."""
    found = refusal(session.last_reset or "")
    if found is None:
        return None
    meaning, layer, side = found
    return meaning.format(customer=_asn(session.customer_asn), cloud=_asn(session.cloud_asn)), layer, side


def _asn(number: int | None) -> str:
    return "N" if number is None else f" {number}"


def why_not_established(facts: Facts, session: SessionFacts) -> Verdict:
    """Why one session is not up: the lowest layer that is seen to fail."""
    probe = facts.probe_of(session.peer)
    if session.admin_shutdown:
        return Verdict("down", f"BGP to {session.peer} is shut down on this router", "bgp", "customer")
    since = f" for {format_seconds(session.duration)}" if session.duration and session.duration >= 1 else ""
    said = f"BGP to {session.peer} is {session.state}{since}"
    unreachable = nothing_heard(facts, probe) or no_neighbour(facts, probe)
    if unreachable is not None:
        return replace(unreachable, reason=f"{said}: {unreachable.reason}{_before(session)}")
    if session.digest is not None and not (session.digest == "missing" and _stays_ended(session)):
        return Verdict("down", f"{said}: {DIGESTS[session.digest]}", "md5", "cloud")
    opening = session.state in {"OpenSent", "OpenConfirm"} and (session.duration or 0) >= STANDS
    if not opening and (told := _refused_verdict(facts, session, said)) is not None:  # else that is an older story
        return told
    if session.state == "OpenSent":
        return Verdict(
            "down", f"{said}: TCP is up but the cloud sends no valid OPEN{_ttl_dropped(session)}", "open", "cloud"
        )
    if session.state == "OpenConfirm":
        # A cloud that demands a TTL lets FRR's SYN-ACK pass, which has 255, and drops what follows.
        reason = f"{said}: the cloud does not confirm our OPEN: it may demand another TTL, or filter what follows"
        return Verdict("down", reason, "open", "cloud")
    if kept_by_bfd(session):
        return _kept_down(facts, session, said)
    if probe is not None and probe.probes and not probe.answers:
        reason = f"{said}: the cloud answers neither pings nor TCP 179{_because(probe)}"
        return Verdict("down", reason, "tcp", "unknown")
    if session.state == "Idle" and (lost := _lost(session)):
        reason = f"{said}: {lost}, and FRR is about to try again (last reset: {session.last_reset})"
        return Verdict("down", reason, "bfd" if lost is _BFD_LOST else "bgp", "unknown")
    guess = f"{UNANSWERED}{_though_pinged(probe)}{_ttl_dropped(session)}"
    before = f"; before, {_CLOUD_ENDED} ({session.last_reset})" if _lost(session) is _CLOUD_ENDED else ""
    return Verdict("down", f"{said}: {guess}{before}", "tcp", "cloud")


UNANSWERED = "the cloud does not answer on TCP 179"


def _refused_verdict(facts: Facts, session: SessionFacts, said: str) -> Verdict | None:
    """What the last NOTIFICATION means, where it names a fault, beside the state that the session is in now."""
    notification = refused(session)
    if notification is None:
        return None
    meaning, layer, side = notification
    last_reset = f" (last reset: {session.last_reset})"
    if session.state == "Established":
        reason = f"{said}, but was ended before: {meaning}{last_reset}"
    elif layer == "bgp" and side == "cloud" and session.state == "Connect" and (session.duration or 0) >= STANDS:
        since = "does not answer on TCP 179 since: if it is back, with another password or TTL, or behind a filter"
        reason = f"{said}: {meaning}, and {since}"
    elif kept_by_bfd(session) and refused_by_cloud(session):
        reason = f"{said}: {meaning}; {_frr(facts)} does not try again while BFD is down{last_reset}"
    else:
        reason = f"{said}: {meaning}{last_reset}"
    return Verdict("down", reason, layer, side)


def _before(session: SessionFacts) -> str:
    """What the cloud has said before it could not be reached any more."""
    told = refused(session)
    return f"; before, {told[0]}" if told is not None and refused_by_cloud(session) else ""


def _stays_ended(session: SessionFacts) -> bool:
    """Whether the cloud has ended the session and keeps its part of it: it forgets the password until it is back."""
    return refused_by_cloud(session) and _REMOVED not in _frrs_own(session.last_reset)


_BFD_LOST, _CLOUD_ENDED = "BFD went down", "the cloud has ended the session"


def _lost(session: SessionFacts) -> str | None:
    """How a session was lost, where that is known and names no fault."""
    said = _frrs_own(session.last_reset)
    if "bfd down" in said:
        return _BFD_LOST
    return _CLOUD_ENDED if _RECEIVED in said else None


def kept_by_bfd(session: SessionFacts) -> bool:
    """Whether FRR does not so much as try, and BFD is not up: to some versions (10.3) the one is the other's reason."""
    return session.state == "Idle" and session.held and session.bfd_lacking


def _kept_down(facts: Facts, session: SessionFacts, said: str) -> Verdict:
    """The cloud has no chance to answer where FRR does not try."""
    probe = facts.probe_of(session.peer)
    bfd = f"BFD is {session.bfd.replace('_', ' ')}" if session.bfd is not None else "bfdd does not answer"
    why = f"{_frr(facts)} sets up no session while BFD is not up, and {bfd}"
    if probe is not None and probe.probes and not probe.answers:
        return Verdict("down", f"{said}: the cloud answers no pings{_because(probe)}, and {why}", "ping", "unknown")
    pings = ", though the cloud answers pings: it may have BFD off" if probe is not None and probe.answers else ""
    return Verdict("down", f"{said}: {why}{pings}", "bfd", "customer")


def _frr(facts: Facts) -> str:
    return f"FRR {facts.frr_version}" if facts.frr_version else "this FRR"


def _though_pinged(probe: ProbeFacts | None) -> str:
    """What keeps an address that answers pings from answering on TCP 179."""
    if probe is None or not probe.answers:
        return ""
    return ", though it answers pings: a filter, another password or TTL, or no session set up there"


def _ttl_dropped(session: SessionFacts) -> str:
    """What `ttl_security` does to a cloud that does not speak it (RFC 5082)."""
    return (
        "; `ttl_security` is ordered, so what it sends with a TTL below 255 is dropped" if session.ttl_security else ""
    )
