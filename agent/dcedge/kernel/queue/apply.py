"""What shapes the way out, and the way in."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from pyroute2.netlink.rtnl import RTM_DELQDISC, RTM_DELTCLASS, RTM_DELTFILTER

from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.context import FINE_ON_REMOVAL, Context, Step
from dcedge.kernel.naming import INGRESS_ALIAS
from dcedge.kernel.queue import messages as q
from dcedge.kernel.queue.resource import Ingress, Shaper
from dcedge.kernel.queue.tree import tree_requests
from dcedge.kernel.queue.view import ingress_filters
from dcedge.plan.diff import Operation


def shaper_steps(context: Context, operation: Operation, before: Shaper | None, after: Shaper | None) -> Iterator[Step]:
    """Part by part where a tree stands already."""
    link = (after or before).link  # type: ignore[union-attr]
    index = context.index(link)
    if before is not None and before.foreign is not None:
        return
    if after is None:
        yield Step(operation, q.delete_root(index), FINE_ON_REMOVAL)
        return
    assert after.tree is not None
    steps = tree_requests(index, before.tree if before is not None else None, after.tree)
    for request in steps:
        removal = request.message_type in {RTM_DELQDISC, RTM_DELTCLASS, RTM_DELTFILTER}
        yield Step(operation, request, FINE_ON_REMOVAL if removal else frozenset())


def ingress_steps(
    context: Context, operation: Operation, before: Ingress | None, after: Ingress | None
) -> Iterator[Step]:
    """A device of its own, and the way there."""
    fine = FINE_ON_REMOVAL | {errno.EINVAL}  # what is gone already, and a link without filters
    link = (after or before).link  # type: ignore[union-attr]
    index = context.indices.get(link)
    if after is None:
        assert before is not None
        if index is not None:
            others = any(to is None for to, _ in ingress_filters(context.sock, index))
            yield Step(operation, q.delete_redirect(index), fine)
            if not others:
                yield Step(operation, q.delete_ingress_qdisc(index), fine)
        if (device := context.indices.take(before.device)) is not None:
            yield Step(operation, m.delete_link(device), fine)
        return
    assert after.tree is not None
    device = context.indices.get(after.device)
    if before is None or device is None:
        if device is not None:
            yield Step(operation, m.delete_link(device), fine)
        device = context.new_index(after.device)
        yield Step(operation, m.create_ifb(device, after.device))
        yield Step(operation, m.set_link(device, alias=INGRESS_ALIAS + link))
        before = None
    for request in tree_requests(device, before.tree if before is not None else None, after.tree):
        yield Step(operation, request)
    if before is None or not before.redirected:
        index = context.index(link)
        yield Step(operation, m.set_link(device, up=True))
        yield Step(operation, q.ingress_qdisc(index), frozenset({errno.EEXIST}))
        yield Step(operation, q.delete_redirect(index), fine)
        yield Step(operation, q.redirect(index, device))
