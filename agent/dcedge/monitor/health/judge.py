"""From the facts of one virtual interface to one verdict with its reason. Pure.

RULES is read from top to bottom, from the order down to the prefixes; the first rule that has something to say
gives the verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dcedge.monitor.health.facts import Facts
from dcedge.monitor.health.rules.bfd import bfd_down, bfd_slow
from dcedge.monitor.health.rules.forwarding import led_elsewhere, next_hop_unresolved, not_forwarding, not_installed
from dcedge.monitor.health.rules.lateness import late_itself
from dcedge.monitor.health.rules.link import link_missing, link_shut, neighbour_lost
from dcedge.monitor.health.rules.order import as_ordered, failing_operations, ordered_down
from dcedge.monitor.health.rules.own_losses import lost_itself
from dcedge.monitor.health.rules.path import full_size_lost, lossy, policed, static_unreachable
from dcedge.monitor.health.rules.port import (
    half_duplex,
    member_lacking,
    no_carrier,
    no_lacp_partner,
    port_missing,
    port_shut,
    slower_than_ordered,
    weak_light,
)
from dcedge.monitor.health.rules.routes import no_prefixes, over_receive_limit
from dcedge.monitor.health.rules.session import frr_absent, sessions_down, sessions_missing
from dcedge.monitor.health.verdict import Verdict

Rule = Callable[[Facts], Verdict | None]


def drained(facts: Facts) -> Verdict | None:
    """An operator moved its traffic away; what else is wrong with it is said too."""
    if not facts.drained:
        return None
    beneath = judge(replace(facts, drained=False, router_late=0.0, own_losses=()))
    reason = "drained by an operator"
    if facts.carries:
        reason += f", but still carries {facts.carries}"
    if facts.static:
        reason += "; it is static, so the drain cannot be announced"
    if beneath.state != "up":
        reason += f"; it is also {beneath.state}: {beneath.reason}"
    return Verdict("drained", reason, beneath.layer, beneath.side)


RULES: tuple[Rule, ...] = (
    ordered_down,
    drained,
    port_missing,
    port_shut,
    no_carrier,
    no_lacp_partner,
    link_missing,
    link_shut,
    not_forwarding,
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
    next_hop_unresolved,
    not_installed,
    led_elsewhere,
    over_receive_limit,
    half_duplex,
    slower_than_ordered,
    failing_operations,
    bfd_slow,
    lossy,
    as_ordered,
)


def judge(facts: Facts) -> Verdict:
    """The verdict on one virtual interface: the first rule's that applies, with this router's part in it."""
    verdict = next(verdict for rule in RULES if (verdict := rule(facts)) is not None)
    return late_itself(facts, lost_itself(facts, verdict))
