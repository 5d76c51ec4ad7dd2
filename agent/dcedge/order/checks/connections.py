"""Rules for connections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from dcedge.order.checks.order_facts import (
    Found,
    OrderFacts,
    UnknownError,
    connection_at,
    having,
    known,
    only_with,
    sold_bandwidth,
    vi_at,
    warning,
)
from dcedge.order.findings import Path, Problem
from dcedge.order.model import (
    BondPort,
    CardPort,
    Connection,
    Probe,
    VirtualInterface,
)
from dcedge.order.profiles import PROFILES
from dcedge.order.validate import did_you_mean
from dcedge.units import counted, format_rate, shown, write_duration


def provider_known(_facts: OrderFacts, name: str, connection: Connection) -> Found:
    """There is a profile of the provider."""
    if connection.provider not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        hint = did_you_mean(connection.provider, list(PROFILES))
        yield Problem(
            connection_at(name, "provider"),
            f"{shown(connection.provider)} is not a known provider ({known}){hint}",
        )


def port_or_over(_facts: OrderFacts, name: str, connection: Connection) -> Found:
    """A connection has a port of its own or is hosted over another."""
    if connection.port is None and connection.over is None:
        yield Problem(connection_at(name), "needs a `port` of its own, or `over` where it is hosted", part="key")
    elif connection.port is not None and connection.over is not None:
        yield Problem(
            connection_at(name, "port"),
            f"a hosted connection has no port; it runs over {connection.over}",
            "key",
        )


def over_a_port(facts: OrderFacts, name: str, connection: Connection) -> Found:
    """A hosted connection is a share of one that exists and has a port."""
    over = connection.over
    path = connection_at(name, "over")
    if over is None:
        return
    if over == name:
        yield Problem(path, "a connection cannot be hosted over itself")
    elif over not in facts.order.connections:
        yield Problem(path, f"there is no connection {over!r}{did_you_mean(over, list(facts.order.connections))}")
    elif (below := facts.connection(over).over) is not None:
        if below == name:
            yield Problem(path, f"{name} and {over} are hosted over each other; one of them needs a `port`")
        else:
            yield Problem(path, f"{over} is hosted itself; name the connection that has the port")


def outer_needs_over(_facts: OrderFacts, name: str, connection: Connection) -> Found:
    """The outer tag and its protocol belong to a hosted connection."""
    if connection.outer is not None and connection.over is None:
        yield Problem(connection_at(name, "outer"), "an outer tag belongs to a hosted connection (`over`)", part="key")
    elif connection.protocol == "802.1ad" and connection.outer is None:
        yield Problem(
            connection_at(name, "protocol"), "says how the outer tag is marked, but `outer` is missing", "key"
        )


def outer_demanded(facts: OrderFacts, name: str, connection: Connection) -> Found:
    """Where the provider wants two tags, a hosted connection has the outer one."""
    profile = facts.profile(name)
    if profile.double_tagged and connection.over is not None and connection.outer is None:
        yield Problem(connection_at(name), f"{profile.name} uses two tags: `outer` (the circuit's) is missing", "key")


def port_used_once(facts: OrderFacts) -> Found:
    """No interface serves two connections, or is a bond and its own member."""
    first: dict[str, tuple[str, Path]] = {}
    for name, connection in having(facts.order.connections, "port"):
        port = connection.port
        if port is None:
            continue
        uses: list[tuple[str, Path]] = []
        if isinstance(port, CardPort):
            if known(port, "mac") and known(port, "path"):
                uses.append((port.name, connection_at(name, "port")))
        elif not isinstance(port, BondPort):
            uses.append((port, connection_at(name, "port")))
        else:
            if known(port, "bond"):
                uses.append((port.bond, connection_at(name, "port", "bond")))
            if known(port, "members"):
                uses += [(m, connection_at(name, "port", "members", i)) for i, m in enumerate(port.members)]
        for interface, path in uses:
            if interface in first:
                other, place = first[interface]
                whose = "by this connection" if other == name else f"by {other}"
                yield Problem(path, f"{interface} is used already {whose} ({{line}})", others=(place,))
            else:
                first[interface] = name, path


def bond_links(_facts: OrderFacts, name: str, connection: Connection) -> Found:
    """A bond has as many members as it needs links."""
    port = connection.port
    if isinstance(port, BondPort) and port.members and port.min_links > len(port.members):
        path = connection_at(name, "port", "min_links")
        yield Problem(path, f"{port.min_links} links of {counted(len(port.members), 'member')}: it never comes up")


def lacp_demanded(facts: OrderFacts, name: str, connection: Connection) -> Found:
    """Where the provider speaks LACP even on one link, the port is a bond."""
    profile = facts.profile(name)
    if profile.lacp_required and isinstance(connection.port, (str, CardPort)):
        path = connection_at(name, "port")
        member = connection.port if isinstance(connection.port, str) else "its name"
        bond = f"{{bond: bond0, members: [{member}]}}"
        yield Problem(path, f"{profile.name} demands LACP even for one link: write {bond}")


def connection_mtu(facts: OrderFacts, name: str, connection: Connection) -> Found:
    """The MTU is not more than the port's."""
    mtu = connection.mtu
    if mtu is None or connection.over is None:
        return
    root_name, root = facts.root(name)
    if root.mtu is not None and mtu > root.mtu:
        below = connection_at(root_name, "mtu")
        message = f"{mtu} is over the port's MTU: {root_name} has {root.mtu} ({{line}})"
        yield Problem(connection_at(name, "mtu"), message, others=(below,))


def offered_mtu(facts: OrderFacts, name: str, connection: Connection) -> Found:
    """The MTU of virtual interfaces, which may be the port's below, is one that the provider offers."""
    profile = facts.profile(name)
    root_name, root = facts.root(name)
    mtu = connection.mtu or root.mtu
    serves = connection.over is not None or bool(facts.interfaces_on.get(name))
    if mtu is None or not serves or profile.any_mtu or mtu in profile.mtus:
        return
    path = connection_at(name if connection.mtu else root_name, "mtu")
    offered = " or ".join(str(offered) for offered in profile.mtus)
    whose = "" if connection.mtu else f" for {name}, which has no `mtu` of its own"
    if mtu in profile.former_mtus:
        message = (
            f"{mtu} is no longer offered by {profile.name} ({offered}); only existing virtual interfaces may keep it"
        )
        yield warning(path, message + whose)
    else:
        yield Problem(path, f"{mtu} is not an MTU that {profile.name} offers ({offered}){whose}")


def hosted_bandwidth(facts: OrderFacts, name: str, connection: Connection) -> Found:
    """A hosted connection's bandwidth is one that the provider sells, and not more than what it is hosted on."""
    if connection.over is None:
        return
    path = connection_at(name, "bandwidth")
    yield from sold_bandwidth(facts.profile(name), connection.bandwidth, path)
    below = facts.connection(connection.over)
    if below.over is None and connection.bandwidth > below.bandwidth:
        has = f"{connection.over} has {format_rate(below.bandwidth)}"
        yield Problem(path, f"{format_rate(connection.bandwidth)} is more than the connection below it: {has}")


def outer_tag_once(facts: OrderFacts) -> Found:
    """An outer tag is used once on a port, and by no virtual interface that is on the port itself."""
    for below, hosted in facts.hosted_on.items():
        first: dict[tuple[str, int], str] = {}
        for name, connection in hosted:
            if not known(connection, "outer", "protocol") or connection.outer is None:
                continue
            path = connection_at(name, "outer")
            tag = (connection.protocol, connection.outer)
            if tag in first:
                other = first[tag]
                message = f"outer tag {connection.outer} is used already on {below} by {other} ({{line}})"
                yield Problem(path, message, others=(connection_at(other, "outer"),))
            first.setdefault(tag, name)
            for other, vi in facts.interfaces_on.get(below, ()):
                if connection.protocol == "802.1Q" and getattr(vi, "vlan", None) == connection.outer:
                    message = f"outer tag {connection.outer} is virtual interface {other}'s VLAN on {below} ({{line}})"
                    yield Problem(path, message, others=(vi_at(other, "vlan"),))


def bandwidth_sum(facts: OrderFacts, name: str, connection: Connection) -> Found:
    """What is ordered over a connection is at most what it has, unless that is said to be meant."""
    if connection.oversubscribe:
        return
    parts = [(other, c.bandwidth) for other, c in only_with(facts.hosted_on.get(name, ()), "bandwidth")]
    parts += [
        (other, vi.bandwidth)
        for other, vi in only_with(facts.interfaces_on.get(name, ()), "bandwidth")
        if vi.bandwidth is not None
    ]
    total = sum(rate for _, rate in parts)
    if len(parts) > 1 and total > connection.bandwidth:
        largest = sorted(parts, key=lambda part: -part[1])
        named = ", ".join(f"{other} {format_rate(rate)}" for other, rate in largest[:3])
        more = f" and {len(parts) - 3} more" if len(parts) > 3 else ""
        yield Problem(
            connection_at(name, "bandwidth"),
            f"{format_rate(total)} are ordered over it ({named}{more}), it has {format_rate(connection.bandwidth)};"
            " set `oversubscribe: true` if that is meant",
        )


def probe_budget(facts: OrderFacts) -> Found:
    """Probes stay below what the provider answers; more of them look like loss."""
    probes: dict[str, list[tuple[str, VirtualInterface]]] = defaultdict(list)
    for name, vi in having(facts.order.virtual_interfaces, "connection", "addresses", "probe"):
        try:
            probes[facts.root(vi.connection)[0]].append((name, vi))
        except (UnknownError, AttributeError):
            continue
    for connection, members in probes.items():
        try:
            profile = facts.profile(connection)
        except (UnknownError, AttributeError):
            continue
        budget = profile.probe_budget_per_second
        asked = {
            name: vi.probe.interval for name, vi in members if vi.probe is not None and known(vi.probe, "interval")
        }
        if budget is None or (total := _probes_per_second(vi for _, vi in members)) <= budget:
            continue
        told = f"{total:.4g} probes a second; {profile.name} answers {budget:.4g} on one connection"
        rest = _probes_per_second(vi for _, vi in members if vi.probe is None)
        if (total - rest) > budget:
            fastest = min(asked, key=asked.__getitem__)
            longer = write_duration(float(-(-len([p for _, vi in members for p in vi.addresses]) // budget)))
            path = vi_at(fastest, "probe", "interval")
            yield Problem(path, f"all on {connection} send {told}: an interval of {longer} for each fits")
        else:
            yield warning(
                connection_at(connection),
                f"its virtual interfaces would send {told}: their intervals will be {total / budget:.3g} times as long",
            )


def _probes_per_second(interfaces: Iterable[VirtualInterface]) -> float:
    return sum(
        len(vi.addresses) / probe.interval
        for vi in interfaces
        if known(probe := vi.probe or Probe(), "interval") and probe.interval > 0
    )
