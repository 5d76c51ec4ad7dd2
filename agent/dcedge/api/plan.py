"""A plan, and what a pass did, as plain data: what `--json` and the control socket give. Its shape is stable."""

from __future__ import annotations

from collections.abc import Iterable

from dcedge.api.control.replies import AppliedReply, PlanDocument
from dcedge.api.plan_notes import mtu_notes
from dcedge.api.status import NOT_GUARDED, NOT_ISOLATED
from dcedge.logging.masking import hide
from dcedge.plan.diff import Plan
from dcedge.reconcile.desired import Intent
from dcedge.reconcile.result import PassResult, Preview


def plan_json(plan: Plan, notes: Iterable[str]) -> PlanDocument:
    """The plan as plain data."""
    return {
        "operations": [
            {
                "action": operation.action,
                "kind": operation.key.type,
                "name": operation.key.name,
                "description": operation.describe(),
                "changes": [
                    {"attribute": c.attribute, "before": c.before, "after": c.after, "disruption": c.disruption}
                    for c in operation.changes
                ],
                "reason": operation.reason,
                "disruption": operation.disruption,
                "affects": list(operation.affects),
                "refusal": operation.refusal,
            }
            for operation in plan.operations
        ],
        "disruption": plan.disruption,
        "notes": list(notes),
    }


def applied_json(result: PassResult, troubles: Iterable[str] = ()) -> AppliedReply:
    """What a pass did and could not do, as plain data; the control socket's answer to `apply` too.

    `troubles` are the state folder's, which keep nothing from being done.
    """
    return {
        "complete": result.complete,
        "duration_seconds": round(result.duration, 3),
        "done": plan_json(result.done, ()),
        "failures": [
            {"action": f.operation.action, "kind": f.operation.key.type, "name": f.operation.key.name,
             "text": hide(f.text), "affects": list(f.operation.affects)}
            for f in result.failures
        ],
        "notes": [
            *notes(result.intent, "" if result.frr_available else result.frr_detail, result.firewall_detail),
            *mtu_notes(result.done, result.intent),
            *([hide(result.frr_unsaved)] if result.frr_unsaved else []),
            *troubles,
        ],
    }  # fmt: skip


def preview_notes(preview: Preview) -> list[str]:
    """What a preview could not observe or does not change, and what its plan brings about elsewhere, in words."""
    looked = notes(preview.intent, preview.frr_detail, preview.firewall_detail)
    return [*looked, *preview.in_the_way, *mtu_notes(preview.plan, preview.intent)]


def notes(intent: Intent, frr_detail: str, firewall_detail: str) -> list[str]:
    """What a pass could not observe or did not change, in words."""
    said = [
        f"{name}: {hide(str(problem))}; its BGP sessions stay unchanged"
        for name, problem in intent.missing_credentials.items()
    ]
    if frr_detail:
        said.append(f"FRR: {hide(frr_detail)}; changes to FRR are deferred")
    if firewall_detail and intent.firewall:
        isolated = intent.order is not None and intent.order.router.isolation
        said.append(f"{NOT_ISOLATED if isolated else NOT_GUARDED}: {hide(firewall_detail)}")
    return said
