"""What the kernel says: links, addresses and queues, each table dumped once and indexed.

Decodes only the attributes that are used; a link costs some 20 µs. What thousands of links have alike is decoded once,
and is one object.
"""

from __future__ import annotations

import errno
import struct
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_interface, ip_network
from typing import TypeVar

from dcedge.errors import KernelError
from dcedge.kernel import messages as m
from dcedge.kernel.classify import Classifier
from dcedge.kernel.netlink import RouteSocket, Span, attributes, each_attribute, string_at, u32
from dcedge.kernel.objects import IPV4_CONF, IPV6_CONF, ROUTE_PROTOCOL
from dcedge.kernel.shaping import HtbClass, Leaf, QueueParameters, Tree
from dcedge.order.kinds import Address, Interface, Prefix
from dcedge.order.resolve import Tag

# A second or two after thousands of links have come up, their IPv6 addresses settle one by one (duplicate address
# detection), and each that does interrupts a dump; the pause between two tries doubles, up to 2.5 s in all.
_ATTEMPTS, _PAUSE_SECONDS = 9, 0.01
_ALIKE = 1024  # so many kinds of one thing are remembered
_U32 = struct.Struct("=I")
_INDEX = struct.Struct("=i")
_U16 = struct.Struct("=H")
_BE16 = struct.Struct(">H")
_U64 = struct.Struct("=Q")
T = TypeVar("T")
_ANOTHER = Classifier(b"", 0)  # somebody else's filter, or several


@dataclass(frozen=True, slots=True)
class BondView:
    """What a bond is set to."""

    mode: int
    lacp_rate: str
    min_links: int


@dataclass(frozen=True, slots=True)
class LinkView:
    """One link as the kernel has it."""

    index: int
    name: str
    flags: int
    mtu: int
    below: int  # index of the link that carries it, 0: none in this network namespace
    master: int
    kind: str
    tag: Tag | None
    alias: str
    altnames: tuple[str, ...]
    conf4: tuple[tuple[str, int], ...]
    conf6: tuple[tuple[str, int], ...]
    group: int
    table: int = 0  # a VRF's
    bond: BondView | None = None
    control_pcp: int = 0  # a VLAN link's 802.1p priority for control packets

    @property
    def up(self) -> bool:
        """Whether it is set up (IFF_UP)."""
        return bool(self.flags & m.IFF_UP)

    @property
    def running(self) -> bool:
        """Whether the kernel uses it: up, and its carrier has been taken note of (IFF_RUNNING, RFC 2863)."""
        return bool(self.flags & m.IFF_RUNNING)

    @property
    def carrier(self) -> bool:
        """Whether its lower layer is up (IFF_LOWER_UP)."""
        return bool(self.flags & m.IFF_LOWER_UP)


@dataclass(frozen=True, slots=True)
class AddressView:
    """One address; `protocol` says who made it (0 where the kernel does not know)."""

    index: int
    interface: Interface
    protocol: int


@dataclass(frozen=True, slots=True)
class QdiscView:
    """One qdisc of some link; equal ones of several links are one object."""

    kind: str
    handle: int
    parent: int
    settings: tuple[tuple[str, int], ...]


Qdiscs = Mapping[int, tuple[QdiscView, ...]]  # by index of their link


@dataclass(frozen=True, slots=True)
class RouteView:
    """One route of our protocol number: hops as index of the link (0: it is gone) and gateway."""

    prefix: Prefix
    table: int
    metric: int
    hops: tuple[tuple[int, Address], ...]


@dataclass(slots=True)
class KernelView:
    """One network namespace's links, addresses and queues, indexed."""

    links: dict[int, LinkView] = field(default_factory=dict)
    by_name: dict[str, LinkView] = field(default_factory=dict)
    addresses: dict[int, list[AddressView]] = field(default_factory=dict)
    link_locals: set[int] = field(default_factory=set)  # the links that have an IPv6 link-local address
    qdiscs: dict[int, tuple[QdiscView, ...]] = field(default_factory=dict)
    classes: dict[int, tuple[HtbClass, ...]] = field(default_factory=dict)  # of our own trees
    classifiers: dict[int, Classifier] = field(default_factory=dict)
    redirects: dict[int, int] = field(default_factory=dict)  # where what comes in by a link is sent by a filter of ours
    routes: list[RouteView] = field(default_factory=list)


def observe_link(sock: RouteSocket, index: int, qdiscs: Qdiscs | None = None) -> KernelView:
    """One link with what stands on it, the links it stands on, and its VRF; an empty view where it is gone.

    With the `qdiscs` (of `qdiscs_of`) its queues are looked into, too.
    """
    view = KernelView()
    wanted = index
    while wanted:
        link = link_at(sock, wanted)
        if link is None:
            break
        view.links[link.index] = link
        view.by_name[link.name] = link
        wanted = link.below if link.kind == "vlan" else 0
    if index not in view.links:
        return view
    if view.links[index].master:
        master = link_at(sock, view.links[index].master)
        if master is not None:
            view.links[master.index] = master
            view.by_name[master.name] = master
    view.addresses[index] = addresses_on(sock, index)
    if any(address.interface.ip.is_link_local for address in view.addresses[index] if address.interface.version == 6):
        view.link_locals.add(index)
    if qdiscs is not None and index in qdiscs:
        view.qdiscs[index] = qdiscs[index]
        _look_into_tree(sock, view, index)
    return view


def qdiscs_of(sock: RouteSocket, only: Collection[int] | None = None) -> dict[int, tuple[QdiscView, ...]]:
    """The qdiscs of all links, or of some, by index; the kernel tells those of all anyway, so it is asked once."""
    found: dict[int, tuple[QdiscView, ...]] = {}

    def enter(data: memoryview, start: int, end: int) -> None:
        index = _INDEX.unpack_from(data, start + 4)[0]
        if only is None or index in only:
            qdisc, before = _qdisc(data, start, end), found.get(index, ())
            if qdisc not in before:  # an interrupted dump begins anew
                found[index] = (*before, qdisc)

    dump(sock, m.RTM_GETQDISC, m.TC_BODY.pack(0, 0, 0, 0, 0), enter)
    return found


def _look_into_tree(sock: RouteSocket, view: KernelView, index: int) -> None:
    """Classes and filter of our tree on a link, where there is one."""
    if has_tree(view.qdiscs.get(index, ())):
        view.classes[index] = classes_of(sock, index)
        found = classifier_of(sock, index)
        if found is not None:
            view.classifiers[index] = found
    if any(qdisc.parent == m.TC_H_INGRESS for qdisc in view.qdiscs.get(index, ())):
        ours = [to for to, _ in ingress_filters(sock, index) if to is not None]
        if len(ours) == 1:
            view.redirects[index] = ours[0]


def ingress_filters(sock: RouteSocket, index: int) -> list[tuple[int | None, int]]:
    """The filters on what comes in by a link: where one of ours redirects to (None: somebody else's), preference."""
    body = m.TC_BODY.pack(0, index, 0, m.INGRESS_HANDLE, 0)
    return [filter_ for filter_ in dump(sock, m.RTM_GETTFILTER, body, _ingress_filter) if filter_ is not None]


def has_tree(qdiscs: Iterable[QdiscView]) -> bool:
    """Whether the root among a link's qdiscs is ours."""
    return any(q.handle == m.ROOT_HANDLE and q.kind == "htb" for q in qdiscs)


def link_at(sock: RouteSocket, index: int) -> LinkView | None:
    """One link; None where it is gone."""
    return sock.get(m.RTM_GETLINK, _which_links(index), link_view)


def hardware_address(sock: RouteSocket, index: int) -> bytes:
    """A link's hardware address; empty where it has none, or is gone."""

    def decode(data: memoryview, start: int, end: int) -> bytes:
        return _payload(data, attributes(data, start + 16, end).get(m.IFLA_ADDRESS))

    return sock.get(m.RTM_GETLINK, _which_links(index), decode) or b""


def addresses_on(sock: RouteSocket, index: int) -> list[AddressView]:
    """The addresses on one link."""
    found = dump(sock, m.RTM_GETADDR, m.ADDRESS_BODY.pack(0, 0, 0, 0, index), _address)
    return [address for address in found if address is not None]


def observe_kernel(sock: RouteSocket, wanted: Iterable[Interface]) -> KernelView:
    """Dump links, addresses, qdiscs, the HTB classes of our own trees, and our routes.

    Of the addresses only those that are ours by their protocol number, or are among the `wanted` ones.
    Raises KernelError.
    """
    view = KernelView()
    known = {(interface.packed, interface.network.prefixlen): interface for interface in wanted}

    def address(data: memoryview, start: int, end: int) -> AddressView | None:
        family, _, _, scope, index = m.ADDRESS_BODY.unpack_from(data, start)
        if family == m.AF_INET6 and scope == m.RT_SCOPE_LINK:
            view.link_locals.add(index)
            return None
        return _address(data, start, end, known)

    for link in dump_links(sock):
        view.links[link.index] = link
        view.by_name[link.name] = link
    for found in dump(sock, m.RTM_GETADDR, m.ADDRESS_BODY.pack(0, 0, 0, 0, 0), address):
        if found is not None:
            view.addresses.setdefault(found.index, []).append(found)
    view.qdiscs = qdiscs_of(sock)
    for index in view.qdiscs:
        _look_into_tree(sock, view, index)
    view.routes = our_routes(sock)
    return view


def our_routes(sock: RouteSocket) -> list[RouteView]:
    """The routes of our protocol number, in every table; the kernel sends no others (NETLINK_GET_STRICT_CHK)."""
    found = []
    for family in (m.AF_INET, m.AF_INET6):
        body = m.ROUTE_BODY.pack(family, 0, 0, 0, 0, ROUTE_PROTOCOL, 0, 0, 0)
        try:
            found += dump(sock, m.RTM_GETROUTE, body, _route)
        except KernelError as error:
            if error.errno != errno.EOPNOTSUPP:  # a kernel without IPv6
                raise
    return [route for route in found if route is not None]


def tables_in_use(sock: RouteSocket) -> set[int]:
    """The routing tables that VRFs or rules of this network namespace lead to."""
    used = {link.table for link in dump_links(sock) if link.table}
    for family in (m.AF_INET, m.AF_INET6):
        used |= set(dump(sock, m.RTM_GETRULE, m.RULE_BODY.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), _rule_table))
    return used


def dump_links(sock: RouteSocket) -> list[LinkView]:
    """Every link, without its counters."""
    return dump(sock, m.RTM_GETLINK, _which_links(), link_view)


def _which_links(index: int = 0) -> bytes:
    """What asks for one link, or for all, without counters."""
    return m.LINK_BODY.pack(0, 0, index, 0, 0) + u32(m.IFLA_EXT_MASK, m.RTEXT_FILTER_SKIP_STATS)


def classes_of(sock: RouteSocket, index: int) -> tuple[HtbClass, ...]:
    """The classes of our tree on one device, in order of their minors; none of the queues' own."""
    found = dump(sock, m.RTM_GETTCLASS, m.TC_BODY.pack(0, index, 0, m.ROOT_HANDLE, 0), _htb_class)
    return tuple(sorted((htb for htb in found if htb is not None), key=lambda htb: htb.minor))


def classifier_of(sock: RouteSocket, index: int) -> Classifier | None:
    """The filter at our root; one that is not as we make them, or is not alone, equals none of ours."""
    found = [
        classifier
        for classifier in dump(sock, m.RTM_GETTFILTER, m.TC_BODY.pack(0, index, 0, m.ROOT_HANDLE, 0), _classifier)
        if classifier is not None
    ]
    return found[0] if len(found) == 1 else _ANOTHER if found else None


def dump(sock: RouteSocket, kind: int, body: bytes, decode: Callable[[memoryview, int, int], T]) -> list[T]:
    """Every message of one table, decoded; asked for again when the table changed meanwhile."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return [decode(data, start, end) for data, start, end in sock.dump(kind, body)]
        except KernelError as error:
            if not error.retryable or error.errno == errno.ETIMEDOUT or attempt == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def link_view(data: memoryview, start: int, end: int) -> LinkView:
    """A link from an RTM_NEWLINK message's body."""
    _, _, index, flags, _ = m.LINK_BODY.unpack_from(data, start)
    found = attributes(data, start + 16, end)
    kind, tag, table, bond, control_pcp = "", None, 0, None, 0
    if (info := found.get(m.IFLA_LINKINFO)) is not None:
        nest = attributes(data, *info)
        if (span := nest.get(m.IFLA_INFO_KIND)) is not None:
            kind = string_at(data, span)
        if kind == "vlan" and (span := nest.get(m.IFLA_INFO_DATA)) is not None:
            vlan = attributes(data, *span)
            tag = Tag(
                _U16.unpack_from(data, vlan[m.IFLA_VLAN_ID][0])[0],
                _BE16.unpack_from(data, vlan[m.IFLA_VLAN_PROTOCOL][0])[0],
            )
            if (span := vlan.get(m.IFLA_VLAN_EGRESS_QOS)) is not None:
                control_pcp = _control_pcp(data, span)
        elif kind == "vrf" and (span := nest.get(m.IFLA_INFO_DATA)) is not None:
            table = _number(data, attributes(data, *span).get(m.IFLA_VRF_TABLE))
        elif kind == "bond" and (span := nest.get(m.IFLA_INFO_DATA)) is not None:
            bond = _bond(data, span)
    conf4: tuple[tuple[str, int], ...] = ()
    conf6: tuple[tuple[str, int], ...] = ()
    if (spec := found.get(m.IFLA_AF_SPEC)) is not None:
        families = attributes(data, *spec)
        if (span := families.get(m.AF_INET)) is not None:
            conf4 = _conf4(_payload(data, attributes(data, *span).get(m.IFLA_INET_CONF)))
        if (span := families.get(m.AF_INET6)) is not None:
            conf6 = _conf6(_payload(data, attributes(data, *span).get(m.IFLA_INET6_CONF)))
    names: tuple[str, ...] = ()
    if (span := found.get(m.IFLA_PROP_LIST)) is not None:
        names = tuple(sys.intern(string_at(data, s)) for k, s in each_attribute(data, span) if k == m.IFLA_ALT_IFNAME)
    return LinkView(
        index=index,
        name=sys.intern(string_at(data, found[m.IFLA_IFNAME])),
        flags=flags,
        mtu=_number(data, found.get(m.IFLA_MTU)),
        below=_number(data, found.get(m.IFLA_LINK)) if m.IFLA_LINK_NETNSID not in found else 0,
        master=_number(data, found.get(m.IFLA_MASTER)),
        kind=kind,
        tag=tag,
        alias=sys.intern(string_at(data, found[m.IFLA_IFALIAS])) if m.IFLA_IFALIAS in found else "",
        altnames=names,
        conf4=conf4,
        conf6=conf6,
        group=_number(data, found.get(m.IFLA_GROUP)),
        table=table,
        bond=bond,
        control_pcp=control_pcp,
    )


def _control_pcp(data: memoryview, span: Span) -> int:
    for _, (start, _) in each_attribute(data, span):
        priority, pcp = m.QOS_MAPPING.unpack_from(data, start)
        if priority == m.CONTROL_HANDLE:
            return int(pcp)
    return 0


def _bond(data: memoryview, span: Span) -> BondView:
    found = attributes(data, *span)
    rate = data[found[m.IFLA_BOND_AD_LACP_RATE][0]] if m.IFLA_BOND_AD_LACP_RATE in found else 0
    return BondView(
        mode=data[found[m.IFLA_BOND_MODE][0]],
        lacp_rate=next(name for name, number in m.LACP_RATES.items() if number == rate),
        min_links=_number(data, found.get(m.IFLA_BOND_MIN_LINKS)),
    )


def _number(data: memoryview, span: Span | None) -> int:
    return int(_U32.unpack_from(data, span[0])[0]) if span is not None else 0


_IPV4_PLACES = tuple((name, m.IPV4_DEVCONF[name] - 1) for name, _ in IPV4_CONF)
_IPV6_PLACES = tuple((name, m.IPV6_DEVCONF[name]) for name, _ in IPV6_CONF)


def _payload(data: memoryview, span: Span | None) -> bytes:
    return bytes(data[span[0] : span[1]]) if span is not None else b""


@lru_cache(_ALIKE)
def _conf4(payload: bytes) -> tuple[tuple[str, int], ...]:
    return tuple(_conf(payload, _IPV4_PLACES))


@lru_cache(_ALIKE)
def _conf6(payload: bytes) -> tuple[tuple[str, int], ...]:
    return effective_conf6(_conf(payload, _IPV6_PLACES))


def _conf(payload: bytes, places: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    for name, place in places:
        if 4 * place + 4 <= len(payload):
            yield name, _U32.unpack_from(payload, 4 * place)[0]


def effective_conf6(settings: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """IPv6 settings as they act on a forwarding interface, where accept_ra counts only as 2 (ip-sysctl.txt)."""
    return tuple((name, 0 if name == "accept_ra" and value == 1 else value) for name, value in settings)


def _address(
    data: memoryview, start: int, end: int, known: Mapping[tuple[bytes, int], Interface] | None = None
) -> AddressView | None:
    """An address; with those that are `known`, None for others that are not ours."""
    _, length, _, _, index = m.ADDRESS_BODY.unpack_from(data, start)
    found = attributes(data, start + 8, end)
    span = found.get(m.IFA_LOCAL) or found.get(m.IFA_ADDRESS)
    if span is None:
        return None
    proto = data[found[m.IFA_PROTO][0]] if m.IFA_PROTO in found else 0
    place = bytes(data[span[0] : span[1]]), length
    interface = known.get(place) if known is not None else None
    if interface is None:
        if known is not None and proto != ROUTE_PROTOCOL:
            return None
        interface = ip_interface(place)
    return AddressView(index, interface, proto)


def _route(data: memoryview, start: int, end: int) -> RouteView | None:
    family, length, _, _, table, protocol, _, kind, _ = m.ROUTE_BODY.unpack_from(data, start)
    if protocol != ROUTE_PROTOCOL or kind != m.RTN_UNICAST:
        return None
    found = attributes(data, start + m.ROUTE_BODY.size, end)
    span = found.get(m.RTA_DST)
    network = bytes(data[slice(*span)]) if span is not None else bytes(4 if family == m.AF_INET else 16)
    hops = []
    if (span := found.get(m.RTA_MULTIPATH)) is not None:
        at, stop = span
        while at + m.NEXTHOP.size <= stop:
            size, _, _, index = m.NEXTHOP.unpack_from(data, at)
            nest = attributes(data, at + m.NEXTHOP.size, at + size)
            if m.RTA_GATEWAY in nest:
                hops.append((index, ip_address(bytes(data[slice(*nest[m.RTA_GATEWAY])]))))
            at += (size + 3) & ~3
    elif (span := found.get(m.RTA_GATEWAY)) is not None:
        hops.append((_number(data, found.get(m.RTA_OIF)), ip_address(bytes(data[slice(*span)]))))
    return RouteView(
        prefix=ip_network((network, length)),
        table=_number(data, found.get(m.RTA_TABLE)) or table,
        metric=_number(data, found.get(m.RTA_PRIORITY)),
        hops=tuple(hops),
    )


def _rule_table(data: memoryview, start: int, end: int) -> int:
    table = m.RULE_BODY.unpack_from(data, start)[4]
    return _number(data, attributes(data, start + m.RULE_BODY.size, end).get(m.FRA_TABLE)) or int(table)


def _qdisc(data: memoryview, start: int, end: int) -> QdiscView:
    _, _, handle, parent, _ = m.TC_BODY.unpack_from(data, start)
    found = attributes(data, start + 20, end)
    kind = sys.intern(string_at(data, found[m.TCA_KIND]))
    span = found.get(m.TCA_OPTIONS)
    return _known_qdisc(kind, handle, parent, _payload(data, span) if handle and kind in _SETTINGS else b"")


@lru_cache(_ALIKE)
def _known_qdisc(kind: str, handle: int, parent: int, options: bytes) -> QdiscView:
    settings = _SETTINGS[kind](memoryview(options), (0, len(options))) if options else ()
    return QdiscView(kind, handle, parent, settings)


def _htb_settings(data: memoryview, span: Span) -> tuple[tuple[str, int], ...]:
    nest = attributes(data, *span)
    return (("default", m.HTB_GLOBAL.unpack_from(data, nest[m.TCA_HTB_INIT][0])[2]),) if m.TCA_HTB_INIT in nest else ()


def _fq_codel_settings(data: memoryview, span: Span) -> tuple[tuple[str, int], ...]:
    nest = attributes(data, *span)
    return tuple((name, _number(data, nest[m.FQ_CODEL[name]])) for name in _FQ_CODEL_READ if m.FQ_CODEL[name] in nest)


def _cake_settings(data: memoryview, span: Span) -> tuple[tuple[str, int], ...]:
    nest = attributes(data, *span)
    read = {m.CAKE["rate"]: _U64}
    return tuple(
        (name, read.get(kind, _U32).unpack_from(data, nest[kind][0])[0])
        for name, kind in m.CAKE.items()
        if kind in nest
    )


def _tbf_settings(data: memoryview, span: Span) -> tuple[tuple[str, int], ...]:
    nest = attributes(data, *span)
    if m.TCA_TBF_PARMS not in nest:
        return ()
    rate, _, _, _, cut_bytes = m.TBF_OPTIONS.unpack_from(data, nest[m.TCA_TBF_PARMS][0])
    return (("rate", _rate_bytes(data, nest.get(m.TCA_TBF_RATE64), rate)), ("cut", cut_bytes))


_FQ_CODEL_READ = ("target", "limit", "interval", "ecn", "flows", "quantum", "memory_limit")
_SETTINGS: dict[str, Callable[[memoryview, Span], tuple[tuple[str, int], ...]]] = {
    "htb": _htb_settings,
    "fq_codel": _fq_codel_settings,
    "cake": _cake_settings,
    "tbf": _tbf_settings,
    "pfifo": lambda data, span: (("limit", _number(data, span)),),
}


def _htb_class(data: memoryview, start: int, end: int) -> HtbClass | None:
    _, _, handle, parent, _ = m.TC_BODY.unpack_from(data, start)
    found = attributes(data, start + 20, end)
    return _class(
        handle & 0xFFFF, parent & 0xFFFF if parent != m.TC_H_ROOT else 0, _payload(data, found[m.TCA_OPTIONS])
    )


@lru_cache(_ALIKE)
def _class(minor: int, parent: int, options: bytes) -> HtbClass | None:
    data = memoryview(options)
    nest = attributes(data, 0, len(options))
    span = nest.get(m.TCA_HTB_PARMS)
    if span is None:
        return None
    rate, ceil, burst, ceil_burst, quantum, _, priority = m.HTB_OPTIONS.unpack_from(data, span[0])
    _, _, overhead, _, _, _ = m.RATE_SPEC.unpack(rate)
    return HtbClass(
        minor=minor,
        parent=parent,
        rate_bytes=_rate_bytes(data, nest.get(m.TCA_HTB_RATE64), rate),
        ceil_bytes=_rate_bytes(data, nest.get(m.TCA_HTB_CEIL64), ceil),
        burst_ticks=burst,
        ceil_burst_ticks=ceil_burst,
        quantum=quantum,
        priority=priority,
        overhead=overhead,
    )


def _rate_bytes(data: memoryview, wide: Span | None, spec: bytes) -> int:
    return int(_U64.unpack_from(data, wide[0])[0] if wide is not None else m.RATE_SPEC.unpack(spec)[5])


def _classifier(data: memoryview, start: int, end: int) -> Classifier | None:
    """A filter; None for the head of a list of them."""
    _, _, handle, _, info = m.TC_BODY.unpack_from(data, start)
    if not handle:
        return None
    found = attributes(data, start + 20, end)
    nest = attributes(data, *found[m.TCA_OPTIONS]) if m.TCA_OPTIONS in found else {}
    if (handle, info) != (m.CLASSIFIER_HANDLE, m.CLASSIFIER_INFO) or m.TCA_BPF_OPS not in nest:
        return _ANOTHER
    mark = 0
    if (span := nest.get(m.TCA_BPF_ACT)) is not None:
        for _, action in each_attribute(data, span):
            options = attributes(data, *attributes(data, *action)[m.TCA_ACT_OPTIONS])
            mark = _number(data, options.get(m.TCA_SKBEDIT_PRIORITY))
    return Classifier(bytes(data[slice(*nest[m.TCA_BPF_OPS])]), mark)


def _ingress_filter(data: memoryview, start: int, end: int) -> tuple[int | None, int] | None:
    _, _, handle, _, info = m.TC_BODY.unpack_from(data, start)
    found = attributes(data, start + 20, end)
    nest = attributes(data, *found[m.TCA_OPTIONS]) if m.TCA_OPTIONS in found else {}
    if not handle or (string_at(data, found[m.TCA_KIND]) == "u32" and m.TCA_U32_SEL not in nest):
        return None  # a table of filters
    if info != m.REDIRECT_INFO:
        return None, info >> 16
    to = 0
    if (span := nest.get(m.TCA_U32_ACT)) is not None:
        for _, action in each_attribute(data, span):
            options = attributes(data, *attributes(data, *action)[m.TCA_ACT_OPTIONS])
            if m.TCA_MIRRED_PARMS in options:
                to = m.MIRRED_OPTIONS.unpack_from(data, options[m.TCA_MIRRED_PARMS][0])[6]
    return to, info >> 16


def tree_of(view: KernelView, index: int) -> Tree:
    """Our tree on a link, as far as it is there."""
    by_parent = {qdisc.parent: qdisc for qdisc in view.qdiscs.get(index, ())}
    classes = view.classes.get(index, ())
    inner = {htb.parent for htb in classes}
    root = by_parent.get(m.TC_H_ROOT)
    return Tree(
        default=dict(root.settings).get("default", 0) if root is not None else 0,
        classes=classes,
        leaves=tuple(
            leaf for htb in classes if htb.minor not in inner and (leaf := _leaf(by_parent, htb.minor)) is not None
        ),
        classifier=view.classifiers.get(index),
    )


def _leaf(by_parent: dict[int, QdiscView], minor: int) -> Leaf | None:
    """What a class holds; None for the nameless queue that the kernel gives it."""
    qdisc, cut = by_parent.get(m.ROOT_HANDLE | minor), 0
    if qdisc is not None and qdisc.handle == m.segmenter_handle(minor) and qdisc.kind == "tbf":
        settings = dict(qdisc.settings)
        cut = settings["cut"] if settings.get("rate") == m.SEGMENTER_RATE_BYTES else -1
        qdisc = by_parent.get(qdisc.handle | 1)
    if qdisc is None or not qdisc.handle:
        return Leaf(minor, None, cut) if cut else None
    known = qdisc.handle == m.leaf_handle(minor)
    return Leaf(minor, QueueParameters(qdisc.kind if known else "another", qdisc.settings), cut)
