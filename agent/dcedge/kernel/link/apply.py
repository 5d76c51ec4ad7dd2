"""Links of ours: made, changed in place, removed; a port is given back as it was found."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator

from dcedge.errors import KernelError
from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.context import FINE_ON_REMOVAL, THERE_ALREADY, Context, Failure, Step
from dcedge.kernel.link.resource import Found, Link
from dcedge.kernel.queue import messages as q
from dcedge.kernel.ranks import ROUTE_PROTOCOL
from dcedge.kernel.view import observe_link
from dcedge.netlink.socket import Answer
from dcedge.plan.diff import Operation
from dcedge.plan.resource import Key

_NOT_THAT_MTU = frozenset({errno.EINVAL, errno.ERANGE})


def steps(context: Context, operation: Operation, before: Link | None, after: Link | None) -> Iterator[Step]:
    """A VLAN link is made, changed or removed; an untagged one is a port."""
    if after is not None and (vrf := _lacking_vrf(context, after)) is not None:
        raise KernelError(vrf, errno.ENODEV, retryable=True)
    if before is not None and (after is None or operation.action == "replace"):
        yield from _remove_link(context, operation, before)
    if after is None:
        return
    if before is None or operation.action == "replace":
        yield from _create_link(context, operation, after)
    else:
        yield from _change_link(context, operation, before, after)


def freed_altnames(context: Context, operations: Iterable[Operation]) -> Iterator[Step]:
    """Take altnames away from the links that lose them, before any other link is to have them."""
    for operation in operations:
        before, after = operation.before, operation.after
        if isinstance(before, Link) and isinstance(after, Link) and not before.foreign:
            index = context.indices.get(before.name)
            if before.altname not in {None, after.altname} and index is not None:
                yield Step(operation, m.altname(index, before.altname, add=False), FINE_ON_REMOVAL)


def refused(context: Context, operation: Operation, answer: Answer) -> Failure | None:
    """It has no larger MTU than its port, and waits for its VRF."""
    link = operation.resource
    if not isinstance(link, Link):
        return None
    if answer.errno in _NOT_THAT_MTU:
        ports = (failure for key, failure in context.failures.items() if key.type == "port")
        port = next((failure for failure in ports if set(link.affects) & set(failure.operation.affects)), None)
        if port is not None:
            return Failure(operation, port.text, True)
    if operation.after is None or link.parent in context.failures or (vrf := _lacking_vrf(context, link)) is None:
        return None
    return Failure(operation, vrf, True)


def _lacking_vrf(context: Context, link: Link) -> str | None:
    if link.master is None or Key("vrf", link.master) not in context.failures:
        return None
    return f"waits for VRF {link.master}"


def _remove_link(context: Context, operation: Operation, link: Link) -> Iterator[Step]:
    index = context.indices.take(link.name)
    if index is None:
        return
    fine = FINE_ON_REMOVAL
    if link.tag is not None:
        yield Step(operation, m.delete_link(index), fine)
        return
    # An untagged VI's link is the port: it stays, without our marks and without what we put on it.
    context.indices[link.name] = index
    found = observe_link(context.sock, index)
    for address in found.addresses.get(index, ()):
        if address.protocol == ROUTE_PROTOCOL:
            context.leaving.add((link.name, str(address.interface)))
            yield Step(operation, m.address(index, address.interface, add=False), fine)
    if context.has_our_root(index):
        yield Step(operation, q.delete_root(index), fine)
    if link.altname is not None:
        yield Step(operation, m.altname(index, link.altname, add=False), fine)
    was = link.found if link.found is not None else Found("", link.mtu, (), (), link.up)
    mtu = max(was.mtu, link.floor)
    up = was.up or link.floor > 0
    yield Step(
        operation,
        m.set_link(
            index,
            alias=was.alias,
            mtu=mtu if mtu != link.mtu else None,
            conf4=was.conf4,
            up=up if up != link.up else None,
            master=0 if link.master is not None else None,
        ),
        fine,
    )
    context.write_conf6(operation, link, was.conf6)
    if link.master is not None:
        yield from context.put_back_ipv6(operation, *context.with_vlans(index))


def _create_link(context: Context, operation: Operation, link: Link) -> Iterator[Step]:
    if link.tag is None:
        yield from _change_link(context, operation, None, link)
        return
    assert link.below is not None
    below = context.index(link.below)
    master = context.index(link.master) if link.master is not None else None
    index = context.new_index(link.name)
    yield Step(
        operation,
        m.create_vlan(
            index,
            link.name,
            below,
            link.tag,
            link.mtu,
            link.alias,
            master=master,
            control_pcp=link.control_pcp,
        ),
    )
    yield from _dress(context, operation, index, link)
    if link.up:
        # Last: as soon as it is up the kernel walks through every IPv6 route there is, once for that and once for
        # its carrier (addrconf), and whatever comes after waits for it.
        context.rising.append(Step(operation, m.set_link(index, up=True)))


def _dress(context: Context, operation: Operation, index: int, link: Link) -> Iterator[Step]:
    if link.altname is not None:
        yield Step(operation, m.altname(index, link.altname, add=True), THERE_ALREADY)
    yield Step(operation, m.set_link(index, alias=link.alias, conf4=link.conf4))
    inherited = context.inherited_conf6()
    context.write_conf6(operation, link, [item for item in link.conf6 if item not in inherited])


def _change_link(context: Context, operation: Operation, before: Link | None, after: Link) -> Iterator[Step]:
    index = context.index(after.name)
    if before is None:
        master = context.index(after.master) if after.master is not None else None
        yield Step(operation, m.set_link(index, up=after.up, master=master))
        if master is not None:
            yield from context.put_back_ipv6(operation, *context.with_vlans(index))
        yield from _dress(context, operation, index, after)
        return
    if after.altname not in {None, before.altname}:
        yield Step(operation, m.altname(index, after.altname, add=True), THERE_ALREADY)
    master = None
    if after.master != before.master:
        master = context.index(after.master) if after.master is not None else 0
    yield Step(
        operation,
        m.set_link(
            index,
            up=up if (up := after.up_on(before)) != before.up else None,
            mtu=mtu if (mtu := after.mtu_on(before)) != before.mtu else None,
            alias=after.alias if after.alias != before.alias else None,
            conf4=after.conf4 if after.conf4 != before.conf4 else (),
            master=master,
        ),
    )
    if before.control_pcp != after.control_pcp:
        yield Step(operation, m.set_control_pcp(index, after.control_pcp))
    if master is not None or (before.up and not up):
        yield from context.put_back_ipv6(operation, *context.with_vlans(index))
    if before.conf6 != after.conf6:
        context.write_conf6(operation, after, after.conf6)
