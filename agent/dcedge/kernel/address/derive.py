"""The addresses that an order asks for."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.address.resource import IpAddress, LinkLocal
from dcedge.kernel.ordered import OrderedInterface


def derive_interface(ordered: OrderedInterface) -> Iterator[IpAddress | LinkLocal]:
    """A virtual interface's addresses, and with IPv6 the link-local one."""
    for pair in ordered.interface.addresses:
        yield IpAddress(ordered.link, pair.customer, ordered.affects)
    if ordered.ipv6:
        yield LinkLocal(ordered.link, ordered.affects)
