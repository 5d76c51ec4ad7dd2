"""What the walk says of each layer, and the words that several layers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dcedge.explain.evidence import Evidence, PathCheck
from dcedge.monitor.health.facts import Facts, SessionFacts
from dcedge.monitor.health.notifications import said_by_cloud
from dcedge.monitor.health.verdict import Layer, Side, Verdict
from dcedge.units import format_seconds

StepState = Literal["ok", "degraded", "failed", "unknown", "skipped"]


@dataclass(frozen=True, slots=True)
class LayerStep:
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

    steps: tuple[LayerStep, ...]
    finding: LayerStep | None


@dataclass(frozen=True, slots=True)
class LayerOutcome:
    """What a rule says; its layer and title are added by the walk."""

    state: StepState
    text: str
    side: Side = "unknown"
    evidence: tuple[str, ...] = ()
    advice: str = ""


def failing(found: Verdict, advice: str, *evidence: str) -> LayerOutcome:
    """What a rule of the verdict found, as a step's outcome."""
    state: StepState = "degraded" if found.state == "degraded" else "failed"
    return LayerOutcome(state, found.reason, found.side, evidence, advice)


def first_of(facts: Facts, *of: Callable[[Facts], Verdict | None]) -> Verdict | None:
    """What the first of several rules has to say."""
    return next((found for rule in of if (found := rule(facts)) is not None), None)


FIREWALL = (
    "Check this router's firewall (`nft list ruleset`, `tc filter show`): let ICMP, BGP (TCP 179) and BFD "
    "(UDP 3784) of this virtual interface pass."
)
NO_SESSION = "no session is known"


def evidence_before(e: Evidence) -> tuple[str, ...]:
    """What the cloud itself has said, before it could not be reached any more."""
    return tuple(text for s in e.facts.sessions if said_by_cloud(s.last_reset) for text in reset_evidence(s))


def lacking(e: Evidence) -> SessionFacts | None:
    """A session that is not up."""
    return next((session for session in e.facts.sessions if not session.established), None)


def reset_evidence(session: SessionFacts) -> tuple[str, ...]:
    """Why it was lost the last time, in FRR's words."""
    return (f"last reset: {session.last_reset}",) if session.last_reset else ()


def counts_text(path: PathCheck) -> str:
    """How many pings were answered."""
    rtt = f", {format_seconds(path.rtt)}" if path.rtt is not None else ""
    return f"{path.received} of {path.sent} pings to {path.destination} answered{rtt}"


def vlan_text(e: Evidence) -> str:
    """The ordered tags, in words."""
    return tags_text(tuple(tag.vlan_id for tag in e.interface.tags))


def tags_text(tags: tuple[int, ...]) -> str:
    """Tags in words."""
    return f"VLAN {'.'.join(map(str, tags))}" if tags else "untagged"


def customer_of(e: Evidence, session: SessionFacts) -> str:
    """This router's address of a session."""
    ordered = next((s for s in e.interface.sessions if str(s.cloud) == session.peer), None)
    return str(ordered.customer.ip) if ordered is not None else "this router"
