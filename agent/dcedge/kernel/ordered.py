"""What is ordered, as each kind of kernel object needs it to derive what it is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dcedge.kernel.capabilities import Capabilities
from dcedge.kernel.host import Host
from dcedge.kernel.naming import interface_link
from dcedge.order.resolve import ResolvedInterface


@dataclass(frozen=True, slots=True)
class Ordered:
    """Every virtual interface, and the router that they are on.

    The static routes of the virtual interfaces in `withdrawn` are left out, those of the ones in `drained` rank last.
    """

    interfaces: Collection[ResolvedInterface]
    kernel: Capabilities
    host: Host
    withdrawn: frozenset[str]
    drained: frozenset[str]


@dataclass(frozen=True, slots=True)
class OrderedInterface:
    """One virtual interface, with what its own objects have alike: the link that they are on, and whom they affect."""

    interface: ResolvedInterface
    link: str
    ipv6: bool
    affects: tuple[str, ...]
    kernel: Capabilities
    host: Host

    @classmethod
    def of(cls, interface: ResolvedInterface, kernel: Capabilities, host: Host) -> OrderedInterface:
        """One of these."""
        return cls(interface, interface_link(interface), has_ipv6([interface]), (interface.name,), kernel, host)


def has_ipv6(interfaces: Iterable[ResolvedInterface]) -> bool:
    """Whether any of them has an IPv6 address."""
    return any(pair.customer.version == 6 for interface in interfaces for pair in interface.addresses)
