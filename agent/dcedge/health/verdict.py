"""From the facts of one virtual interface to one verdict with its reason. Pure.

RULES is read from top to bottom, from the order down to the prefixes; the first rule that has something to say
gives the verdict. A rule is one function; its reason names what is wrong, on whose side as far as that is
known, and how it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from dcedge.order.model import Family, Seconds
from dcedge.units import format_seconds

State = Literal["up", "degraded", "down", "drained", "pending"]
STATES: tuple[State, ...] = ("up", "degraded", "down", "drained", "pending")
Layer = Literal["order", "port", "link", "neighbour", "ping", "frr", "bgp", "bfd", "prefixes", "none"]
BfdState = Literal["up", "down", "init", "admin_down"]
Side = Literal["customer", "line", "cloud", "unknown"]

LOSS_DEGRADED = 0.02  # of the probes in the window
_LOSS_MIN_PROBES = 8
_SETTLING: Seconds = 15  # how long a session may take before its absence is called a fault


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one virtual interface; `layer` and `side` say where the fault is, where there is one."""

    state: State
    reason: str
    layer: Layer = "none"
    side: Side = "unknown"


@dataclass(frozen=True, slots=True)
class PortFacts:
    """The port of the VI's connection; `carrier` is None while that is unknown."""

    name: str
    present: bool = True
    admin_up: bool = True
    carrier: bool | None = True


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """The VI's own link."""

    name: str
    present: bool = True
    admin_up: bool = True


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One BGP session as FRR tells it. `state` is FRR's word (Idle, Connect, ... Established).

    `duration` is how long it has been in that state; `bfd` is None where BFD is not ordered, `advertised` None
    while unknown.
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

    @property
    def established(self) -> bool:
        """Whether routes can be exchanged over it."""
        return self.state == "Established"


@dataclass(frozen=True, slots=True)
class ProbeFacts:
    """The recent probes of one destination, and whether it answers ARP or ND (None: unknown)."""

    destination: str
    family: Family
    probes: int
    lost: int
    error: str | None = None
    neighbour: bool | None = None

    @property
    def loss(self) -> float:
        """The share that was lost; 0 while too few were sent to tell."""
        return self.lost / self.probes if self.probes >= _LOSS_MIN_PROBES else 0.0

    @property
    def answers(self) -> bool:
        """Whether at least one recent probe was answered."""
        return self.lost < self.probes

    @property
    def silent(self) -> bool:
        """Whether every one of enough recent probes was lost."""
        return self.loss == 1.0


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
    carries: str = ""
    failing: tuple[str, ...] = ()
    frr_available: bool = True
    frr_detail: str = ""
    sessions: tuple[SessionFacts, ...] = ()
    probes: tuple[ProbeFacts, ...] = ()

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
    """No light: nothing beyond the port can be judged."""
    if facts.port.carrier is not False:
        return None
    reason = f"port {facts.port.name} has no carrier: fibre, transceiver or the provider's port"
    return Verdict("down", reason, "port", "line")


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
    reason, side = _why_not_established(lacking[0], facts.probe_of(lacking[0].peer))
    if lacking[0].admin_shutdown and facts.failing:
        reason += f": {facts.failing[0]}"
    if len(lacking) > 1:
        reason += f" (and {len(lacking) - 1} more)"
    if len(lacking) < len(facts.sessions):
        return Verdict("degraded", reason, "bgp", side)
    settling = all(s.duration is not None and s.duration < _SETTLING and not s.admin_shutdown for s in lacking)
    if settling and not any(s.last_reset for s in lacking):
        return Verdict("pending", f"BGP to {lacking[0].peer} is coming up ({lacking[0].state})", "bgp", side)
    return Verdict("down", reason, "bgp", side)


def bfd_down(facts: Facts) -> Verdict | None:
    """BGP is up without the BFD that was ordered: a silent failure would be noticed late."""
    for session in facts.sessions:
        if session.bfd is not None and session.bfd != "up":
            reason = f"BFD to {session.peer} is {session.bfd.replace('_', ' ')} while BGP is up: the cloud has it off"
            return Verdict("degraded", reason, "bfd", "cloud")
    return None


def static_unreachable(facts: Facts) -> Verdict | None:
    """A static VI has no session to go by: ARP or ND, then pings."""
    if not facts.static:
        return None
    for probe in facts.probes:
        if probe.neighbour is False:
            protocol = "ARP" if probe.family == "ipv4" else "neighbour discovery"
            reason = f"{probe.destination} does not answer {protocol}: VLAN or address on the cloud's side"
            return Verdict("down", reason, "neighbour", "cloud")
    silent = [probe for probe in facts.probes if probe.silent]
    if silent and len(silent) == len(facts.probes):
        if silent[0].neighbour:
            reason = f"{silent[0].destination} answers ARP or ND but no pings"
            return Verdict("degraded", reason, "ping", "cloud")
        return Verdict("down", f"{silent[0].destination} answers no pings{_because(silent[0])}", "ping")
    return None


def no_prefixes(facts: Facts) -> Verdict | None:
    """A session that carries no route carries no traffic."""
    for session in facts.sessions:
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


def lossy(facts: Facts) -> Verdict | None:
    """Pings get lost. Where BFD says that the path is sound, or BGP lives without any ping answered, it is the
    cloud that polices ICMP, not the link that loses."""
    for probe in facts.probes:
        if probe.loss <= LOSS_DEGRADED:
            continue
        session = next((s for s in facts.sessions if s.peer == probe.destination), None)
        share = f"{probe.loss:.0%} of the pings to {probe.destination}"
        if session is not None and session.bfd == "up":
            return Verdict("up", f"as ordered; {share} go unanswered, but BFD loses none: policed ICMP", "ping")
        if session is not None and probe.silent:
            return Verdict("up", f"as ordered; {share} go unanswered, but BGP stays up: filtered ICMP", "ping")
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
    link_missing,
    link_shut,
    frr_absent,
    sessions_missing,
    sessions_down,
    bfd_down,
    static_unreachable,
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


# What FRR says of a session's end, or of the NOTIFICATION that ended it (RFC 4271, 4.5; RFC 4486), and what
# that means to the reader.
_RESETS: tuple[tuple[str, str, Side], ...] = (
    ("bad peer as", "the two sides do not agree on the ASNs", "unknown"),
    ("maximum number of prefixes", "too many prefixes were announced", "unknown"),
    ("maximum prefix", "too many prefixes were announced", "unknown"),
    ("administrative", "the cloud shut it down", "cloud"),
    ("hold timer expired", "keepalives stopped coming through", "unknown"),
    ("bfd", "BFD saw the path fail", "unknown"),
)


def _why_not_established(session: SessionFacts, probe: ProbeFacts | None) -> tuple[str, Side]:
    since = f" for {format_seconds(session.duration)}" if session.duration else ""
    said = f"BGP to {session.peer} is {session.state}{since}"
    if session.admin_shutdown:
        return f"BGP to {session.peer} is shut down on this router", "customer"
    for sign, meaning, side in _RESETS:
        if session.last_reset and sign in session.last_reset.lower():
            return f"{said}: {meaning} (last reset: {session.last_reset})", side
    if session.state == "OpenSent":
        return f"{said}: TCP is up but the cloud sends no valid OPEN{_ttl_dropped(session)}", "cloud"
    if session.state == "OpenConfirm":
        return f"{said}: the cloud does not confirm our OPEN", "cloud"
    if probe is not None and probe.neighbour is False:
        protocol = "ARP" if probe.family == "ipv4" else "neighbour discovery"
        return f"{said}: the cloud does not answer {protocol}: its VLAN or address", "cloud"
    if probe is not None and probe.probes and not probe.answers:
        return f"{said}: the cloud answers neither pings nor TCP 179{_because(probe)}", "unknown"
    reason = f"{said}: the cloud does not answer on TCP 179"
    if probe is not None and probe.probes and probe.answers:
        reason += ", though it answers pings: a filter, another password or TTL, or no session set up there"
    return reason + _ttl_dropped(session), "cloud"


def _ttl_dropped(session: SessionFacts) -> str:
    """What `ttl_security` does to a cloud that does not speak it (RFC 5082)."""
    return (
        "; `ttl_security` is ordered, so what it sends with a TTL below 255 is dropped" if session.ttl_security else ""
    )
