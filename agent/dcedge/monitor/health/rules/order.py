"""The order itself: what it has down, and what of it could not be done."""

from __future__ import annotations

from dcedge.monitor.health.facts import Facts
from dcedge.monitor.health.verdict import Verdict


def ordered_down(facts: Facts) -> Verdict | None:
    """The order has it down."""
    if facts.admin == "down":
        return Verdict("down", "it is administratively down in the order", "order", "customer")
    return None


def failing_operations(facts: Facts) -> Verdict | None:
    """It carries traffic, but is not what was ordered."""
    if not facts.failing:
        return None
    return Verdict("degraded", f"not as ordered: {'; '.join(facts.failing)}", "order", "customer")


def as_ordered(_: Facts) -> Verdict:
    """Nothing to complain of."""
    return Verdict("up", "as ordered")
