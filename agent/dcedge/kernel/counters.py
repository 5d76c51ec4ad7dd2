"""Traffic counters of links and shapers, for metrics and status; apart from the passes, which do not need them."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import NamedTuple

from dcedge.kernel import messages as m
from dcedge.kernel.bonding import BondMember, read_active_aggregator, read_member
from dcedge.kernel.netlink import RouteSocket, Span, attributes, each_attribute, string_at, u32
from dcedge.kernel.shaping import DATA
from dcedge.kernel.view import dump

_TCA_STATS_BASIC, _TCA_STATS_QUEUE, _TCA_STATS_APP = 1, 3, 4
_TCA_CAKE_STATS_TIN_STATS, _TCA_CAKE_TIN_STATS_ECN_MARKED = 10, 8
_LEAF_HANDLE = m.leaf_handle(DATA)
_STATS64 = struct.Struct("=QQQQQQQQ")  # rtnl_link_stats64: packets, bytes, errors, dropped; each receive, transmit
_BASIC = struct.Struct("=QI")  # gnet_stats_basic: bytes, packets
_FQ_CODEL_MARKED = struct.Struct("=12xI")  # tc_fq_codel_xstats: type, maxpacket, drop_overlimit, ecn_mark
_U32 = struct.Struct("=I")
_QUEUE = struct.Struct("=IIIII")  # gnet_stats_queue: length, backlog, drops, requeues, overlimits


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """A link's counters since it was made, as the kernel counts them for it."""

    receive_packets: int
    transmit_packets: int
    receive_bytes: int
    transmit_bytes: int
    receive_errors: int
    transmit_errors: int
    carrier: bool
    carrier_changes: int
    up: bool = True  # set up (IFF_UP), whatever the carrier says
    receive_dropped: int = 0
    transmit_dropped: int = 0
    member: BondMember | None = None  # where it is in a bond
    active_aggregator: int | None = None  # where it is a bond that speaks LACP
    index: int = 0


@dataclass(frozen=True, slots=True)
class ShaperCounters:
    """A shaper: frame bytes and packets sent, and of its queue packets dropped and marked, and bytes waiting.

    `requeues`: how often the device below had no room, and a packet had to wait once more.
    """

    kind: str
    sent_bytes: int
    sent_packets: int
    dropped_packets: int
    backlog_bytes: int
    marked_packets: int = 0
    requeues: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """All counters of one network namespace: links by name, shapers by the link they are on."""

    links: dict[str, LinkCounters]
    shapers: dict[str, ShaperCounters]


def read_counters(sock: RouteSocket) -> Counters:
    """Dump the counters of every link and of every shaper of ours. Raises KernelError."""
    body = m.LINK_BODY.pack(0, 0, 0, 0, 0) + u32(m.IFLA_EXT_MASK, 0)
    counters = Counters({}, {})
    names: dict[int, str] = {}
    roots: dict[int, _Root] = {}

    # Entered as they come: lists of thousands in between would cost as much memory again.
    def link(data: memoryview, start: int, end: int) -> None:
        name, found = _link(data, start, end)
        names[found.index] = name
        counters.links[name] = found

    def queue(data: memoryview, start: int, end: int) -> None:
        _, index, handle, _, _ = m.TC_BODY.unpack_from(data, start)
        if handle == m.ROOT_HANDLE:
            roots[index] = _root(data, start, end)
        elif handle == _LEAF_HANDLE and index in roots and index in names:
            # A device's root is told before what is in it.
            counters.shapers[names[index]] = _shaper(data, start, end, roots.pop(index))

    dump(sock, m.RTM_GETLINK, body, link)
    dump(sock, m.RTM_GETQDISC, m.TC_BODY.pack(0, 0, 0, 0, 0), queue)
    return counters


def _link(data: memoryview, start: int, end: int) -> tuple[str, LinkCounters]:
    _, _, index, flags, _ = m.LINK_BODY.unpack_from(data, start)
    found = attributes(data, start + 16, end)
    name = sys.intern(string_at(data, found[m.IFLA_IFNAME]))
    rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped = _STATS64.unpack_from(
        data, found[m.IFLA_STATS64][0]
    )
    changes = found.get(m.IFLA_CARRIER_CHANGES)
    info, master, member, aggregator = found.get(m.IFLA_LINKINFO), found.get(m.IFLA_MASTER), None, None
    if info is not None:
        if master is not None:
            member = read_member(data, info, struct.unpack_from("=I", data, master[0])[0])
        if flags & m.IFF_MASTER:
            aggregator = read_active_aggregator(data, info)
    return name, LinkCounters(
        rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors,
        carrier=bool(flags & m.IFF_LOWER_UP),
        carrier_changes=struct.unpack_from("=I", data, changes[0])[0] if changes is not None else 0,
        up=bool(flags & m.IFF_UP),
        receive_dropped=rx_dropped,
        transmit_dropped=tx_dropped,
        member=member,
        active_aggregator=aggregator,
        index=index,
    )  # fmt: skip


class _Root(NamedTuple):
    """What is counted at the root of a tree of ours, which all passes."""

    sent_bytes: int
    sent_packets: int
    requeues: int


def _root(data: memoryview, start: int, end: int) -> _Root:
    stats = attributes(data, *attributes(data, start + 20, end)[m.TCA_STATS2])
    sent_bytes, sent_packets = _BASIC.unpack_from(data, stats[_TCA_STATS_BASIC][0])
    return _Root(sent_bytes, sent_packets, _QUEUE.unpack_from(data, stats[_TCA_STATS_QUEUE][0])[3])


def _shaper(data: memoryview, start: int, end: int, root: _Root) -> ShaperCounters:
    """A shaper from its queue, where packets wait and are dropped, and its root."""
    found = attributes(data, start + 20, end)
    stats = attributes(data, *found[m.TCA_STATS2])
    _, backlog, drops, _, _ = _QUEUE.unpack_from(data, stats[_TCA_STATS_QUEUE][0])
    kind = sys.intern(string_at(data, found[m.TCA_KIND]))
    marked = _marked(data, kind, stats.get(_TCA_STATS_APP))
    return ShaperCounters(kind, root.sent_bytes, root.sent_packets, drops, backlog, marked, root.requeues)


def _marked(data: memoryview, kind: str, span: Span | None) -> int:
    """The packets that a queue marked with ECN instead of dropping them."""
    if span is None:
        return 0
    if kind == "fq_codel":
        return int(_FQ_CODEL_MARKED.unpack_from(data, span[0])[0])
    if kind == "cake":
        tins = attributes(data, *span).get(_TCA_CAKE_STATS_TIN_STATS)
        each = [attributes(data, *tin) for _, tin in each_attribute(data, tins)] if tins is not None else []
        return sum(_U32.unpack_from(data, tin[_TCA_CAKE_TIN_STATS_ECN_MARKED][0])[0] for tin in each)
    return 0
