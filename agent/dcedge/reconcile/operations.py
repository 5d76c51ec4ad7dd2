"""What an operation touches: the step of a pass that it belongs to, and its links."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from enum import Enum

from dcedge.firewall.objects import FirewallTable, GatewaySources, Guard
from dcedge.frr.resources import FrrBlock
from dcedge.kernel.link.resource import Link
from dcedge.kernel.ranks import RANK_ON_LINKS
from dcedge.kernel.resource import KernelResource
from dcedge.plan.diff import Operation, Plan, log_fields
from dcedge.plan.resource import Resource

log = logging.getLogger(__name__)

_LOGGED_OPERATIONS_MAX = 100


class PassStep(Enum):
    """The steps of carrying a plan out."""

    FIREWALL = "firewall"
    FRR = "FRR"
    LINKS = "links"  # and all removal
    ON_LINKS = "on links"  # ends of VRFs, addresses, routes, shapers


def step_of(operation: Operation) -> PassStep:
    """The step that an operation belongs to."""
    if isinstance(operation.resource, (FirewallTable, GatewaySources, Guard)):
        return PassStep.FIREWALL
    if isinstance(operation.resource, FrrBlock):
        return PassStep.FRR
    made = operation.after is not None
    return PassStep.ON_LINKS if made and operation.resource.rank >= RANK_ON_LINKS else PassStep.LINKS


def links_of(operation: Operation) -> set[str]:
    """The links that an operation changes or depends on, by name."""
    resource = operation.resource
    return set(resource.links) if isinstance(resource, KernelResource) else set()


def links_made(todo: Plan) -> frozenset[str]:
    """The VLAN links that a plan makes."""
    return frozenset(
        r.name for o in todo.operations if isinstance(r := o.after, Link) and r.tag is not None and not o.before
    )


def shows_at_links(operation: Operation) -> bool:
    """Whether an incremental pass over links (or FRR, or the firewall) shows if an operation is still to be done."""
    if step_of(operation) in {PassStep.FRR, PassStep.FIREWALL}:
        return True
    return not is_wide(operation.resource) and bool(links_of(operation))


def retried(operations: Iterable[Operation]) -> list[Operation]:
    """Those of what failed that any incremental pass tries again."""
    return [operation for operation in operations if shows_at_links(operation)]


def is_wide(resource: Resource, *, repaired: bool = False) -> bool:
    """Whether many links feel a change of it, as of a VRF or a bond; what is `repaired` by itself is seen by itself."""
    return isinstance(resource, KernelResource) and resource.wide and not (repaired and resource.for_the_router)


def log_operations(todo: Plan) -> None:
    """Log what is about to be done; of thousands of operations the first hundred, and the rest in numbers."""
    for operation in todo.operations[:_LOGGED_OPERATIONS_MAX]:
        log.info(
            "%s %s: %s (%s)", operation.action, operation.key, operation.brief(), operation.reason,
            extra=log_fields(operation),
        )  # fmt: skip
    more = Counter((operation.action, operation.key.type) for operation in todo.operations[_LOGGED_OPERATIONS_MAX:])
    for (action, resource_type), count in sorted(more.items()):
        log.info("%s %d more of resource type %s", action, count, resource_type)
