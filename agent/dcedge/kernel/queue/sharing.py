"""Rates that several virtual interfaces share, each as one tree on the device that owns it. Pure.

A hosted connection with an outer tag owns its rate on that tag's link; one without, and a port that may be
oversubscribed, on the port; so does a port whose wire its virtual interfaces can fill. A tree is there only where it
bounds something: where its virtual interfaces together are ordered at more than the whole, or one of them at no rate of
its own. Each virtual interface keeps the shaper on its own link, which holds its own rate and marks the control packets
that go first here too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dcedge.kernel.capabilities import Capabilities
from dcedge.kernel.naming import link_name
from dcedge.kernel.queue.classify import Classifier, vlan_program
from dcedge.kernel.queue.handles import ROOT_HANDLE
from dcedge.kernel.queue.resource import Shaper
from dcedge.kernel.queue.shaping import SHARED_MINORS, WireRate
from dcedge.kernel.queue.shared_tree import Share, shared_tree, wire_tree
from dcedge.kernel.queue.wire import wire_to_hold
from dcedge.order.resolve import ConnectionRate, ResolvedInterface


@dataclass(frozen=True, slots=True)
class _Part:
    """What has one tag on a device: a virtual interface, or a whole hosted connection."""

    vlan_id: int
    rate_bps: int
    hosted: ConnectionRate | None  # the hosted connection without a tag of its own that it is on
    users: tuple[ResolvedInterface, ...]


def crowded_connections(interfaces: Iterable[ResolvedInterface]) -> frozenset[str]:
    """The connections whose virtual interfaces could together send more than the connection has."""
    on_it: dict[str, list[ResolvedInterface]] = {}
    for interface in interfaces:
        on_it.setdefault(interface.connection, []).append(interface)
    wanted: dict[ConnectionRate, int] = {}
    for users in on_it.values():
        port, hosted = users[0].port_connection, users[0].hosted_connection
        rates = sum(user.shaped_bps for user in users)
        if hosted is not None:
            wanted[hosted] = wanted.get(hosted, 0) + rates
        wanted[port] = wanted.get(port, 0) + (rates if hosted is None else hosted.rate_bps)
    return frozenset(shared.connection for shared, rates in wanted.items() if rates > shared.rate_bps)


def shared_shapers(
    interfaces: Collection[ResolvedInterface], kernel: Capabilities, speeds: Mapping[str, int]
) -> Iterator[Shaper]:
    """The trees of the connections that are crowded, and of the ports whose wire is; `speeds` of ports, in bits/s."""
    crowded = crowded_connections(interfaces)
    if not crowded and not speeds:
        return
    circuits: dict[tuple[str, str], list[ResolvedInterface]] = {}
    ports: dict[str, list[ResolvedInterface]] = {}
    for interface in interfaces:
        ports.setdefault(interface.port, []).append(interface)
        hosted = interface.hosted_connection
        if hosted is not None and hosted.tags:
            circuits.setdefault((interface.port, hosted.connection), []).append(interface)
    for (port, connection), users in circuits.items():
        hosted = users[0].hosted_connection
        if hosted is not None and connection in crowded and all(len(user.tags) > len(hosted.tags) for user in users):
            parts = [_Part(u.tags[-1].vlan_id, u.shaped_bps, None, (u,)) for u in users]
            yield _shaper(link_name(port, hosted.tags), hosted, parts, kernel, None)
    for port, users in ports.items():
        port_rate = users[0].port_connection
        on_it = {user.hosted_connection for user in users}
        untagged = {hosted.connection for hosted in on_it if hosted is not None and not hosted.tags}
        if not all(user.tags for user in users):
            continue
        wire = wire_to_hold(users, speeds.get(port), crowded=port_rate.connection in crowded)
        if wire is not None or port_rate.connection in crowded or not untagged.isdisjoint(crowded):
            yield _shaper(port, port_rate, list(_parts(users)), kernel, wire)


def _parts(users: Iterable[ResolvedInterface]) -> Iterator[_Part]:
    """What has a tag of its own on a port: the outermost one."""
    tagged: dict[int, list[ResolvedInterface]] = {}
    for user in users:
        tagged.setdefault(user.tags[0].vlan_id, []).append(user)
    for vlan_id, members in tagged.items():
        hosted = members[0].hosted_connection
        if hosted is not None and hosted.tags:
            yield _Part(vlan_id, hosted.rate_bps, None, tuple(members))
        else:
            yield _Part(vlan_id, members[0].shaped_bps, hosted, tuple(members))


def _shaper(
    device: str, whole: ConnectionRate, parts: Collection[_Part], kernel: Capabilities, wire: WireRate | None
) -> Shaper:
    groups = {part.hosted.connection: part.hosted for part in parts if part.hosted is not None}
    places = {name: number for number, name in enumerate(sorted(groups))}
    shares = [
        Share(
            minor=SHARED_MINORS + part.vlan_id,
            rate_bps=part.rate_bps,
            mtu=max(user.mtu for user in part.users),
            overhead=max(user.overhead for user in part.users),
            queue=kernel.queue(part.users[0].queue),
            group=places[part.hosted.connection] if part.hosted is not None else None,
        )
        for part in parts
    ]
    rates = tuple(groups[name].rate_bps for name in sorted(groups))
    classifier = Classifier(vlan_program(ROOT_HANDLE | SHARED_MINORS), 0)
    if wire is not None:
        tree = wire_tree(wire, rates, shares, classifier)
    else:
        tree = shared_tree(whole.rate_bps, rates, shares, classifier)
    return Shaper(device, tree, tuple(user.name for part in parts for user in part.users))
