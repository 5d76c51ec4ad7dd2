"""An explanation as JSON, as a screen, and as the text that goes into a ticket to the provider."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypedDict

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dcedge.api.status import safe_text
from dcedge.explain.evidence import Evidence
from dcedge.explain.outcome import Explanation, LayerStep
from dcedge.monitor.health.advice import SIDES
from dcedge.units import format_rate, format_seconds

_STYLES = {"ok": "green", "degraded": "bold yellow", "failed": "bold red", "unknown": "yellow", "skipped": "dim"}


class StepDocument(TypedDict):
    """One layer's outcome."""

    layer: str
    title: str
    state: str
    text: str


class FindingDocument(TypedDict):
    """The fault: the lowest layer that fails, or the first that is degraded. `next_step_by`: who has to take it."""

    layer: str
    state: str
    side: str
    text: str
    evidence: list[str]
    next_step: str
    next_step_by: str


class DaemonDocument(TypedDict):
    """The daemon's verdict."""

    verdict: str
    reason: str
    layer: str
    side: str
    since: float | None


class ExplanationDocument(TypedDict):
    """What `dcedge explain --json` prints; `finding` is null where nothing is wrong, `ticket` then empty."""

    virtual_interface: str
    at: float
    finding: FindingDocument | None
    daemon: DaemonDocument | None
    steps: list[StepDocument]
    not_seen: list[str]
    ticket: str


def explanation_json(evidence: Evidence, explanation: Explanation) -> ExplanationDocument:
    """The explanation as plain JSON values."""
    finding, daemon = explanation.finding, evidence.daemon
    return {
        "virtual_interface": evidence.interface.name,
        "at": evidence.at,
        "finding": None
        if finding is None
        else {
            "layer": finding.layer,
            "state": finding.state,
            "side": finding.side,
            "text": safe_text(finding.text),
            "evidence": [safe_text(text) for text in finding.evidence],
            "next_step": finding.advice,
            "next_step_by": "customer" if finding.side == "customer" else "provider",
        },
        "daemon": None
        if daemon is None
        else {
            "verdict": daemon.verdict,
            "reason": safe_text(daemon.reason),
            "layer": daemon.layer,
            "side": daemon.side,
            "since": daemon.since,
        },
        "steps": [
            {"layer": step.layer, "title": step.title, "state": step.state, "text": safe_text(step.text)}
            for step in explanation.steps
        ],
        "not_seen": [safe_text(text) for text in evidence.unseen],
        "ticket": ticket(evidence, explanation),
    }


def print_explanation(console: Console, evidence: Evidence, explanation: Explanation) -> None:
    """Print the walk, the finding, and the text for a ticket where there is one to write."""
    finding, daemon = explanation.finding, evidence.daemon
    head = Text(evidence.interface.name, "bold")
    if daemon is not None:
        since = f" for {format_seconds(max(1.0, evidence.at - daemon.since))}" if daemon.since is not None else ""
        head.append(f"  {daemon.verdict}{since}: {safe_text(daemon.reason)}", "")
    console.print(head)
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for no_wrap in (True, True, False):
        table.add_column(no_wrap=no_wrap, overflow="fold")
    for step in explanation.steps:
        dim = "dim" if step.state == "skipped" else ""
        table.add_row(Text(step.state, _STYLES[step.state]), Text(step.title, dim), Text(safe_text(step.text), dim))
    console.print(table)
    console.print()
    for text in evidence.unseen:
        console.print(Text(f"not checked: {safe_text(text)}", "yellow"))
    if finding is None:
        console.print(Text("Nothing is wrong.", "bold green"))
        return
    console.print(Text.assemble(("Fault: ", "bold"), safe_text(finding.text)))
    console.print(Text.assemble(("Side: ", "bold"), SIDES[finding.side]))
    for text in finding.evidence:
        console.print(Padding(Text(f"- {safe_text(text)}"), (0, 0, 0, 2), expand=False))
    who = "Next, here: " if finding.side == "customer" else "Next, for the provider: "
    console.print(Text.assemble((who, "bold"), finding.advice))
    if finding.side != "customer":
        console.print()
        console.print(Text("For a ticket to the provider:", "bold"))
        for line in ticket(evidence, explanation).splitlines():
            console.print(Text(f"  {line}"), soft_wrap=True)


def ticket(evidence: Evidence, explanation: Explanation) -> str:
    """Plain text that a provider's engineer can act on; empty where nothing is wrong."""
    finding = explanation.finding
    return "" if finding is None else "\n".join(_ticket(evidence, explanation, finding))


def _ticket(e: Evidence, explanation: Explanation, finding: LayerStep) -> Iterator[str]:
    circuit, vi = e.circuit, e.interface
    identity = circuit.circuit_id or f"(no circuit ID known; our name for it: {circuit.connection})"
    about = f", {circuit.description}" if circuit.description else ""
    yield f"Circuit: {identity}{about}, {circuit.provider}"
    tags = f"VLAN {'.'.join(str(tag.vlan_id) for tag in vi.tags)}" if vi.tags else "untagged"
    rate = f", {format_rate(vi.rate_bps)}bit/s" if vi.rate_bps is not None else ""
    yield f"Virtual interface: {vi.name}, {tags}{rate}, MTU {vi.mtu}"
    for pair in vi.addresses:
        session = next((s for s in vi.sessions if s.cloud == pair.cloud), None)
        asns = (f" AS {session.customer_asn}", f" AS {session.cloud_asn}") if session is not None else ("", "")
        yield f"Addresses: customer {pair.customer}{asns[0]}, cloud {pair.cloud}{asns[1]}"
    if e.daemon is not None and e.daemon.since is not None and e.daemon.verdict != "up":
        yield f"Since: {_utc(e.daemon.since)} ({e.daemon.verdict})"
        if e.daemon.transitions > 2:
            yield f"In the last 24 hours its state has changed {e.daemon.transitions} times."
    yield f"Checked at: {_utc(e.at)}"
    yield f"Fault: {safe_text(finding.text)}"
    yield f"Faulty side as seen from here: {SIDES[finding.side].replace('this router (', '').rstrip(')')}"
    measured = [text for text in finding.evidence if text != finding.text]
    if measured:
        yield "Measured:"
        yield from (f"- {safe_text(text)}" for text in measured)
    well = [step for step in explanation.steps if step.state == "ok" and step.layer not in {"order", "link", "frr"}]
    if well:
        yield "Working below that:" if finding.state == "failed" else "Also working:"
        yield from (f"- {step.title}: {safe_text(step.text)}" for step in well)
    yield f"{'To do here' if finding.side == 'customer' else 'Please'}: {finding.advice}"


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
