"""The order with nothing left out: every default taken from the profile, every reference followed.

One `ResolvedInterface` holds all that the kernel's, FRR's and the prober's parts need to know of one virtual
interface; equal orders resolve to equal values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from dcedge.order.field_types import Address, Family, Interface, Prefix, Seconds
from dcedge.order.model import (
    AcceptedPrefix,
    AddressPair,
    BfdTimers,
    Bgp,
    BondPort,
    Connection,
    Credential,
    Order,
    Preference,
    Probe,
    VirtualGateway,
    VirtualInterface,
)
from dcedge.order.profile import Profile
from dcedge.order.profiles import profile_of


@dataclass(frozen=True, slots=True)
class Tag:
    """One VLAN tag: its ID and its EtherType (0x8100 or 0x88a8)."""

    vlan_id: int
    ethertype: int


@dataclass(frozen=True, slots=True)
class ConnectionRate:
    """A connection as something with a rate that its virtual interfaces share. `tags`: where its device stands."""

    connection: str
    rate_bps: int
    tags: tuple[Tag, ...]
    oversubscribed: bool  # its virtual interfaces may be ordered at more in sum


@dataclass(frozen=True, slots=True)
class Session:
    """One BGP session, every setting filled in. Timers in whole seconds where BGP has them so."""

    virtual_interface: str
    virtual_gateway: str
    family: Family
    customer: Interface
    cloud: Address
    customer_asn: int
    cloud_asn: int
    password: Credential | None
    keepalive: int
    hold: int
    bfd: BfdTimers | None
    receive_limit: int
    advertise_limit: int | None
    ttl_security: bool
    multihop: int
    communities: tuple[str, ...]
    med: int | None
    allowas_in: int
    graceful_restart: bool
    admin_up: bool


@dataclass(frozen=True, slots=True)
class ResolvedInterface:
    """One virtual interface with everything it inherits."""

    name: str
    connection: str
    virtual_gateway: str
    port: str  # the root connection's interface
    tags: tuple[Tag, ...]  # outermost first; empty: untagged
    mtu: int
    rate_bps: int | None  # None: bounded by its connection's rate only
    port_connection: ConnectionRate  # the connection that has the port
    hosted_connection: ConnectionRate | None  # the hosted connection that it is on, where it is on one
    overhead: int
    queue: str
    ingress: bool
    admin: Literal["up", "down", "planned"]
    preference: Preference
    addresses: tuple[AddressPair, ...]
    sessions: tuple[Session, ...]  # empty on a static VI
    keys: int  # how many of the sessions have a TCP-MD5 key
    static: tuple[Prefix, ...]
    accept: tuple[AcceptedPrefix, ...] | None  # None: any
    advertise: tuple[Prefix, ...]
    vrf: str | None
    probe_interval: Seconds
    profile: Profile
    stamp: bool = False  # measured by STAMP as well
    bond: BondPort | None = None  # what the port is made from, where it is made

    @property
    def shaped_bps(self) -> int:
        """The rate that it is held to: its own, else all of its connection's."""
        return self.rate_bps or (self.hosted_connection or self.port_connection).rate_bps


ETHERTYPES = {"802.1Q": 0x8100, "802.1ad": 0x88A8}


def root_connection(order: Order, name: str) -> tuple[str, Connection, tuple[Tag, ...]]:
    """The connection that has the port under `name`, with the outer tags on the way, outermost first."""
    tags: list[Tag] = []
    connection = order.connections[name]
    while connection.over is not None:
        if connection.outer is not None:
            tags.insert(0, Tag(connection.outer, ETHERTYPES[connection.protocol]))
        name = connection.over
        connection = order.connections[name]
    return name, connection, tuple(tags)


def resolve_interface(order: Order, name: str, ports: Mapping[str, str] = MappingProxyType({})) -> ResolvedInterface:
    """Resolve one virtual interface of a checked order; `ports`: own names, by the alternative ones of the order."""
    vi = order.virtual_interfaces[name]
    gateway = order.virtual_gateways[vi.virtual_gateway]
    connection = order.connections[vi.connection]
    root_name, root, outer = root_connection(order, vi.connection)
    profile = profile_of(connection.provider)
    tags = outer if vi.vlan == 0 else (*outer, Tag(vi.vlan, 0x8100))
    port = root.port_name
    if port is None:
        raise ValueError(f"no port under connection {vi.connection}: the order was not checked")
    overhead = vi.shaping.overhead
    probe = vi.probe or Probe()
    sessions = () if vi.static is not None else tuple(_sessions(order, name, vi, gateway, profile))
    return ResolvedInterface(
        name=name,
        connection=vi.connection,
        virtual_gateway=vi.virtual_gateway,
        port=ports.get(port, port),
        tags=tags,
        mtu=connection.mtu or root.mtu or profile.mtus[0],
        rate_bps=vi.bandwidth,
        port_connection=ConnectionRate(root_name, root.bandwidth, (), root.oversubscribe),
        hosted_connection=ConnectionRate(vi.connection, connection.bandwidth, outer, connection.oversubscribe)
        if connection.hosted
        else None,
        overhead=profile.policer_overhead if overhead is None else overhead,
        queue=vi.shaping.queue,
        ingress=vi.shaping.ingress,
        admin=vi.admin,
        preference=vi.preference,
        addresses=vi.addresses,
        sessions=sessions,
        keys=sum(session.password is not None for session in sessions),
        static=vi.static or (),
        accept=None if gateway.accept == "any" else gateway.accept,
        advertise=order.router.advertise if gateway.advertise is None else gateway.advertise,
        vrf=gateway.vrf,
        probe_interval=probe.interval,
        stamp=probe.stamp,
        profile=profile,
        bond=_bond(root.port, ports),
    )


def _bond(port: object, ports: Mapping[str, str]) -> BondPort | None:
    """The bond that a port is made as, its members by their own names."""
    if not isinstance(port, BondPort) or not port.members:
        return None
    if ports.keys().isdisjoint(port.members):
        return port
    return replace(port, members=tuple(ports.get(member, member) for member in port.members))


def _sessions(
    order: Order, name: str, vi: VirtualInterface, gateway: VirtualGateway, profile: Profile
) -> Iterator[Session]:
    bgp = vi.bgp or Bgp()
    for pair in vi.addresses:
        yield Session(
            virtual_interface=name,
            virtual_gateway=vi.virtual_gateway,
            family=pair.family,
            customer=pair.customer,
            cloud=pair.cloud,
            customer_asn=bgp.customer_asn or order.router.asn,
            cloud_asn=cloud_asn(vi, gateway, profile) or 0,
            password=pair.password or bgp.password,
            keepalive=round(bgp.keepalive) if bgp.keepalive else profile.keepalive,
            hold=round(bgp.hold) if bgp.hold else profile.hold,
            bfd=bfd_timers(bgp, profile),
            receive_limit=bgp.receive_limit or profile.receive_limit,
            advertise_limit=bgp.advertise_limit or profile.advertise_limit,
            ttl_security=bgp.ttl_security,
            multihop=bgp.multihop or profile.multihop,
            communities=bgp.communities,
            med=bgp.med,
            allowas_in=bgp.allowas_in,
            graceful_restart=bgp.graceful_restart,
            admin_up=vi.admin != "down",
        )


def cloud_asn(vi: VirtualInterface, gateway: VirtualGateway, profile: Profile) -> int | None:
    """The cloud's ASN: the VI's own word, else the gateway's, else the provider's only one."""
    said = vi.bgp.cloud_asn if vi.bgp is not None else None
    return said or gateway.asn or profile.cloud_asn


def bfd_timers(bgp: Bgp, profile: Profile) -> BfdTimers | None:
    """The BFD timers in force, or None where BFD is off."""
    if isinstance(bgp.bfd, BfdTimers):
        return bgp.bfd
    on = profile.bfd.on_by_default if bgp.bfd is None else bgp.bfd
    return profile.bfd.default if on else None
