"""The virtual interface's own link: that it is there, frames come in on it, and the cloud answers ARP or ND."""

from __future__ import annotations

from dataclasses import replace

from dcedge.monitor.health.facts import Facts, ProbeFacts
from dcedge.monitor.health.verdict import Verdict
from dcedge.order.field_types import Seconds
from dcedge.units import format_seconds

# A link on which ARP fails is silent for longer than its tries are apart; one whose ARP entry is still believed, for
# longer than probes that get an answer are.
NOTHING_HEARD: Seconds = 3
_SURELY_NOTHING_HEARD: Seconds = 10


def link_missing(facts: Facts) -> Verdict | None:
    """Its link is not made yet."""
    if facts.link.present:
        return None
    why = f": {facts.failing[0]}" if facts.failing else " yet"
    return Verdict("pending", f"its link {facts.link.name} does not exist{why}", "link", "customer")


def link_shut(facts: Facts) -> Verdict | None:
    """Someone set the link down."""
    if facts.link.admin_up:
        return None
    return Verdict("down", f"its link {facts.link.name} is set down on this router", "link", "customer")


def neighbour_lost(facts: Facts) -> Verdict | None:
    """Who answers no ARP or ND gets no packet any more, whatever BGP believes until its hold time is over."""
    lost = [probe for probe in facts.probes if probe.neighbour is False]
    found = (nothing_heard(facts, lost[0]) or no_neighbour(facts, lost[0])) if lost else None
    if found is not None and len(lost) < len(facts.probes):
        return replace(found, state="degraded")
    return found


def nothing_heard(facts: Facts, probe: ProbeFacts | None) -> Verdict | None:
    """Not one frame comes in on its VLAN, though the cloud's address is asked for."""
    silent = facts.link.silent
    if silent is None or silent < NOTHING_HEARD:
        return None
    if probe is not None and probe.neighbour is not False and (probe.answers or silent < _SURELY_NOTHING_HEARD):
        return None
    where = f"VLAN {facts.link.vlan}" if facts.link.vlan else "this untagged port"
    reason = (
        f"no frame is received on {where} ({facts.link.name}) for {format_seconds(silent)}: another VLAN at the cloud"
    )
    return Verdict("down", f"{reason}, or nothing configured there", "frames", "cloud")


def no_neighbour(_: Facts, probe: ProbeFacts | None) -> Verdict | None:
    """Frames come in, but the cloud's address answers neither ARP nor ND."""
    if probe is None or probe.neighbour is not False:
        return None
    reason = f"{probe.destination} does not answer {probe.protocol}: another address at the cloud, or a filter"
    return Verdict("down", reason, "neighbour", "cloud")
