"""A plan, and what a pass did, as plain data: what `--json` and the control socket give. Its shape is stable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dcedge.expose.document import NOT_GUARDED, NOT_ISOLATED
from dcedge.intent import Intent
from dcedge.masking import hide
from dcedge.plan import Plan
from dcedge.reconcile import PassResult


def plan_json(plan: Plan, notes: Iterable[str]) -> dict[str, object]:
    """The plan as plain data."""
    return {
        "operations": [
            {
                "action": operation.action,
                "kind": operation.key.kind,
                "name": operation.key.name,
                "description": operation.describe(),
                "changes": [
                    {"attribute": c.attribute, "before": c.before, "after": c.after, "disruption": c.disruption}
                    for c in operation.changes
                ],
                "reason": operation.reason,
                "disruption": operation.disruption,
                "affects": list(operation.affects),
            }
            for operation in plan.operations
        ],
        "disruption": plan.disruption,
        "notes": list(notes),
    }


def applied_json(result: PassResult, troubles: Iterable[str] = ()) -> dict[str, Any]:
    """What a pass did and could not do, as plain data; the control socket's answer to `apply` too.

    `troubles` are the state folder's, which keep nothing from being done.
    """
    return {
        "complete": result.complete,
        "duration_seconds": round(result.duration, 3),
        "done": plan_json(result.done, ()),
        "failures": [
            {"action": f.operation.action, "kind": f.operation.key.kind, "name": f.operation.key.name,
             "text": hide(f.text), "affects": list(f.operation.affects)}
            for f in result.failures
        ],
        "notes": [
            *notes(result.intent, "" if result.frr_available else result.frr_detail, result.firewall_detail),
            *([hide(result.frr_unsaved)] if result.frr_unsaved else []),
            *troubles,
        ],
    }  # fmt: skip


def notes(intent: Intent, frr_detail: str, firewall_detail: str) -> list[str]:
    """What a pass could not look at or left alone, in words."""
    said = [f"{name}: {hide(str(problem))}; its BGP stays as it is" for name, problem in intent.withheld.items()]
    if frr_detail:
        said.append(f"FRR: {hide(frr_detail)}; its part waits")
    if firewall_detail and intent.firewall:
        isolated = intent.order is not None and intent.order.router.isolation
        said.append(f"{NOT_ISOLATED if isolated else NOT_GUARDED}: {hide(firewall_detail)}")
    return said
