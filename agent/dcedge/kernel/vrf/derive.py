"""The VRFs that an order asks for."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.host import Host
from dcedge.kernel.naming import vrf_tables
from dcedge.kernel.ordered import Ordered
from dcedge.kernel.vrf.resource import VERSIONS, Unreachable, Version, Vrf, VrfRule


def derive_shared(ordered: Ordered) -> Iterator[Vrf | VrfRule | Unreachable]:
    """Each VRF with the ends of its table, and the rules that lead into all of them."""
    users: dict[str, list[str]] = {}
    for interface in ordered.interfaces:
        if interface.vrf is not None:
            users.setdefault(interface.vrf, []).append(interface.name)
    for name, table in vrf_tables(users).items():
        affects = tuple(users[name])
        yield Vrf(name, table, affects, conf4=ordered.host.for_all.conf4())
        yield from (Unreachable(version, name, affects) for version in _versions(ordered.host))
    if users:
        everybody = tuple(sorted(user for found in users.values() for user in found))
        yield from (VrfRule(version, min(users), everybody) for version in _versions(ordered.host))


def _versions(host: Host) -> tuple[Version, ...]:
    return VERSIONS if host.ipv6 else (4,)
