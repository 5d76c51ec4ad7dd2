"""VRFs: made in a free table, removed without a loss for who stays; the rule that leads in, the end of the way out."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.context import FINE_ON_REMOVAL, GONE_WITH_VRF, THERE_ALREADY, Context, Step
from dcedge.kernel.link.view import dump_links
from dcedge.kernel.naming import VRF_ALIAS, free_table
from dcedge.kernel.vrf.resource import VERSIONS, Unreachable, Vrf, VrfRule
from dcedge.kernel.vrf.view import tables_in_use
from dcedge.plan.diff import Operation


def vrf_steps(context: Context, operation: Operation, before: Vrf | None, after: Vrf | None) -> Iterator[Step]:
    """What is in it leaves it first; it goes by itself, once that is through."""
    if after is None:
        assert before is not None
        if not before.foreign and (gone := context.indices.take(before.name)) is not None:
            yield from _release(context, operation, gone)
            # They are on no link that would take them along.
            for version in VERSIONS:
                yield Step(operation, m.unreachable(version, before.table, add=False), GONE_WITH_VRF)
            context.going[before.name] = Step(operation, m.delete_link(gone), FINE_ON_REMOVAL)
    elif before is None:
        if context.tables_taken is None:
            context.tables_taken = tables_in_use(context.sock)
        table = context.tables[after.name] = free_table(after.table, context.tables_taken)
        context.tables_taken.add(table)
        index = context.new_index(after.name)
        yield Step(operation, m.create_vrf(index, after.name, table))
        yield Step(operation, m.set_link(index, alias=VRF_ALIAS + after.name, conf4=after.conf4))
        # The kernel makes them with its first VRF and never again.
        for version in VERSIONS:
            yield Step(operation, m.vrf_rule(version), THERE_ALREADY | GONE_WITH_VRF)
    else:
        conf4 = after.conf4 if not before.foreign and after.conf4 != before.conf4 else ()
        yield Step(operation, m.set_link(context.index(after.name), up=True, conf4=conf4))


def way_steps(
    context: Context,
    operation: Operation,
    _: VrfRule | Unreachable | None,
    way: VrfRule | Unreachable | None,
) -> Iterator[Step]:
    """Nothing is to be removed: the rule is the kernel's, and the end of a table goes with its VRF."""
    if way is None:
        return
    if isinstance(way, VrfRule):
        yield Step(operation, m.vrf_rule(way.version), THERE_ALREADY)
    else:
        yield Step(operation, m.unreachable(way.version, context.table(way.vrf), add=True))


def _release(context: Context, operation: Operation, vrf: int) -> Iterator[Step]:
    """What stays when its VRF goes leaves it before, while its IPv6 addresses can still be read."""
    for link in dump_links(context.sock):
        if link.master == vrf and link.name in context.indices:
            yield Step(operation, m.set_link(link.index, master=0), FINE_ON_REMOVAL)
            yield from context.put_back_ipv6(operation, *context.with_vlans(link.index))
