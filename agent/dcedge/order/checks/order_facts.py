"""What the rules ask of an order: references followed, places named, prefixes judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from dcedge.order.field_types import Prefix
from dcedge.order.findings import Path, Problem
from dcedge.order.model import Bgp, Connection, Order, VirtualGateway, VirtualInterface
from dcedge.order.profile import Profile
from dcedge.order.profiles import PROFILES
from dcedge.units import format_rate

Found = Iterator[Problem]
T = TypeVar("T")
Space = tuple[str, tuple[tuple[str, int], ...]]  # a port's connection, and the outer tags on the way

AS_TRANS = 23456  # RFC 6793
RESERVED_VRFS = frozenset({"main", "default", "local", "all", "lo"})


class UnknownError(Exception):
    """What a rule asks for is not known: a dangling reference, or a broken piece of the order."""


class OrderFacts:
    """The order with its references followed; lookups raise UnknownError."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._spaces: dict[str, Space] = {}
        self._profiles: dict[str, Profile] = {}

    def connection(self, name: str) -> Connection:
        return _known(self.order.connections, name)

    def gateway(self, name: str) -> VirtualGateway:
        return _known(self.order.virtual_gateways, name)

    def profile(self, connection: str) -> Profile:
        """The profile of a connection's provider."""
        profile = self._profiles.get(connection)
        if profile is None:
            profile = self._profiles[connection] = _known(PROFILES, self.connection(connection).provider)
        return profile

    def root(self, connection: str) -> tuple[str, Connection]:
        """The connection that has the port under this one."""
        return (name := self.space(connection)[0]), self.connection(name)

    def space(self, connection: str) -> Space:
        """Where a VLAN ID must be unique: connections without an outer tag of their own share the port's."""
        if connection not in self._spaces:
            tags: list[tuple[str, int]] = []
            name, seen = connection, {connection}
            while (over := self.connection(name).over) is not None:
                if (outer := self.connection(name).outer) is not None:
                    tags.insert(0, (self.connection(name).protocol, outer))
                if over in seen:
                    raise UnknownError
                seen.add(over)
                name = over
            self._spaces[connection] = name, tuple(tags)
        return self._spaces[connection]

    @cached_property
    def hosted_on(self) -> Mapping[str, list[tuple[str, Connection]]]:
        """The hosted connections over each connection."""
        result: dict[str, list[tuple[str, Connection]]] = defaultdict(list)
        for name, connection in having(self.order.connections, "over"):
            if connection.over is not None:
                result[connection.over].append((name, connection))
        return result

    @cached_property
    def interfaces_on(self) -> Mapping[str, list[tuple[str, VirtualInterface]]]:
        """The virtual interfaces directly on each connection."""
        result: dict[str, list[tuple[str, VirtualInterface]]] = defaultdict(list)
        for name, vi in having(self.order.virtual_interfaces, "connection"):
            result[vi.connection].append((name, vi))
        return result

    @cached_property
    def interfaces_to(self) -> Mapping[str, list[tuple[str, VirtualInterface]]]:
        """The virtual interfaces to each virtual gateway."""
        result: dict[str, list[tuple[str, VirtualInterface]]] = defaultdict(list)
        for name, vi in having(self.order.virtual_interfaces, "virtual_gateway"):
            result[vi.virtual_gateway].append((name, vi))
        return result

    def profiles_to(self, gateway: str) -> list[Profile]:
        """The providers that lead to a virtual gateway; normally one."""
        result: dict[str, Profile] = {}
        for _, vi in self.interfaces_to.get(gateway, ()):
            try:
                profile = self.profile(vi.connection)
            except (UnknownError, AttributeError):
                continue
            result[profile.name] = profile
        return list(result.values())


def _known(table: Mapping[str, T], name: str) -> T:
    try:
        return table[name]
    except KeyError:
        raise UnknownError from None


def having(table: Mapping[str, T], *attributes: str) -> Iterator[tuple[str, T]]:
    """The entries whose attributes could all be read."""
    return ((name, entry) for name, entry in table.items() if known(entry, *attributes))


def known(model: object, *attributes: str) -> bool:
    """Whether these attributes of a model could all be read."""
    return all(hasattr(model, attribute) for attribute in attributes)


def vi_at(name: str, *more: str | int) -> Path:
    return ("virtual_interfaces", name, *more)


def connection_at(name: str, *more: str | int) -> Path:
    return ("connections", name, *more)


def gateway_at(name: str, *more: str | int) -> Path:
    return ("virtual_gateways", name, *more)


def warning(path: Path, message: str) -> Problem:
    return Problem(path, message, severity="warning")


def bgp_of(vi: VirtualInterface) -> Bgp | None:
    """A VI's BGP settings; None on a static one."""
    return None if vi.static is not None else vi.bgp or Bgp()


def only_with(entries: Iterable[tuple[str, T]], attribute: str) -> list[tuple[str, T]]:
    return [(name, entry) for name, entry in entries if known(entry, attribute)]


_SPECIAL: tuple[tuple[Prefix, str], ...] = (
    (IPv4Network("0.0.0.0/8"), "is in 0.0.0.0/8 (this network)"),
    (IPv4Network("127.0.0.0/8"), "is loopback"),
    (IPv4Network("169.254.0.0/16"), "is link-local"),
    (IPv4Network("224.0.0.0/4"), "is multicast"),
    (IPv4Network("240.0.0.0/4"), "is reserved (240.0.0.0/4)"),
    (IPv6Network("::/128"), "is the unspecified address"),
    (IPv6Network("::1/128"), "is loopback"),
    (IPv6Network("::ffff:0:0/96"), "is IPv4-mapped"),
    (IPv6Network("fe80::/10"), "is link-local"),
    (IPv6Network("ff00::/8"), "is multicast"),
)


def unroutable(prefix: Prefix, *, link: bool = False) -> str | None:
    """Why nobody routes a prefix (RFC 6890); None where one may. A link may have IPv4 link-local addresses."""
    for special, reason in _SPECIAL:
        if special.version == prefix.version and not (link and reason == "is link-local") and inside(prefix, special):
            return reason
    return None


def inside(prefix: Prefix, outer: Prefix) -> bool:
    return prefix.prefixlen >= outer.prefixlen and prefix.network_address in outer


def overlapped(prefix: Prefix, ranges: tuple[Prefix, ...]) -> Prefix | None:
    """The range that a prefix overlaps."""
    return next((taken for taken in ranges if taken.version == prefix.version and taken.overlaps(prefix)), None)


def sold_bandwidth(profile: Profile, rate: int, path: Path) -> Found:
    if not profile.bandwidth_min_bps <= rate <= profile.bandwidth_max_bps:
        sold = f"{format_rate(profile.bandwidth_min_bps)} to {format_rate(profile.bandwidth_max_bps)}"
        yield Problem(path, f"{format_rate(rate)} is not a bandwidth of {profile.name} ({sold})")
