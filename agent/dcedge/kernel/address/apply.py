"""Addresses, and the link-local one that the kernel does not make again."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Interface

from dcedge.errors import KernelError
from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.address.resource import IpAddress, LinkLocal
from dcedge.kernel.context import FINE_ON_REMOVAL, THERE_ALREADY, Context, Step
from dcedge.kernel.link.view import hardware_address
from dcedge.netlink.descriptions import IFAPROT_KERNEL_LL
from dcedge.plan.diff import Operation


def steps(
    context: Context,
    operation: Operation,
    before: IpAddress | LinkLocal | None,
    after: IpAddress | LinkLocal | None,
) -> Iterator[Step]:
    """One goes or comes; of an address nothing changes in place."""
    address, add = after or before, after is not None
    assert address is not None
    index = context.index(address.link)
    if isinstance(address, IpAddress):
        message = m.address(index, address.interface, add=add)
        yield Step(operation, message, THERE_ALREADY if add else FINE_ON_REMOVAL)
    elif add:  # the kernel's own otherwise, which goes with the link
        made = _link_local(hardware_address(context.sock, index))
        message = m.address(index, made, add=True, protocol=IFAPROT_KERNEL_LL)
        yield Step(operation, message, THERE_ALREADY)


def note_leaving(context: Context, operations: Iterable[Operation]) -> Iterator[Step]:
    """No step: the addresses that go are not to be put back on a link that loses its addresses."""
    context.leaving |= {
        (gone.link, str(gone.interface))
        for operation in operations
        if operation.after is None and isinstance(gone := operation.before, IpAddress)
    }
    return iter(())


def _link_local(hardware: bytes) -> IPv6Interface:
    """The link-local address that the kernel makes of a hardware address by default (RFC 2464, 4 and 5)."""
    if len(hardware) != 6:
        raise KernelError("the link has no hardware address to make a link-local address of", errno.EADDRNOTAVAIL)
    identifier = bytes([hardware[0] ^ 0x02]) + hardware[1:3] + b"\xff\xfe" + hardware[3:]
    return IPv6Interface((b"\xfe\x80" + bytes(6) + identifier, 64))
