"""The walk from the light to what crosses the line: one rule a layer, evidence in, a step out. Pure.

It ends at the first layer that fails; what is merely degraded is noted on the way. The rules are the verdict's own
where the daemon can know the same by itself, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from dcedge.explain.evidence import Evidence
from dcedge.explain.layers import path, routes, session
from dcedge.explain.outcome import Explanation, LayerOutcome, LayerStep, StepState
from dcedge.monitor.health.facts import Facts
from dcedge.monitor.health.rules.lateness import ADVICE, late_itself
from dcedge.monitor.health.rules.own_losses import advice, lost_itself
from dcedge.monitor.health.verdict import Layer, Verdict

# Each layer with its name for people, from the bottom up.
LAYERS: tuple[tuple[Layer, str, Callable[[Evidence], LayerOutcome]], ...] = (
    ("order", "order", path.order),
    ("port", "port", path.port),
    ("light", "light", path.light),
    ("carrier", "carrier", path.carrier),
    ("lacp", "LACP", path.lacp),
    ("link", "link", path.link),
    ("frames", "tagged frames", path.frames),
    ("neighbour", "ARP and ND", path.neighbour),
    ("ping", "ping", path.ping),
    ("mtu", "path MTU", path.mtu),
    ("frr", "FRR", session.frr),
    ("tcp", "TCP 179", session.tcp),
    ("md5", "MD5", session.md5),
    ("open", "OPEN", session.opened),
    ("bfd", "BFD", session.bfd),
    ("prefixes", "prefixes", routes.prefixes),
    ("forwarding", "forwarding", routes.forwarding),
    ("rate", "ordered rate", routes.rate),
)


def explain(e: Evidence) -> Explanation:
    """Walk the layers. The finding is the first that fails, else the first that is degraded."""
    steps: list[LayerStep] = []
    failed = False
    for layer, title, rule in LAYERS:
        outcome = LayerOutcome("skipped", "not reached") if failed else rule(e)
        steps.append(
            LayerStep(layer, title, outcome.state, outcome.text, outcome.side, outcome.evidence, outcome.advice)
        )
        failed = failed or outcome.state == "failed"
    finding = _first_of(steps, "failed") or _first_of(steps, "degraded") or _only_the_daemon(e)
    losses = e.facts.own_losses
    finding = _with_own_part(e, finding, lost_itself, advice(losses[0]) if losses else "")
    return Explanation(tuple(steps), _with_own_part(e, finding, late_itself, ADVICE))


def _with_own_part(
    e: Evidence, finding: LayerStep | None, judged_anew: Callable[[Facts, Verdict], Verdict], to_do: str
) -> LayerStep | None:
    """The finding, with this router's own part in it where there may be one, and the daemon has not said so."""
    if finding is None:
        return None
    judged = judged_anew(e.facts, Verdict("degraded", finding.text, finding.layer, finding.side))
    added = judged.reason.removeprefix(finding.text)
    if not added or added in finding.text:
        return finding
    return replace(finding, text=judged.reason, side=judged.side, advice=to_do)


def _first_of(steps: Iterable[LayerStep], state: StepState) -> LayerStep | None:
    return next((step for step in steps if step.state == state), None)


def _only_the_daemon(e: Evidence) -> LayerStep | None:
    """What the daemon complains of though every layer looks well now."""
    daemon = e.daemon
    if daemon is None or daemon.verdict in {"up", "drained"} or e.facts.admin == "down":
        return None
    text = f"no layer fails now, but the daemon still reports {daemon.verdict}: {daemon.reason}"
    advice = "Check again in a few seconds: the daemon waits until a recovery lasts. `dcedge status` has its verdict."
    return LayerStep(daemon.layer, "verdict", "degraded", text, daemon.side, (), advice)
