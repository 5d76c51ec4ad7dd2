"""The settings that an order asks for: forwarding, and limits that thousands of virtual interfaces need."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.host import accept_ra
from dcedge.kernel.naming import interface_link
from dcedge.kernel.ordered import Ordered, has_ipv6
from dcedge.kernel.sysctl.limits import LIMITS, kernel_limits
from dcedge.kernel.sysctl.resource import Sysctl

IPV4_FORWARDING, IPV6_FORWARDING = Sysctl("net/ipv4/ip_forward", 1), Sysctl("net/ipv6/conf/all/forwarding", 1)
# Redirects are accepted again where forwarding is switched off, whatever was set before (inet_forward_change()).
ACCEPT_REDIRECTS = "net/ipv4/conf/all/accept_redirects"
SETTINGS = LIMITS | {IPV4_FORWARDING.path, IPV6_FORWARDING.path}  # all that any order sets by itself


def derive_shared(ordered: Ordered) -> Iterator[Sysctl]:
    """Nothing where nothing is ordered."""
    interfaces = ordered.interfaces
    if interfaces:
        yield from _forwarding(ordered)
        yield from kernel_limits(sum(len(i.addresses) for i in interfaces), sum(i.keys for i in interfaces))


def _forwarding(ordered: Ordered) -> Iterator[Sysctl]:
    """An order without IPv6 leaves IPv6 alone. With it other links keep the default routes that routers advertise."""
    yield IPV4_FORWARDING
    if has_ipv6(ordered.interfaces):
        ours = {interface_link(interface) for interface in ordered.interfaces}
        yield from (Sysctl(accept_ra(link), 2, early=True) for link in ordered.host.advertised if link not in ours)
        yield IPV6_FORWARDING
