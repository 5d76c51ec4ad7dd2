"""Traffic counters of links and shapers, for metrics and status; apart from the passes, which do not need them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pyroute2.netlink.rtnl.ifinfmsg import IFF_LOWER_UP, IFF_MASTER, IFF_UP
from pyroute2.netlink.rtnl.tcmsg import sched_cake, sched_fq_codel
from pyroute2.netlink.rtnl.tcmsg.common import stats2

from dcedge.kernel import questions
from dcedge.kernel.bond.lacp import BondMember, read_active_aggregator, read_member
from dcedge.kernel.dump import dump
from dcedge.kernel.naming import interface_link, link_name
from dcedge.kernel.queue.handles import ROOT_HANDLE, leaf_handle, shared_vlan
from dcedge.kernel.queue.shaping import DATA
from dcedge.netlink.descriptions import link_message, queue_message
from dcedge.netlink.layout import fields_struct
from dcedge.netlink.reader import ListReader, Reader
from dcedge.netlink.socket import RouteSocket
from dcedge.order.resolve import ResolvedInterface

_LEAF_HANDLE = leaf_handle(DATA)
_COUNTED = ["rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped"]
# What a card or its driver counts as lost at the port, by the kernel's names (struct rtnl_link_stats64).
RECEIVE_FAULTS = ("rx_missed_errors", "rx_over_errors", "rx_fifo_errors", "rx_crc_errors", "rx_frame_errors")
TRANSMIT_FAULTS = ("tx_fifo_errors", "tx_carrier_errors")
FAULTS = RECEIVE_FAULTS + TRANSMIT_FAULTS
LINK = Reader(
    link_message,
    *("index", "flags", "IFLA_IFNAME", "IFLA_CARRIER_CHANGES", "IFLA_MASTER", "IFLA_LINKINFO"),
    nests={"IFLA_STATS64": Reader(link_message.ifstats64, *_COUNTED, *FAULTS)},
)
LINK_INFO = Reader(
    link_message.ifinfo,
    *("IFLA_INFO_KIND", "IFLA_INFO_DATA", "IFLA_INFO_SLAVE_KIND", "IFLA_INFO_SLAVE_DATA"),
)
QUEUE = Reader(
    queue_message,
    "TCA_KIND",
    nests={
        "TCA_STATS2": Reader(
            stats2,
            "TCA_STATS_APP",
            nests={
                "TCA_STATS_BASIC": Reader(stats2.basic, "bytes", "packets"),
                "TCA_STATS_QUEUE": Reader(stats2.queue, "backlog", "drops", "requeues"),
            },
        )
    },
)
_PLACE = fields_struct(queue_message, ("index", "handle"))
_FQ_CODEL = Reader(sched_fq_codel.qdisc_stats, "ecn_mark")
_CAKE_APP = sched_cake.stats2.stats_app
_CAKE_TIN = Reader(_CAKE_APP.tca_parse_tins.tca_parse_tin_stats, "TCA_CAKE_TIN_STATS_ECN_MARKED_PACKETS")
_CAKE = Reader(_CAKE_APP, nests={"TCA_CAKE_STATS_TIN_STATS": ListReader(_CAKE_TIN)})


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """A link's counters since it was made, as the kernel counts them for it.

    `faults` are those of FAULTS that are not 0.
    """

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
    faults: tuple[tuple[str, int], ...] = ()


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
class QueueCounters:
    """One queue: packets dropped and marked, and bytes waiting."""

    dropped_packets: int
    marked_packets: int
    backlog_bytes: int


@dataclass(frozen=True, slots=True)
class Counters:
    """All counters of one network namespace: links by name, shapers by the link they are on.

    `shared`: the queues of rates that several share, by the device that they are on and the VLAN that each is for.
    """

    links: dict[str, LinkCounters]
    shapers: dict[str, ShaperCounters]
    shared: dict[tuple[str, int], QueueCounters] = field(default_factory=dict)

    def shaper_of(self, interface: ResolvedInterface) -> ShaperCounters | None:
        """What shapes a virtual interface: on its own link and, where its packets wait there too, on the one below."""
        own = self.shapers.get(interface_link(interface))
        if own is None or not interface.tags:
            return own
        *outer, tag = interface.tags
        below = self.shared.get((link_name(interface.port, tuple(outer)), tag.vlan_id))
        if below is None:
            return own
        return replace(
            own,
            dropped_packets=own.dropped_packets + below.dropped_packets,
            marked_packets=own.marked_packets + below.marked_packets,
            backlog_bytes=own.backlog_bytes + below.backlog_bytes,
        )


def read_counters(sock: RouteSocket) -> Counters:
    """Dump the counters of every link and of every shaper of ours. Raises KernelError."""
    counters = Counters({}, {})
    names: dict[int, str] = {}
    roots: dict[int, _Root] = {}

    # Entered as they come: lists of thousands in between would cost as much memory again.
    def link(data: memoryview, start: int, end: int) -> None:
        name, found = _link(data, start, end)
        names[found.index] = name
        counters.links[name] = found

    def queue(data: memoryview, start: int, end: int) -> None:
        index, handle = _PLACE.unpack_from(data, start)
        if handle == ROOT_HANDLE:
            roots[index] = _root(data, start, end)
        elif handle == _LEAF_HANDLE and index in roots and index in names:
            # A device's root is told before what is in it.
            counters.shapers[names[index]] = _shaper(data, start, end, roots.pop(index))
        elif index in roots and index in names and (vlan_id := shared_vlan(handle)) is not None:
            counters.shared[names[index], vlan_id] = _queue(data, start, end)[1]

    dump(sock, questions.links(counters=True), link)
    dump(sock, questions.qdiscs(), queue)
    return counters


def _link(data: memoryview, start: int, end: int) -> tuple[str, LinkCounters]:
    said = LINK.read(data, start, end)
    flags, counted, master = said["flags"], said["IFLA_STATS64"], said.get("IFLA_MASTER")
    bonded = "IFLA_LINKINFO" in said and (master is not None or flags & IFF_MASTER)
    info = LINK_INFO.read_bytes(said["IFLA_LINKINFO"]) if bonded else {}
    return sys.intern(said["IFLA_IFNAME"]), LinkCounters(
        receive_packets=counted["rx_packets"],
        transmit_packets=counted["tx_packets"],
        receive_bytes=counted["rx_bytes"],
        transmit_bytes=counted["tx_bytes"],
        receive_errors=counted["rx_errors"],
        transmit_errors=counted["tx_errors"],
        carrier=bool(flags & IFF_LOWER_UP),
        carrier_changes=said.get("IFLA_CARRIER_CHANGES", 0),
        up=bool(flags & IFF_UP),
        receive_dropped=counted["rx_dropped"],
        transmit_dropped=counted["tx_dropped"],
        member=read_member(info, master) if master is not None else None,
        active_aggregator=read_active_aggregator(info) if flags & IFF_MASTER else None,
        index=said["index"],
        faults=tuple([(name, counted[name]) for name in FAULTS if counted[name]]),
    )


class _Root(NamedTuple):
    """What is counted at the root of a tree of ours, which all passes."""

    sent_bytes: int
    sent_packets: int
    requeues: int


def _root(data: memoryview, start: int, end: int) -> _Root:
    counted = QUEUE.read(data, start, end)["TCA_STATS2"]
    sent = counted["TCA_STATS_BASIC"]
    return _Root(sent["bytes"], sent["packets"], counted["TCA_STATS_QUEUE"]["requeues"])


def _shaper(data: memoryview, start: int, end: int, root: _Root) -> ShaperCounters:
    """A shaper from its queue, where packets wait and are dropped, and its root."""
    kind, queue = _queue(data, start, end)
    return ShaperCounters(
        kind,
        root.sent_bytes,
        root.sent_packets,
        queue.dropped_packets,
        queue.backlog_bytes,
        queue.marked_packets,
        root.requeues,
    )


def _queue(data: memoryview, start: int, end: int) -> tuple[str, QueueCounters]:
    """Of which kind it is, and what it has counted."""
    said = QUEUE.read(data, start, end)
    kind, counted = sys.intern(said["TCA_KIND"]), said["TCA_STATS2"]
    queue = counted["TCA_STATS_QUEUE"]
    return kind, QueueCounters(queue["drops"], _marked(kind, counted.get("TCA_STATS_APP")), queue["backlog"])


def _marked(kind: str, counted: bytes | None) -> int:
    """The packets that a queue marked with ECN instead of dropping them."""
    if counted is None:
        return 0
    if kind == "fq_codel":
        return int(_FQ_CODEL.read_bytes(counted)["ecn_mark"])
    if kind == "cake":
        tins = _CAKE.read_bytes(counted).get("TCA_CAKE_STATS_TIN_STATS", ())
        return sum(tin["TCA_CAKE_TIN_STATS_ECN_MARKED_PACKETS"] for tin in tins)
    return 0
