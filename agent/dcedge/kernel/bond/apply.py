"""LACP bonds (bonding.rst)."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator

from dcedge.errors import KernelError
from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.bond.resource import Bond, Member
from dcedge.kernel.context import FINE_ON_REMOVAL, THERE_ALREADY, Context, Step
from dcedge.kernel.naming import BOND_ALIAS, bond_altname
from dcedge.plan.diff import Operation
from dcedge.plan.resource import Key


def steps(context: Context, operation: Operation, before: Bond | None, after: Bond | None) -> Iterator[Step]:
    """Members that stay go on carrying traffic."""
    if after is None:
        assert before is not None
        if not before.foreign and (gone := context.indices.take(before.name)) is not None:
            yield Step(operation, m.delete_link(gone), FINE_ON_REMOVAL)
            for member in before.members:
                yield from _lit_again(context, operation, context.index(member))
        return
    if before is None:
        yield from _make_bond(context, operation, after)
        return
    index = context.index(after.name)
    if before.lacp_rate != after.lacp_rate:
        yield Step(operation, m.set_link(index, up=False))
        yield Step(operation, m.change_bond(index, lacp_rate=after.lacp_rate))
        yield Step(operation, m.set_link(index, up=True))
        yield from context.put_back_ipv6(operation, *context.with_vlans(index))
    if before.min_links != after.min_links:
        yield Step(operation, m.change_bond(index, min_links=after.min_links))
    yield from _enslave(context, operation, index, [name for name in after.members if name not in before.members])


def released_members(context: Context, operations: Iterable[Operation]) -> Iterator[Step]:
    """Take members out of the bonds that lose them, before any other bond is to have them."""
    for operation in operations:
        before, after = operation.before, operation.after
        if not isinstance(before, Bond) or not isinstance(after, Bond) or operation.refusal:
            continue
        for member in before.members:
            if member not in after.members and (index := context.indices.get(member)) is not None:
                yield Step(operation, m.set_link(index, master=0))
                yield from _lit_again(context, operation, index)


def _lit_again(context: Context, operation: Operation, member: int) -> Iterator[Step]:
    """The kernel leaves a released member down; it was lit, and whoever had it up has it again."""
    yield Step(operation, m.set_link(member, up=True), FINE_ON_REMOVAL)
    yield from context.put_back_ipv6(operation, *context.with_vlans(member)[1:])


def member_steps(_: Context, __: Operation, ___: Member | None, ____: Member | None) -> Iterator[Step]:
    """None: a member is taken in by its bond."""
    return iter(())


def _make_bond(context: Context, operation: Operation, bond: Bond) -> Iterator[Step]:
    """The bond is made at once: where there is none to be had, its members are not to be set down for it."""
    index = context.new_index(bond.name)
    (answer,) = context.sock.execute([m.create_bond(index, bond.name, bond.lacp_rate, bond.min_links)])
    if answer.errno:
        context.indices.take(bond.name)
        raise KernelError(str(answer), answer.errno, retryable=True)
    yield Step(operation, m.altname(index, bond_altname(bond.name), add=True), THERE_ALREADY)
    yield Step(operation, m.set_link(index, alias=BOND_ALIAS + bond.name))
    yield from _enslave(context, operation, index, bond.members)


def _enslave(context: Context, operation: Operation, bond: int, members: Iterable[str]) -> Iterator[Step]:
    missing = []
    for member in members:
        if Key("member", member) in context.failures:
            continue
        index = context.indices.get(member)
        if index is None:
            missing.append(member)
            continue
        yield Step(operation, m.set_link(index, up=False))
        yield Step(operation, m.set_link(index, master=bond))
        yield from context.put_back_ipv6(operation, *context.with_vlans(index)[1:])
    if missing:
        raise KernelError(f"no such interface: {', '.join(missing)}", errno.ENODEV, retryable=True)
