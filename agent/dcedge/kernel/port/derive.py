"""The ports that an order is on."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.ordered import Ordered
from dcedge.kernel.port.resource import Port
from dcedge.order.resolve import ResolvedInterface


def derive_shared(ordered: Ordered) -> Iterator[Port]:
    """Each port with the MTU that its virtual interfaces need; up, but where one has it for itself and is down."""
    on_it: dict[str, list[ResolvedInterface]] = {}
    for interface in ordered.interfaces:
        on_it.setdefault(interface.port, []).append(interface)
    for name, users in on_it.items():
        mtu = max(user.mtu for user in users)
        needy = tuple(user.name for user in users if user.mtu == mtu)
        tagged = any(user.tags for user in users)
        up = tagged or any(user.admin != "down" for user in users)
        yield Port(name, mtu, up, tuple(user.name for user in users), needy, tagged=tagged)
