"""The walk from the light to what crosses the line: one rule a layer, evidence in, a step out. Pure.

It ends at the first layer that fails; what is merely degraded is noted on the way. The rules are the verdict's own
where the daemon can know the same by itself, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from dcedge.explain.evidence import Evidence, OpenLook, PathLook, TcpLook
from dcedge.health import verdict as rules
from dcedge.health.verdict import DigestFault, Facts, Layer, SessionFacts, Side, Verdict
from dcedge.units import counted, format_rate, format_seconds

StepState = Literal["ok", "degraded", "failed", "unknown", "skipped"]


@dataclass(frozen=True, slots=True)
class Step:
    """One layer's outcome. `evidence` and `advice` are there where something is wrong.

    The advice is addressed to who has to act: the operator where it is the customer's side, else the provider.
    """

    layer: Layer
    title: str
    state: StepState
    text: str
    side: Side = "unknown"
    evidence: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All steps, and the one that is the fault, where there is one."""

    steps: tuple[Step, ...]
    finding: Step | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule says; its layer and title are added by the walk."""

    state: StepState
    text: str
    side: Side = "unknown"
    evidence: tuple[str, ...] = ()
    advice: str = ""


def _failed(found: Verdict, advice: str, *evidence: str) -> Outcome:
    state: StepState = "degraded" if found.state == "degraded" else "failed"
    return Outcome(state, found.reason, found.side, evidence, advice)


def _first(facts: Facts, *of: Callable[[Facts], Verdict | None]) -> Verdict | None:
    return next((found for rule in of if (found := rule(facts)) is not None), None)


def order(e: Evidence) -> Outcome:
    """The order itself has it down, or an operator drained it."""
    if (found := rules.ordered_down(e.facts)) is not None:
        return _failed(found, "Nothing to mend: set `admin: up` in the order to use it.")
    if e.facts.drained:
        return Outcome("ok", "ordered up; drained by an operator, so no traffic is sent this way (`dcedge undrain`)")
    return Outcome("ok", "ordered up" if e.facts.admin == "up" else "planned: it is built, and raises no alert")


def port(e: Evidence) -> Outcome:
    """The port exists and is set up."""
    if (found := _first(e.facts, rules.port_missing, rules.port_shut)) is not None:
        name = e.facts.port.name
        missing = "Check the order's `port`, the driver and `ip link`: the card or its name has changed."
        return _failed(
            found, f"`ip link set {name} up`; find out who set it down." if e.facts.port.present else missing
        )
    return Outcome("ok", f"{e.facts.port.name} is there and set up")


def light(e: Evidence) -> Outcome:
    """Light leaves and arrives, as the transceiver measures it."""
    told = tuple(
        f"{name}: {optics.vendor} {optics.part} {optics.serial}: receives {_dbm(optics.receive_dbm)} (alarm below "
        f"{_dbm(optics.receive_alarm_dbm)}), sends {_dbm(optics.transmit_dbm)}"
        + "".join(f"; {alarm}" for alarm in optics.alarms)
        for name, optics in e.port.optics
    )
    found = rules.no_carrier(e.facts)
    if found is not None and found.layer == "light":
        return _failed(
            found,
            "Check that your port sends light, and the fibre in between: patch panel, cross-connect, receive and "
            "transmit swapped.",
            *told,
        )
    if (found := rules.weak_light(e.facts)) is not None:
        advice = "Clean the connectors and measure the fibre end to end."
        if found.side == "customer":
            advice = "Replace this router's transceiver."
        return _failed(found, advice, *told)
    if not told:
        return Outcome("unknown", f"{e.facts.port.name} does not tell its optical power")
    return Outcome("ok", "; ".join(told))


def carrier(e: Evidence) -> Outcome:
    """The port has a carrier."""
    counts = e.port
    changes = f"{e.facts.port.name}'s carrier has changed {counts.carrier_changes} times since boot"
    found = rules.no_carrier(e.facts)
    if found is not None and found.layer == "carrier":
        advice = (
            "Check your port (up, same speed, auto-negotiation and FEC) and the fibre to it. Here, reseat the "
            "transceiver and look for light with a meter."
        )
        return _failed(found, advice, changes)
    errors = counts.receive_errors + counts.transmit_errors
    drops = counts.receive_dropped + counts.transmit_dropped
    mode = counts.mode
    speed = format_rate(mode.speed_mbps * 1e6) if mode is not None and mode.speed_mbps else "speed unknown"
    duplex = f", {mode.duplex} duplex" if mode is not None and mode.duplex else ""
    text = f"carrier, {speed}{duplex}; {changes}; {counted(errors, 'frame')} in error, {drops} dropped"
    if mode is not None and mode.duplex == "half":
        advice = "Set both ends to the same auto-negotiation: half duplex collides under load."
        return Outcome("degraded", f"{e.facts.port.name} runs at half duplex", "unknown", (text,), advice)
    return Outcome("ok", text)


def lacp(e: Evidence) -> Outcome:
    """Every member of a bond carries traffic, and the partner agrees."""
    members = e.facts.port.members
    if not members:
        return Outcome("skipped", "the port is no bond")
    told = tuple(
        f"{member.name}: {'carrier' if member.carrier else 'no carrier'}, "
        f"{_yes(member.partner, 'LACPDUs heard', 'no LACPDU heard')}, "
        f"{_yes(member.in_use, 'collecting and distributing at both ends', 'not in use at both ends')}"
        for member in members
    )
    found = rules.no_carrier(e.facts)
    if found is None or found.layer != "lacp":
        found = _first(e.facts, rules.no_lacp_partner, rules.member_lacking)
    if found is None:
        return Outcome("ok", f"all {len(members)} members of {e.facts.port.name} carry traffic")
    advice = {
        "line": "Check the fibre and your port of that member.",
        "cloud": "Check your LAG: LACP active on every member, the same key, no member blocked.",
        "customer": "Bring that member up on this router, and into the bond.",
        "unknown": "Check each member's fibre and LACP at both ends.",
    }[found.side]
    return _failed(found, advice, *told)


def link(e: Evidence) -> Outcome:
    """The virtual interface's own link is there and up."""
    if (found := _first(e.facts, rules.link_missing, rules.link_shut)) is not None:
        advice = "Is the daemon running (`dcedge run`)? Else `dcedge apply`; its answer says what the kernel refuses."
        return Outcome("failed", found.reason, found.side, e.facts.failing, advice)
    return Outcome("ok", f"{e.facts.link.name} is up, {_vlan(e)}, MTU {e.interface.mtu}")


def frames(e: Evidence) -> Outcome:
    """Frames come in with the ordered tag."""
    probe = next((p for p in e.facts.probes if p.neighbour is False), None)
    found = rules.nothing_heard(e.facts, probe) if probe is not None else None
    if found is None:
        return Outcome("ok", f"frames come in, {_vlan(e)}")
    strangers = e.capture.strangers if e.capture is not None else ()
    if strangers:
        first = strangers[0]
        seen = f"ordered {_vlan(e)}, seeing {_tags(first.tags)} from {first.hardware_address}"
        if first.address is not None:
            seen += f" ({first.address})"
        advice = f"Set this virtual interface to {_vlan(e)} on your side. (Or here: order the one that the cloud uses.)"
        told = tuple(f"{_tags(s.tags)} from {s.hardware_address} ({s.address or 'no address seen'})" for s in strangers)
        return Outcome("failed", seen, "cloud", (found.reason, *told, *_told_before(e)), advice)
    seconds = f" in {format_seconds(e.capture.seconds)} of capture" if e.capture is not None else ""
    advice = (
        f"Check that the virtual interface exists on your port, {_vlan(e)}, and that every switch "
        "on the way passes it. Some clouds send nothing before they see a tagged frame: this router has sent ARP."
    )
    evidence = (f"no unknown tag was seen either{seconds}", *_told_before(e))
    return Outcome("failed", found.reason, "cloud", evidence, advice)


def neighbour(e: Evidence) -> Outcome:
    """The cloud's address answers ARP or neighbour discovery."""
    for probe in e.facts.probes:
        found = rules.no_neighbour(e.facts, probe)
        if found is None:
            continue
        others = [pair for pair in (e.capture.neighbours if e.capture is not None else ()) if ":" in pair[1]]
        version = 6 if probe.family == "ipv6" else 4
        others = [pair for pair in others if (":" in pair[0]) is (version == 6) and pair[0] != probe.destination]
        if others:
            address, hardware = others[0]
            text = f"the cloud uses {address} ({hardware}) where the order says {probe.destination}"
            advice = f"Set {probe.destination} as your address. (Or here: put {address} into the order.)"
            return Outcome("failed", text, "cloud", (found.reason, *_told_before(e)), advice)
        advice = f"Check that {probe.destination} is set there ({_vlan(e)}) and answers {probe.protocol}."
        asked = f"{probe.protocol} requests for {probe.destination} were sent and not answered"
        return _failed(found, advice, asked, *_told_before(e))
    told = [f"{path.destination} is {path.hardware_address}" for path in e.paths if path.hardware_address is not None]
    if told:
        return Outcome("ok", "; ".join(told))
    if any(path.received for path in e.paths) or any(session.established for session in e.facts.sessions):
        return Outcome("ok", "the cloud's addresses are reached")
    return Outcome("unknown", "it was not tried")


def ping(e: Evidence) -> Outcome:
    """Pings are answered; where not, whether that matters."""
    for path in e.paths:
        if path.refused is not None:
            text = f"this router does not send to {path.destination}: {path.refused}"
            return Outcome("failed", text, "customer", e.foreign_firewall, _FIREWALL)
        heard = e.capture is not None and path.destination in e.capture.replies
        if path.sent and not path.received and heard:
            text = f"{path.destination} answers pings, but a firewall on this router drops the answers"
            return Outcome("failed", text, "customer", e.foreign_firewall, _FIREWALL)
    silent = [path for path in e.paths if path.sent and not path.received]
    live = {session.peer for session in e.facts.sessions if session.established}
    if silent and all(path.destination in live for path in silent):
        text = f"{silent[0].destination} answers no pings, while BGP with it is up: it filters ICMP"
        return Outcome("ok", text, "cloud")
    if silent:
        text = f"{silent[0].destination} answers no pings"
        return Outcome("unknown", text, "cloud", (_counts(silent[0]),))
    if (daemon := e.daemon) is not None and daemon.layer == "ping" and daemon.verdict in {"up", "degraded"}:
        state: StepState = "ok" if daemon.verdict == "up" else "degraded"
        advice = "Check the path for loss at the times given; it is measured once or several times a second."
        return Outcome(state, daemon.reason, daemon.side, tuple(map(_counts, e.paths)), advice)
    if not e.paths:
        return Outcome("unknown", "it was not tried")
    return Outcome("ok", "; ".join(map(_counts, e.paths)))


_FIREWALL = (
    "Look at this router's firewall tables (`nft list ruleset`, `tc filter show`): let ICMP, BGP (TCP 179) and BFD "
    "(UDP 3784) of this virtual interface pass."
)


def mtu(e: Evidence) -> Outcome:
    """A packet of the ordered MTU passes unfragmented."""
    if (found := rules.full_size_lost(e.facts)) is not None:
        path = next(path for path in e.paths if path.path_mtu is not None and path.path_mtu < e.interface.mtu)
        advice = (
            f"Check the MTU on the whole way: {e.interface.mtu} bytes of IP are ordered. Until then "
            "transfers that do not lower their segment size hang."
        )
        largest = f"the largest packet that {path.destination} answers has {path.path_mtu} bytes of IP"
        return _failed(found, advice, largest)
    if (daemon := e.daemon) is not None and daemon.layer == "mtu" and not any(path.path_mtu for path in e.paths):
        return Outcome("degraded", daemon.reason, daemon.side)
    told = [f"{path.path_mtu} bytes pass to {path.destination}" for path in e.paths if path.path_mtu is not None]
    if told:
        return Outcome("ok", "; ".join(told))
    lossy = any(path.received for path in e.paths)
    return Outcome("unknown", "too many packets get lost to tell" if lossy else "it was not tried")


def _told_before(e: Evidence) -> tuple[str, ...]:
    """What the cloud itself has said, before it could not be reached any more."""
    return tuple(text for s in e.facts.sessions if rules.refused_by_cloud(s) for text in _reset_told(s))


def _lacking(e: Evidence) -> SessionFacts | None:
    return next((session for session in e.facts.sessions if not session.established), None)


def frr(e: Evidence) -> Outcome:
    """FRR is there, and has the sessions."""
    if not e.interface.sessions:
        return Outcome("skipped", "static routes, no BGP")
    if not e.frr_asked:
        return Outcome("unknown", "FRR was not asked, so nothing is known of the sessions")
    if (found := _first(e.facts, rules.frr_absent, rules.sessions_missing)) is not None:
        advice = "Start FRR with bgpd (and bfdd where BFD is ordered); then `dcedge status` says whether it took all."
        return Outcome("failed", found.reason, found.side, e.facts.failing, advice)
    return Outcome("ok", "FRR answers and has the sessions")


_NO_SESSION = "no session is known"


def tcp(e: Evidence) -> Outcome:
    """TCP 179 can be reached."""
    session = _lacking(e)
    if session is None:
        return Outcome("ok", "TCP 179 is connected") if e.facts.sessions else Outcome("skipped", _NO_SESSION)
    look = e.tcp.get(session.peer, TcpLook())
    told = _tcp_told(session.peer, look)
    if not look.left or look.answered_unheard:
        where = "our TCP to port 179 does not leave this router"
        if look.answered_unheard:
            where = f"{session.peer} answers on TCP 179, but a firewall on this router drops the answer"
        return Outcome("failed", where, "customer", (*told, *e.foreign_firewall), _FIREWALL)
    found = rules.why_not_established(e.facts, session)
    known = e.daemon is not None and e.daemon.layer == "md5" and look.signed == "silence"
    if "accepted" in (look.signed, look.unsigned):
        return Outcome("ok", f"{session.peer} accepts TCP on port 179", evidence=told)
    if found.layer not in {"tcp", "ping", "bfd"} or session.admin_shutdown or known:
        return Outcome("ok", "TCP 179 is not what fails", evidence=told)
    if "refused" in (look.signed, look.unsigned):
        text = f"BGP to {session.peer} is {session.state}: the cloud refuses TCP 179: no BGP session is set up there"
        advice = f"Set up the BGP session with {session.peer}, its neighbour {_customer(e, session)}."
        return Outcome("failed", text, "cloud", told, advice)
    if found.layer == "bfd":
        if look.unsigned is None:
            return Outcome("unknown", "it was not tried, and FRR does not try it either")
        found = Verdict("down", f"BGP to {session.peer} is {session.state}: {rules.UNANSWERED}", "tcp", "cloud")
    advice = (
        f"Check filters on TCP 179 between {_customer(e, session)} and {session.peer}, that the "
        "session exists there, and its MD5 password: a wrong one is answered by silence too."
    )
    return _failed(found, advice, *told)


def _tcp_told(peer: str, look: TcpLook) -> tuple[str, ...]:
    words = {
        "accepted": "SYN-ACK",
        "refused": "RST",
        "prohibited": "ICMP: prohibited",
        "silence": "nothing",
    }
    told = []
    if look.signed is not None:
        told.append(f"a SYN to {peer}:179 with the ordered MD5 password gets: {words[look.signed]}")
    if look.unsigned is not None:
        told.append(f"a SYN to {peer}:179 without MD5 gets: {words[look.unsigned]}")
    if look.syns_received:
        told.append(f"{counted(look.syns_received, 'SYN')} came in from {peer}")
    return tuple(told)


_ADVICE_DIGESTS: dict[DigestFault, str] = {
    "missing": "Set the BGP (MD5) password on your side; let us agree on it elsewhere than in a ticket.",
    "wrong": "Set the BGP (MD5) password anew; so do we, in this router's credential. A trailing blank is another "
    "password.",
    "unexpected": "Remove the BGP (MD5) password. (Or here: order it, as `bgp.password`.)",
}


def md5(e: Evidence) -> Outcome:
    """The MD5 digests are those of the ordered password."""
    session = _lacking(e)
    if session is None:
        return Outcome("ok", "every session is up") if e.facts.sessions else Outcome("skipped", _NO_SESSION)
    ordered = next((s for s in e.interface.sessions if str(s.cloud) == session.peer), None)
    look = e.tcp.get(session.peer, TcpLook())
    told = _tcp_told(session.peer, look)
    if session.admin_shutdown:
        return Outcome("skipped", "the session is shut down on this router")
    if session.state == "Established":
        return Outcome("ok", f"{session.peer} is spoken with")
    if session.digest is not None:  # seen in the cloud's own SYN, just now
        text = f"BGP to {session.peer} is {session.state}: {rules.DIGESTS[session.digest]}"
        return Outcome("failed", text, "cloud", told, _ADVICE_DIGESTS[session.digest])
    unsigned_only = look.signed == "silence" and look.unsigned in {"accepted", "refused"}
    if unsigned_only and not rules.refused_by_cloud(session):
        text = f"BGP to {session.peer} is {session.state}: {rules.DIGESTS['missing']}"
        return Outcome("failed", text, "cloud", told, _ADVICE_DIGESTS["missing"])
    if look.signed == "silence" and e.daemon is not None and e.daemon.layer == "md5":
        return Outcome("failed", e.daemon.reason, e.daemon.side, told, _ADVICE_DIGESTS["wrong"])
    if unsigned_only:  # a cloud that has ended a session may forget its password with it
        text = "the ordered password gets no answer, and none is to be expected after what the cloud has said"
        return Outcome("unknown", text, evidence=(*told, *_reset_told(session)))
    if ordered is not None and ordered.password is None:
        return Outcome("skipped", "no password is ordered")
    if look.signed == "accepted":
        return Outcome("ok", f"{session.peer} accepts the ordered password")
    return Outcome("unknown", "nothing was heard that would tell")


def opened(e: Evidence) -> Outcome:
    """The two OPENs agree: ASNs, capabilities."""
    session = _lacking(e)
    if session is None:
        return Outcome("ok", "every session is established") if e.facts.sessions else Outcome("skipped", _NO_SESSION)
    told = e.capture.opens.get(session.peer) if e.capture is not None else None
    evidence = _open_told(session.peer, told)
    if told is not None and session.cloud_asn is not None and told.asn != session.cloud_asn:
        text = f"the cloud comes with AS {told.asn}, ordered is AS {session.cloud_asn}"
        advice = f"Set AS {session.cloud_asn} on your side. (Or here: put AS {told.asn} into the order.)"
        return Outcome("failed", text, "cloud", evidence, advice)
    found = rules.why_not_established(e.facts, session)
    if found.layer == "open":
        advice = (
            f"Check the session with {_customer(e, session)}: customer AS {session.customer_asn}, "
            f"cloud AS {session.cloud_asn}, address family {session.family}."
        )
        return _failed(found, advice, *evidence, *_reset_told(session))
    if found.layer == "bgp":
        advice = "Say why the session is shut on your side: maintenance?"
        if found.side == "customer":
            advice = "The session is shut on this router: `dcedge status` and FRR's configuration say by whom."
        return _failed(found, advice, *evidence, *_reset_told(session))
    if found.layer == "prefixes":
        return Outcome("ok", "the session comes up, and is ended again", evidence=evidence)
    if found.layer == "bfd" or rules.kept_by_bfd(session):
        return Outcome("unknown", "FRR does not try it now")
    # It is down and no layer below has shown why.
    return Outcome("failed", found.reason, found.side, (*evidence, *_reset_told(session)), _UNCLEAR)


_UNCLEAR = "Look at your BGP log for this session while it is tried again."


def _open_told(peer: str, told: OpenLook | None) -> tuple[str, ...]:
    if told is None:
        return ()
    families = f", families {', '.join(told.families)}" if told.families else ""
    return (f"{peer} sent an OPEN: AS {told.asn}, hold time {told.hold} s, router ID {told.router_id}{families}",)


def _reset_told(session: SessionFacts) -> tuple[str, ...]:
    return (f"last reset: {session.last_reset}",) if session.last_reset else ()


def _cap_advice(e: Evidence, side: Side) -> str:
    if side == "cloud":
        return "Say how many prefixes you announce. (Or here: raise `bgp.receive_limit` if they are right.)"
    ordered = counted(len(e.interface.advertise), "prefix")
    return f"Announce less (`advertise` has {ordered}), or have the provider raise its cap."


def prefixes(e: Evidence) -> Outcome:
    """Prefixes are exchanged, within both ends' caps."""
    if not e.interface.sessions:
        return Outcome("ok", f"static routes to {', '.join(map(str, e.interface.static))}")
    if not e.facts.sessions:
        return Outcome("skipped", _NO_SESSION)
    session = _lacking(e)
    if session is not None:
        found = rules.why_not_established(e.facts, session)
        if found.layer == "prefixes":
            return _failed(found, _cap_advice(e, found.side), *_reset_told(session))
        return Outcome("unknown", "the session is not up")
    if (daemon := e.daemon) is not None and (daemon.verdict, daemon.layer) == ("down", "prefixes"):
        # Refused over and over it is up in between: only who watches it knows.
        return Outcome("failed", daemon.reason, daemon.side, (), _cap_advice(e, daemon.side))
    if (lack := rules.no_prefixes(e.facts)) is not None:
        advice = "Check that the VPC's prefixes are attached to the gateway and announced."
        if lack.side == "customer":
            advice = (
                "Bring the prefixes of `advertise` into this router's routing table: only what is there is announced."
            )
        accepted = ", ".join(str(one.prefix) for one in e.interface.accept) if e.interface.accept else "any"
        return _failed(lack, advice, f"accepted are: {accepted}")
    told = "; ".join(f"{s.peer}: {s.received} received, {s.advertised} announced" for s in e.facts.sessions)
    return Outcome("ok", told)


def bfd(e: Evidence) -> Outcome:
    """BFD is up where it is ordered."""
    if not any(session.bfd is not None for session in e.facts.sessions):
        return Outcome("skipped", "no BFD is ordered")
    if (found := rules.bfd_down(e.facts)) is not None and _lacking(e) is None:
        ordered = next((s.bfd for s in e.interface.sessions if s.bfd is not None), None)
        timers = f"{ordered.interval * 1000:.0f} ms × {ordered.multiplier}" if ordered is not None else "its timers"
        advice = f"Switch BFD on ({timers}), or say that there is none: until then failures are seen late."
        return _failed(found, advice, "BGP is established, so the path is sound")
    session = _lacking(e)
    if session is None:
        return Outcome("ok", "BFD is up")
    cause = rules.why_not_established(e.facts, session)
    if rules.kept_by_bfd(session):
        advice = (
            "Is the daemon running (`dcedge run`)? It sets the session up without BFD, which joins it then. Else order "
            "`bfd: false` until the cloud has BFD on, or install an FRR that does without (8.4 and 10.7 do)."
        )
        return _failed(cause, advice, *_reset_told(session))
    if cause.layer == "bfd":
        return _failed(cause, "Look again in a few seconds. If it goes on, packets get lost on the way.")
    return Outcome("unknown", "BGP is not established yet")


def forwarding(e: Evidence) -> Outcome:
    """The router forwards, and sends what is for the cloud this way."""
    if e.not_forwarding:
        text = f"this router does not forward: {', '.join(e.not_forwarding)} is 0"
        return Outcome("degraded", text, "customer", (), "The daemon sets these: is it running? Who sets them back?")
    for route in e.routes:
        if route.link not in route.expected:
            where = f"leaves by {route.link}" if route.link is not None else "has no route"
            text = f"traffic for {route.prefix} {where} instead of {' or '.join(route.expected)}"
            return Outcome("degraded", text, "customer", (), f"`ip route get` an address of {route.prefix}.")
    told = "; ".join(f"{route.prefix} leaves by {route.link}" for route in e.routes) or "the router forwards"
    if e.foreign_firewall:
        return Outcome("unknown", f"{told}; others' firewall chains may drop traffic", evidence=e.foreign_firewall)
    return Outcome("ok", told)


def rate(e: Evidence) -> Outcome:
    """What was ordered passes."""
    if (daemon := e.daemon) is not None and daemon.layer == "rate" and daemon.verdict == "degraded":
        ordered = f"{format_rate(e.facts.ordered_bps)} are ordered" if e.facts.ordered_bps else "see the order"
        advice = f"Check the rate limiter of this virtual interface: {ordered}."
        return Outcome("degraded", daemon.reason, daemon.side, (), advice)
    if (found := rules.failing_operations(e.facts)) is not None:
        return _failed(found, "`dcedge status` lists the operations that do not succeed; the daemon goes on trying.")
    if e.daemon is None:
        return Outcome("unknown", "only the daemon sets loss beside load, and it is not running")
    return Outcome("ok", "no loss under load")


# Each layer with its name for people, from the bottom up.
LAYERS: tuple[tuple[Layer, str, Callable[[Evidence], Outcome]], ...] = (
    ("order", "order", order),
    ("port", "port", port),
    ("light", "light", light),
    ("carrier", "carrier", carrier),
    ("lacp", "LACP", lacp),
    ("link", "link", link),
    ("frames", "tagged frames", frames),
    ("neighbour", "ARP and ND", neighbour),
    ("ping", "ping", ping),
    ("mtu", "path MTU", mtu),
    ("frr", "FRR", frr),
    ("tcp", "TCP 179", tcp),
    ("md5", "MD5", md5),
    ("open", "OPEN", opened),
    ("bfd", "BFD", bfd),
    ("prefixes", "prefixes", prefixes),
    ("forwarding", "forwarding", forwarding),
    ("rate", "ordered rate", rate),
)


def explain(e: Evidence) -> Explanation:
    """Walk the layers. The finding is the first that fails, else the first that is degraded."""
    steps: list[Step] = []
    failed = False
    for layer, title, rule in LAYERS:
        outcome = Outcome("skipped", "not reached") if failed else rule(e)
        steps.append(Step(layer, title, outcome.state, outcome.text, outcome.side, outcome.evidence, outcome.advice))
        failed = failed or outcome.state == "failed"
    finding = _first_of(steps, "failed") or _first_of(steps, "degraded") or _only_the_daemon(e)
    return Explanation(tuple(steps), finding)


def _first_of(steps: Iterable[Step], state: StepState) -> Step | None:
    return next((step for step in steps if step.state == state), None)


def _only_the_daemon(e: Evidence) -> Step | None:
    """What the daemon complains of though every layer looks well now."""
    daemon = e.daemon
    if daemon is None or daemon.verdict in {"up", "drained"} or e.facts.admin == "down":
        return None
    text = f"every layer looks well now; the daemon still has it as {daemon.verdict}: {daemon.reason}"
    advice = "Look again in a few seconds: the daemon waits for good news to last. `dcedge status` has its verdict."
    return Step(daemon.layer, "verdict", "degraded", text, daemon.side, (), advice)


def _counts(path: PathLook) -> str:
    rtt = f", {format_seconds(path.rtt)}" if path.rtt is not None else ""
    return f"{path.received} of {path.sent} pings to {path.destination} answered{rtt}"


def _vlan(e: Evidence) -> str:
    return _tags(tuple(tag.vlan_id for tag in e.interface.tags))


def _tags(tags: tuple[int, ...]) -> str:
    return f"VLAN {'.'.join(map(str, tags))}" if tags else "untagged"


def _customer(e: Evidence, session: SessionFacts) -> str:
    ordered = next((s for s in e.interface.sessions if str(s.cloud) == session.peer), None)
    return str(ordered.customer.ip) if ordered is not None else "this router"


def _dbm(power: float | None) -> str:
    return "unknown" if power is None else f"{power:.1f} dBm"


def _yes(value: bool | None, yes: str, no: str) -> str:
    return "unknown" if value is None else (yes if value else no)
