"""Ports: set up, and given the MTU that is needed."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace

from dcedge.errors import KernelError
from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.context import Context, Failure, Step
from dcedge.kernel.port.resource import Port
from dcedge.netlink.socket import Answer
from dcedge.plan.diff import Operation

ETHERNET_MTU = 1500  # what a new link has


def steps(context: Context, operation: Operation, before: Port | None, port: Port | None) -> Iterator[Step]:
    """It is nobody's to remove."""
    if port is None:
        return
    if port.name not in context.indices:
        if port.exact:
            return  # a bond of ours, which went: there is nothing to put back
        raise KernelError(f"port {port.name} does not exist", errno.ENODEV, retryable=True)
    index = context.index(port.name)
    if port.up:
        yield Step(operation, m.set_link(index, up=True))
    if before is not None:
        mtu = port.mtu_on(before)
        if before.mtu_min < mtu or (port.exact and before.mtu_min > mtu):
            yield Step(operation, m.set_link(index, mtu=mtu))
    elif port.mtu_min > ETHERNET_MTU:
        yield Step(operation, m.set_link(index, mtu=port.mtu_min))  # a bond that was made just now


def refused(_: Context, operation: Operation, answer: Answer) -> Failure | None:
    """It concerns whom the MTU is needed for."""
    port = operation.resource
    if not isinstance(port, Port):
        return None
    text = f"port {port.name} does not take {_mtu_asked(operation, port)}: {answer}"
    return Failure(replace(operation, affects=port.needy or operation.affects), text, True)


def _mtu_asked(operation: Operation, port: Port) -> str:
    """The MTU that a port was asked for, and what of it is not plain."""
    before = operation.before
    if not isinstance(before, Port) or not port.tagged or not before.tag_bytes:
        return f"MTU {port.mtu_min}"
    return (
        f"MTU {port.mtu_on(before)} ({port.mtu_min}, and {before.tag_bytes} for the VLAN tag, for which MACsec leaves"
        " no room; the device below it needs 32 more still)"
    )
