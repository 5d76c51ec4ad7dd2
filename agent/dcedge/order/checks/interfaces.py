"""Rules for virtual interfaces."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Interface, IPv6Interface, IPv6Network

from dcedge.order.checks.order_facts import (
    Found,
    OrderFacts,
    Space,
    UnknownError,
    bgp_of,
    having,
    inside,
    known,
    overlapped,
    sold_bandwidth,
    unroutable,
    vi_at,
    warning,
)
from dcedge.order.field_types import Prefix
from dcedge.order.findings import Path, Problem
from dcedge.order.model import AddressPair, BondPort, Probe, VirtualInterface
from dcedge.order.resolve import bfd_timers
from dcedge.order.validate import did_you_mean
from dcedge.units import format_rate, write_duration

IPV6_MIN_MTU = 1280  # RFC 8200, section 5
WIDEST_LINK = {4: 16, 6: 48}  # prefix lengths; clouds hand out /24 to /31, /64 to /127
PROBE_MIN, PROBE_MAX = 0.01, 3600.0  # seconds


def references(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The connection and the virtual gateway are in the order."""
    for key, noun, table in (
        ("connection", "connection", facts.order.connections),
        ("virtual_gateway", "virtual gateway", facts.order.virtual_gateways),
    ):
        named = getattr(vi, key, None)
        if named is not None and named not in table:
            yield Problem(vi_at(name, key), f"there is no {noun} {named!r}{did_you_mean(named, list(table))}")


def vlan_range(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The VLAN ID is one that the provider hands out."""
    profile = facts.profile(vi.connection)
    if vi.vlan == 0:
        if not profile.untagged:
            yield Problem(vi_at(name, "vlan"), f"{profile.name} has no untagged virtual interfaces")
    elif not profile.vlan_min <= vi.vlan <= profile.vlan_max:
        given = f"{profile.vlan_min}-{profile.vlan_max}"
        yield Problem(vi_at(name, "vlan"), f"{vi.vlan} is not a VLAN ID of {profile.name} ({given})")


def vlan_once(facts: OrderFacts) -> Found:
    """A VLAN ID is used once on a connection; an untagged virtual interface is alone there."""
    spaces: dict[Space, list[tuple[str, VirtualInterface]]] = defaultdict(list)
    for name, vi in having(facts.order.virtual_interfaces, "connection", "vlan"):
        try:
            spaces[facts.space(vi.connection)].append((name, vi))
        except (UnknownError, AttributeError):
            continue
    for members in spaces.values():
        first: dict[int, str] = {}
        for name, vi in members:
            path = vi_at(name, "vlan")
            if vi.vlan in first:
                other = first[vi.vlan]
                message = f"VLAN {vi.vlan} is used already on {vi.connection} by {other} ({{line}})"
                yield Problem(path, message, others=(vi_at(other, "vlan"),))
            elif vi.vlan == 0 and len(members) > 1:
                other = next(other for other, _ in members if other != name)
                message = f"0 (untagged) must be alone on {vi.connection}; {other} is there too ({{line}})"
                yield Problem(path, message, others=(vi_at(other),))
            first.setdefault(vi.vlan, name)


def two_tags(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """Where the provider wants two tags, a virtual interface is on a hosted connection that has the outer one."""
    profile = facts.profile(vi.connection)
    if profile.double_tagged and facts.connection(vi.connection).over is None:
        hosted = [other for other, _ in facts.hosted_on.get(vi.connection, ())]
        which = f" ({' or '.join(hosted[:3])})" if hosted else f" (`over: {vi.connection}` with `outer`)"
        yield Problem(
            vi_at(name, "connection"), f"{profile.name} uses two tags: name a hosted connection{which}, not the port's"
        )


def bandwidth_given(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """A virtual interface has a bandwidth, unless its connection's bounds it."""
    connection = facts.connection(vi.connection)
    if vi.bandwidth is None and connection.over is None and not connection.oversubscribe:
        yield Problem(
            vi_at(name, "bandwidth"),
            f"is missing; only a hosted or oversubscribed connection bounds it, and {vi.connection} is neither",
            part="key",
        )


def bandwidth_range(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The bandwidth is one that the provider sells, and not more than the connection's."""
    if vi.bandwidth is None:
        return
    path = vi_at(name, "bandwidth")
    profile = facts.profile(vi.connection)
    if profile.bandwidth_per_vi:
        yield from sold_bandwidth(profile, vi.bandwidth, path)
    connection = facts.connection(vi.connection)
    if vi.bandwidth > connection.bandwidth:
        has = f"{vi.connection} has {format_rate(connection.bandwidth)}"
        yield Problem(path, f"{format_rate(vi.bandwidth)} is more than its connection: {has}")


def flow_on_bond(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """A single flow takes one member of a bond (IEEE 802.1AX, 5.2.4): its share of the bandwidth is all it gets."""
    root_name, root = facts.root(vi.connection)
    port = root.port
    if vi.bandwidth is None or not isinstance(port, BondPort) or len(port.members) < 2:
        return
    member = root.bandwidth // len(port.members)
    if vi.bandwidth > member:
        shares = f"{format_rate(root.bandwidth)} over {len(port.members)} members"
        message = (
            f"{format_rate(vi.bandwidth)} is ordered, but one flow takes one member of {port.bond} and gets at most "
            f"{format_rate(member)} ({root_name}: {shares})"
        )
        yield warning(vi_at(name, "bandwidth"), message)


def addresses_fit(_facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The two ends are different usable addresses of one subnet."""
    for index, pair in enumerate(vi.addresses):
        if not known(pair, "customer", "cloud"):
            continue
        yield from _pair(pair, vi_at(name, "addresses", index))


def _pair(pair: AddressPair, path: Path) -> Found:
    subnet = pair.customer.network
    if pair.customer.version != pair.cloud.version:
        yield Problem(
            (*path, "cloud"), f"{pair.cloud} and {pair.customer} are of different families; each has its own entry"
        )
        return
    if reason := _unusable(subnet):
        yield Problem((*path, "customer"), f"{_written(pair.customer)} {reason}")
        return
    if subnet.prefixlen < WIDEST_LINK[subnet.version]:
        yield Problem(
            (*path, "customer"), f"a /{subnet.prefixlen} is too wide for a link: it would attract traffic of others"
        )
        return
    if subnet.prefixlen == subnet.max_prefixlen:
        yield Problem((*path, "customer"), f"a /{subnet.prefixlen} has no room for the cloud's address")
        return
    if pair.cloud not in subnet:
        yield Problem((*path, "cloud"), f"{pair.cloud} is not in the customer's subnet {subnet}")
    elif pair.cloud == pair.customer.ip:
        yield Problem((*path, "cloud"), f"{pair.cloud} is the customer's address too")
    for key, address in (("customer", pair.customer.ip), ("cloud", pair.cloud)):
        if address not in subnet or subnet.prefixlen >= subnet.max_prefixlen - 1:
            continue  # RFC 3021 and RFC 6164: of two addresses both are usable
        if address == subnet.network_address:
            what = "network" if address.version == 4 else "subnet-router anycast"
            yield Problem((*path, key), f"{address} is the {what} address of {subnet}")
        elif address.version == 4 and address == subnet.broadcast_address:
            yield Problem((*path, key), f"{address} is the broadcast address of {subnet}")


def _written(address: IPv4Interface | IPv6Interface) -> str:
    """As RFC 5952, section 5, has a mapped address; Python writes it so from 3.13 on."""
    mapped = address.ip.ipv4_mapped if isinstance(address, IPv6Interface) else None
    return str(address) if mapped is None else f"::ffff:{mapped}/{address.network.prefixlen}"


def _unusable(subnet: Prefix) -> str | None:
    """Why a link cannot have addresses of a subnet; IPv4's 169.254/16 is what AWS, Azure and GCP hand out."""
    first = subnet.network_address
    if isinstance(subnet, IPv6Network) and subnet.network_address.ipv4_mapped is not None:
        return "is an IPv4-mapped address; write the IPv4 one"
    if isinstance(subnet, IPv6Network) and first.is_link_local:
        return "is link-local; a session needs a global or a unique local address"
    return unroutable(subnet, link=True)


def addresses_reserved(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The addresses are not in a range that the provider keeps for itself."""
    profile = facts.profile(vi.connection)
    if not profile.reserved:
        return
    for index, pair in enumerate(vi.addresses):
        if not known(pair, "customer") or _unusable(pair.customer.network):
            continue
        if (taken := overlapped(pair.customer.network, profile.reserved)) is not None:
            path = vi_at(name, "addresses", index, "customer")
            yield Problem(path, f"{pair.customer} is in {taken}, which {profile.name} reserves for itself")


def link_length(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The subnet has a length that the provider hands out."""
    profile = facts.profile(vi.connection)
    for index, pair in enumerate(vi.addresses):
        customer = getattr(pair, "customer", None)
        if profile.prefix_lengths and customer is not None and customer.version == 4:
            length = customer.network.prefixlen
            if length not in profile.prefix_lengths:
                lengths = " or ".join(f"/{given}" for given in profile.prefix_lengths)
                path = vi_at(name, "addresses", index, "customer")
                yield Problem(path, f"a /{length} is not a link subnet of {profile.name} ({lengths})")


def customer_first(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """Where the provider says so, the customer has the first usable address."""
    profile = facts.profile(vi.connection)
    if not profile.customer_first:
        return
    for index, pair in enumerate(vi.addresses):
        customer = getattr(pair, "customer", None)
        if customer is None:
            continue
        subnet = customer.network
        first = subnet.network_address + (0 if subnet.prefixlen >= subnet.max_prefixlen - 1 else 1)
        if customer.ip != first:
            path = vi_at(name, "addresses", index, "customer")
            yield Problem(path, f"{profile.name} gives the customer the first address: {first}/{subnet.prefixlen}")


def subnets_overlap(facts: OrderFacts) -> Found:
    """No two links in one table have overlapping subnets."""
    tables: dict[tuple[str | None, int], list[tuple[int, int, int, str, int, AddressPair]]] = defaultdict(list)
    for order, (name, vi) in enumerate(having(facts.order.virtual_interfaces, "virtual_gateway", "addresses")):
        gateway = facts.order.virtual_gateways.get(vi.virtual_gateway)
        if gateway is None or not known(gateway, "vrf"):
            continue
        for index, pair in enumerate(vi.addresses):
            if known(pair, "customer", "cloud"):
                net = pair.customer.network
                first = int(net.network_address)
                last = first + (1 << (net.max_prefixlen - net.prefixlen)) - 1
                tables[gateway.vrf, net.version].append((first, -last, order, name, index, pair))
    for (vrf, _), links in tables.items():
        links.sort(key=lambda link: (*link[:3], link[4]))
        widest = None
        for link in links:
            if widest is not None and link[0] <= -widest[1]:
                yield from _overlap(widest, link, vrf)
            if widest is None or link[1] < widest[1]:
                widest = link


def _overlap(
    one: tuple[int, int, int, str, int, AddressPair], two: tuple[int, int, int, str, int, AddressPair], vrf: str | None
) -> Found:
    """Two links' overlap, said at the one that is later in the file."""
    early, late = sorted((one, two), key=lambda link: (link[2], link[4]))
    table = f"VRF {vrf}" if vrf else "the main table"
    pair, other = late[5], early[5]
    path = vi_at(late[3], "addresses", late[4], "customer")
    place = (vi_at(early[3], "addresses", early[4]),)
    if early[3] == late[3]:
        if pair.cloud == other.cloud:
            yield Problem(path, f"the session with {pair.cloud} is here twice ({{line}})", others=place)
        elif pair.customer != other.customer:
            yield Problem(path, f"{pair.customer.network} overlaps {other.customer.network} ({{line}})", others=place)
        return
    message = f"{pair.customer.network} overlaps {other.customer.network} of {early[3]} ({{line}}) in {table}"
    yield Problem(path, message, others=place)


def bgp_or_static(_facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """A virtual interface runs BGP or has static routes."""
    if vi.bgp is not None and vi.static is not None:
        yield Problem(vi_at(name, "static"), "bgp and static exclude each other; leave one out", part="key")
    elif vi.static is not None and not vi.static:
        yield Problem(vi_at(name, "static"), "is empty; list the cloud's prefixes, or leave it out for BGP")


def static_next_hop(_facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """A static route has a next hop of its own family."""
    families = {pair.cloud.version for pair in vi.addresses}
    for index, prefix in enumerate(vi.static or ()):
        if prefix.version not in families:
            path = vi_at(name, "static", index)
            yield Problem(path, f"{prefix} has no next hop: there is no IPv{prefix.version} entry under addresses")


def static_accepted(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """A static route leads to what the gateway may announce; the default route only where that is named."""
    gateway = facts.gateway(vi.virtual_gateway)
    for index, prefix in enumerate(vi.static or ()):
        path = vi_at(name, "static", index)
        if reason := unroutable(prefix):
            yield Problem(path, f"{prefix} {reason}; it cannot be routed")
        elif gateway.accept != "any" and not any(_accepts(a.prefix, a.le, prefix) for a in gateway.accept):
            yield Problem(path, f"{prefix} is outside what {vi.virtual_gateway} may send: add it to its `accept`")
    if vi.static and len(set(vi.static)) < len(vi.static):
        yield Problem(vi_at(name, "static"), "has a prefix twice")


def _accepts(accepted: Prefix, le: int | None, prefix: Prefix) -> bool:
    return (
        accepted.version == prefix.version
        and inside(prefix, accepted)
        and (prefix.prefixlen == accepted.prefixlen or (le is not None and prefix.prefixlen <= le))
    )


def password_demanded(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The sessions have a TCP-MD5 key where the provider demands one, and none where it takes none."""
    profile = facts.profile(vi.connection)
    bgp = bgp_of(vi)
    if bgp is None:
        for index, pair in enumerate(vi.addresses):
            if pair.password is not None:
                path = vi_at(name, "addresses", index, "password")
                yield warning(path, "a static virtual interface has no session to protect")
        return
    lacking = [pair for pair in vi.addresses if (pair.password or bgp.password) is None]
    if profile.md5 == "required" and lacking:
        which = "" if len(lacking) == len(vi.addresses) else f" with {lacking[0].cloud} too"
        path = vi_at(name, "bgp") if vi.bgp is not None else vi_at(name)
        yield Problem(path, f"{profile.name} demands a TCP-MD5 key on the session{which}: set bgp.password", part="key")
    elif profile.md5 == "unsupported" and len(lacking) < len(vi.addresses):
        index = next(index for index, pair in enumerate(vi.addresses) if pair not in lacking)
        own = bgp.password is None
        path = vi_at(name, "addresses", index, "password") if own else vi_at(name, "bgp", "password")
        yield Problem(path, f"{profile.name} does not support TCP-MD5")


def bgp_timers(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """Keepalive and hold time are whole seconds that fit each other (RFC 4271, section 4.2)."""
    bgp = bgp_of(vi)
    if bgp is None:
        return
    profile = facts.profile(vi.connection)
    for key, value, low in (("keepalive", bgp.keepalive, 1), ("hold", bgp.hold, 3)):
        if value is not None and (value != int(value) or not low <= value <= 65535):
            yield Problem(
                vi_at(name, "bgp", key), f"{write_duration(value)} is not a BGP timer ({low}s to 65535s, whole seconds)"
            )
            return
    keepalive = bgp.keepalive if bgp.keepalive is not None else profile.keepalive
    hold = bgp.hold if bgp.hold is not None else profile.hold
    if hold < 3 * keepalive:
        path = vi_at(name, "bgp", "hold" if bgp.hold is not None else "keepalive")
        yield Problem(
            path, f"a hold time of {write_duration(hold)} is less than three keepalives of {write_duration(keepalive)}"
        )


def bfd_range(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """BFD's timers are within what the provider takes."""
    bgp = bgp_of(vi)
    if bgp is None or (bfd := bfd_timers(bgp, facts.profile(vi.connection))) is None or bfd is not bgp.bfd:
        return
    profile = facts.profile(vi.connection)
    limits = profile.bfd
    path = vi_at(name, "bgp", "bfd")
    interval = getattr(bfd, "interval", None)
    if interval is not None and not limits.interval_min <= interval <= limits.interval_max:
        span = f"{write_duration(limits.interval_min)} to {write_duration(limits.interval_max)}"
        yield Problem(
            (*path, "interval"), f"{write_duration(interval)} is not a BFD interval of {profile.name} ({span})"
        )
    elif interval is not None and round(interval * 1000, 6) % 1:
        yield Problem((*path, "interval"), f"{write_duration(interval)} is not a whole number of milliseconds")
    multiplier = getattr(bfd, "multiplier", None)
    if multiplier is not None and not limits.multiplier_min <= multiplier <= limits.multiplier_max:
        span = f"{limits.multiplier_min}-{limits.multiplier_max}"
        yield Problem((*path, "multiplier"), f"{multiplier} is not a BFD multiplier of {profile.name} ({span})")


def ttl_security(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """TTL security is for single-hop sessions (RFC 5082)."""
    bgp = bgp_of(vi)
    if bgp is None or not bgp.ttl_security:
        return
    profile = facts.profile(vi.connection)
    if (bgp.multihop or profile.multihop) > 1:
        why = "multihop is set" if bgp.multihop else f"{profile.name}'s sessions are multihop"
        yield Problem(vi_at(name, "bgp", "ttl_security"), f"TTL security and multihop exclude each other, and {why}")


def graceful_restart_bfd(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """The cloud cannot tell a restart, over which it keeps the path, from a dead path, which BFD is to end at once."""
    bgp = bgp_of(vi)
    profile = facts.profile(vi.connection)
    if bgp is None or not bgp.graceful_restart or bfd_timers(bgp, profile) is None:
        return
    why = "bfd is set" if bgp.bfd else f"{profile.name}'s sessions have BFD unless `bfd: false` is set"
    yield Problem(vi_at(name, "bgp", "graceful_restart"), f"graceful restart and BFD exclude each other, and {why}")


def multihop_bfd(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """BFD over several hops is another protocol (RFC 5883) that the cloud must speak."""
    bgp = bgp_of(vi)
    profile = facts.profile(vi.connection)
    if bgp is None or profile.multihop > 1 or (bgp.multihop or 1) == 1 or bfd_timers(bgp, profile) is None:
        return
    yield warning(
        vi_at(name, "bgp", "multihop"), "BFD then runs multihop (RFC 5883, UDP 4784); see that the cloud does so too"
    )


def advertise_limit_usual(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """A higher limit than the provider's usual one needs its word."""
    bgp = bgp_of(vi)
    limit = facts.profile(vi.connection).advertise_limit
    if bgp is not None and limit is not None and (bgp.advertise_limit or 0) > limit:
        provider = facts.profile(vi.connection).name
        yield warning(
            vi_at(name, "bgp", "advertise_limit"), f"{bgp.advertise_limit} is over {provider}'s usual {limit}"
        )


def communities(_facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """Each half of a community has 16 bits (RFC 1997)."""
    for index, community in enumerate(vi.bgp.communities if vi.bgp is not None else ()):
        if ":" in community and any(int(half) > 65535 for half in community.split(":")):
            path = vi_at(name, "bgp", "communities", index)
            yield Problem(path, f"{community} is not a community: each half is 0-65535")


def probe_interval(_facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """Probes are neither a flood nor useless."""
    interval = (vi.probe or Probe()).interval
    if not PROBE_MIN <= interval <= PROBE_MAX:
        path = vi_at(name, "probe", "interval")
        yield Problem(path, f"{write_duration(interval)} is not a probe interval (10ms to 1h)")


def ipv6_mtu(facts: OrderFacts, name: str, vi: VirtualInterface) -> Found:
    """IPv6 does not run over a smaller MTU than 1280."""
    connection = facts.connection(vi.connection)
    mtu = connection.mtu or facts.root(vi.connection)[1].mtu
    if mtu is not None and mtu < IPV6_MIN_MTU:
        for index, pair in enumerate(vi.addresses):
            if pair.customer.version == 6:
                path = vi_at(name, "addresses", index, "customer")
                yield Problem(path, f"IPv6 needs an MTU of {IPV6_MIN_MTU}; connection {vi.connection} has {mtu}")
