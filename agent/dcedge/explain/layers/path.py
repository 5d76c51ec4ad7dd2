"""From the order and the port up to the path: what is below any session."""

from __future__ import annotations

from dcedge.explain.evidence import Evidence
from dcedge.explain.outcome import (
    FIREWALL,
    LayerOutcome,
    StepState,
    counts_text,
    evidence_before,
    failing,
    first_of,
    tags_text,
    vlan_text,
)
from dcedge.monitor.health.rules import link as link_rules
from dcedge.monitor.health.rules import order as order_rules
from dcedge.monitor.health.rules import path as path_rules
from dcedge.monitor.health.rules import port as port_rules
from dcedge.units import counted, format_rate, format_seconds


def order(e: Evidence) -> LayerOutcome:
    """The order itself has it down, or an operator drained it."""
    if (found := order_rules.ordered_down(e.facts)) is not None:
        return failing(found, "No fault: set `admin: up` in the order to use it.")
    if e.facts.drained:
        return LayerOutcome(
            "ok", "ordered up; drained by an operator, so no traffic is sent this way (`dcedge undrain`)"
        )
    return LayerOutcome("ok", "ordered up" if e.facts.admin == "up" else "planned: it is built, and raises no alert")


def port(e: Evidence) -> LayerOutcome:
    """The port exists and is set up."""
    if (found := first_of(e.facts, port_rules.port_missing, port_rules.port_shut)) is not None:
        name = e.facts.port.name
        missing = "Check the order's `port`, the driver and `ip link`: the card is missing, or its name has changed."
        return failing(
            found, f"`ip link set {name} up`; find out what set it down." if e.facts.port.present else missing
        )
    return LayerOutcome("ok", f"{e.facts.port.name} exists and is up")


def light(e: Evidence) -> LayerOutcome:
    """Light leaves and arrives, as the transceiver measures it."""
    evidence = tuple(
        f"{name}: {optics.vendor} {optics.part} {optics.serial}: receives {_dbm(optics.receive_dbm)} (alarm below "
        f"{_dbm(optics.receive_alarm_dbm)}), sends {_dbm(optics.transmit_dbm)}"
        + "".join(f"; {alarm}" for alarm in optics.alarms)
        for name, optics in e.port.optics
    )
    found = port_rules.no_carrier(e.facts)
    if found is not None and found.layer == "light":
        return failing(
            found,
            "Check that your port sends light, and the fibre in between: patch panel, cross-connect, receive and "
            "transmit swapped.",
            *evidence,
        )
    if (found := port_rules.weak_light(e.facts)) is not None:
        advice = "Clean the connectors and measure the fibre end to end."
        if found.side == "customer":
            advice = "Replace this router's transceiver."
        return failing(found, advice, *evidence)
    if not evidence:
        return LayerOutcome("unknown", f"{e.facts.port.name} does not report its optical power")
    return LayerOutcome("ok", "; ".join(evidence))


def carrier(e: Evidence) -> LayerOutcome:
    """The port has a carrier."""
    counts = e.port
    changes = f"{e.facts.port.name}'s carrier has changed {counts.carrier_changes} times since boot"
    found = port_rules.no_carrier(e.facts)
    if found is not None and found.layer == "carrier":
        advice = (
            "Check your port (up, same speed, auto-negotiation and FEC) and the fibre to it. On this side, reseat the "
            "transceiver and measure the light with a power meter."
        )
        return failing(found, advice, changes)
    errors = counts.receive_errors + counts.transmit_errors
    drops = counts.receive_dropped + counts.transmit_dropped
    mode = counts.mode
    speed = format_rate(mode.speed_mbps * 1e6) if mode is not None and mode.speed_mbps else "speed unknown"
    duplex = f", {mode.duplex} duplex" if mode is not None and mode.duplex else ""
    text = f"carrier, {speed}{duplex}; {changes}; {counted(errors, 'frame')} in error, {drops} dropped"
    if (found := port_rules.half_duplex(e.facts)) is not None:
        return failing(found, "Set the same auto-negotiation at both ends.", text)
    if (found := port_rules.slower_than_ordered(e.facts)) is not None:
        advice = (
            f"Ask the provider what speed their port has, and set the same auto-negotiation at both ends; `ethtool "
            f"{e.facts.port.name}` shows what each end offers. If the slower port is meant, order its speed as the "
            f"bandwidth of {e.facts.port.connection}."
        )
        return failing(found, advice, text)
    return LayerOutcome("ok", text)


def lacp(e: Evidence) -> LayerOutcome:
    """Every member of a bond carries traffic, and the partner agrees."""
    members = e.facts.port.members
    if not members:
        return LayerOutcome("skipped", "the port is not a bond")
    evidence = tuple(
        f"{member.name}: {'carrier' if member.carrier else 'no carrier'}, "
        f"{_yes(member.partner, 'LACPDUs heard', 'no LACPDU heard')}, "
        f"{_yes(member.in_use, 'collecting and distributing at both ends', 'not in use at both ends')}"
        for member in members
    )
    found = port_rules.no_carrier(e.facts)
    if found is None or found.layer != "lacp":
        found = first_of(e.facts, port_rules.no_lacp_partner, port_rules.member_lacking)
    if found is None:
        return LayerOutcome("ok", f"all {len(members)} members of {e.facts.port.name} carry traffic")
    advice = {
        "line": "Check the fibre and your port of that member.",
        "cloud": "Check your LAG: LACP active on every member, the same key, no member blocked.",
        "customer": "Bring that member up on this router, and into the bond.",
        "unknown": "Check each member's fibre and LACP at both ends.",
    }[found.side]
    return failing(found, advice, *evidence)


def link(e: Evidence) -> LayerOutcome:
    """The virtual interface's own link is there and up."""
    if (found := first_of(e.facts, link_rules.link_missing, link_rules.link_shut)) is not None:
        advice = "Check that the daemon runs (`dcedge run`), else run `dcedge apply`: it shows what the kernel refuses."
        return LayerOutcome("failed", found.reason, found.side, e.facts.failing, advice)
    return LayerOutcome("ok", f"{e.facts.link.name} is up, {vlan_text(e)}, MTU {e.interface.mtu}")


def frames(e: Evidence) -> LayerOutcome:
    """Frames come in with the ordered tag."""
    probe = next((p for p in e.facts.probes if p.neighbour is False), None)
    found = link_rules.nothing_heard(e.facts, probe) if probe is not None else None
    if found is None:
        return LayerOutcome("ok", f"frames arrive, {vlan_text(e)}")
    strangers = e.capture.strangers if e.capture is not None else ()
    if strangers:
        first = strangers[0]
        seen = f"ordered {vlan_text(e)}, seeing {tags_text(first.tags)} from {first.hardware_address}"
        if first.address is not None:
            seen += f" ({first.address})"
        advice = (
            f"Set this virtual interface to {vlan_text(e)} on your side. (Or here: order the one that the cloud uses.)"
        )
        evidence = tuple(
            f"{tags_text(s.tags)} from {s.hardware_address} ({s.address or 'no address seen'})" for s in strangers
        )
        return LayerOutcome("failed", seen, "cloud", (found.reason, *evidence, *evidence_before(e)), advice)
    seconds = f" in {format_seconds(e.capture.seconds)} of capture" if e.capture is not None else ""
    advice = (
        f"Check that the virtual interface exists on your port, {vlan_text(e)}, and that every switch "
        "on the way passes it. Some clouds send nothing before they see a tagged frame: this router has sent ARP."
    )
    evidence = (f"no unknown tag was seen either{seconds}", *evidence_before(e))
    return LayerOutcome("failed", found.reason, "cloud", evidence, advice)


def neighbour(e: Evidence) -> LayerOutcome:
    """The cloud's address answers ARP or neighbour discovery."""
    for probe in e.facts.probes:
        found = link_rules.no_neighbour(e.facts, probe)
        if found is None:
            continue
        others = [pair for pair in (e.capture.neighbours if e.capture is not None else ()) if ":" in pair[1]]
        version = 6 if probe.family == "ipv6" else 4
        others = [pair for pair in others if (":" in pair[0]) is (version == 6) and pair[0] != probe.destination]
        if others:
            address, hardware = others[0]
            text = f"the cloud uses {address} ({hardware}) where the order says {probe.destination}"
            advice = f"Set {probe.destination} as your address. (Or here: put {address} into the order.)"
            return LayerOutcome("failed", text, "cloud", (found.reason, *evidence_before(e)), advice)
        advice = f"Check that {probe.destination} is set there ({vlan_text(e)}) and answers {probe.protocol}."
        asked = f"{probe.protocol} requests for {probe.destination} were sent and not answered"
        return failing(found, advice, asked, *evidence_before(e))
    evidence = [
        f"{path.destination} is {path.hardware_address}" for path in e.paths if path.hardware_address is not None
    ]
    if evidence:
        return LayerOutcome("ok", "; ".join(evidence))
    if any(path.received for path in e.paths) or any(session.established for session in e.facts.sessions):
        return LayerOutcome("ok", "the cloud's addresses are reachable")
    return LayerOutcome("unknown", "not tested")


def ping(e: Evidence) -> LayerOutcome:
    """Pings are answered; where not, whether that matters."""
    for path in e.paths:
        if path.refused is not None:
            text = f"this router cannot send to {path.destination}: {path.refused}"
            return LayerOutcome("failed", text, "customer", e.foreign_firewall, FIREWALL)
        heard = e.capture is not None and path.destination in e.capture.replies
        if path.sent and not path.received and heard:
            text = f"{path.destination} answers pings, but a firewall on this router drops the answers"
            return LayerOutcome("failed", text, "customer", e.foreign_firewall, FIREWALL)
    silent = [path for path in e.paths if path.sent and not path.received]
    live = {session.peer for session in e.facts.sessions if session.established}
    if silent and all(path.destination in live for path in silent):
        text = f"{silent[0].destination} answers no pings, while BGP with it is up: it filters ICMP"
        return LayerOutcome("ok", text, "cloud")
    if silent:
        text = f"{silent[0].destination} answers no pings"
        return LayerOutcome("unknown", text, "cloud", (counts_text(silent[0]),))
    if (daemon := e.daemon) is not None and daemon.layer == "ping" and daemon.verdict in {"up", "degraded"}:
        state: StepState = "ok" if daemon.verdict == "up" else "degraded"
        advice = "Check the path for packet loss at the times given; it is measured at least once a second."
        return LayerOutcome(state, daemon.reason, daemon.side, tuple(map(counts_text, e.paths)), advice)
    if not e.paths:
        return LayerOutcome("unknown", "not tested")
    return LayerOutcome("ok", "; ".join(map(counts_text, e.paths)))


def mtu(e: Evidence) -> LayerOutcome:
    """A packet of the ordered MTU passes unfragmented."""
    if (found := path_rules.full_size_lost(e.facts)) is not None:
        path = next(path for path in e.paths if path.path_mtu is not None and path.path_mtu < e.interface.mtu)
        advice = (
            f"Check the MTU of the whole path: {e.interface.mtu} bytes of IP are ordered. Until then "
            "transfers that do not lower their segment size hang."
        )
        largest = f"the largest packet that {path.destination} answers has {path.path_mtu} bytes of IP"
        return failing(found, advice, largest)
    if (daemon := e.daemon) is not None and daemon.layer == "mtu" and not any(path.path_mtu for path in e.paths):
        return LayerOutcome("degraded", daemon.reason, daemon.side)
    evidence = [f"{path.path_mtu} bytes pass to {path.destination}" for path in e.paths if path.path_mtu is not None]
    if evidence:
        return LayerOutcome("ok", "; ".join(evidence))
    lossy = any(path.received for path in e.paths)
    return LayerOutcome("unknown", "too much packet loss to measure it" if lossy else "not tested")


def _dbm(power: float | None) -> str:
    return "unknown" if power is None else f"{power:.1f} dBm"


def _yes(value: bool | None, yes: str, no: str) -> str:
    return "unknown" if value is None else (yes if value else no)
