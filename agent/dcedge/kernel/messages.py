"""Changes of the kernel's objects as netlink messages: pure, one function a change (linux/rtnetlink.h)."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable

from dcedge.kernel.classify import Classifier
from dcedge.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Request,
    attribute,
    nested,
    text,
    u8,
    u32,
)
from dcedge.kernel.objects import ROUTE_PROTOCOL
from dcedge.kernel.shaping import CONTROL, SHARED_MINORS, HtbClass, QueueParameters
from dcedge.order.kinds import Address, Interface, Prefix
from dcedge.order.resolve import Tag

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_GETNEIGH, RTM_GETRULE = 30, 34
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTCLASS, RTM_DELTCLASS, RTM_GETTCLASS = 40, 41, 42
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
RTM_NEWACTION = 48
RTM_NEWLINKPROP, RTM_DELLINKPROP = 108, 109

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_QDISC, IFLA_MASTER = 1, 3, 4, 5, 6, 10
IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_STATS64, IFLA_AF_SPEC = 16, 18, 20, 23, 26
IFLA_GROUP, IFLA_EXT_MASK, IFLA_CARRIER, IFLA_CARRIER_CHANGES = 27, 29, 33, 35
IFLA_LINK_NETNSID, IFLA_PROP_LIST, IFLA_ALT_IFNAME = 37, 52, 53
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_VLAN_ID, IFLA_VLAN_EGRESS_QOS, IFLA_VLAN_PROTOCOL = 1, 3, 5
IFLA_VLAN_QOS_MAPPING = 1
IFLA_VRF_TABLE = 1
IFLA_BOND_MODE, IFLA_BOND_MIIMON, IFLA_BOND_XMIT_HASH_POLICY, IFLA_BOND_MIN_LINKS = 1, 3, 14, 18
IFLA_BOND_AD_LACP_RATE, IFLA_BOND_AD_INFO, IFLA_BOND_AD_INFO_AGGREGATOR = 21, 23, 1
IFLA_BOND_SLAVE_LINK_FAILURE_COUNT, IFLA_BOND_SLAVE_AD_AGGREGATOR_ID = 3, 6
IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE, IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE = 7, 8
BOND_MODE_8023AD, BOND_XMIT_LAYER34, BOND_MIIMON_MS = 4, 1, 100
LACP_RATES = {"slow": 0, "fast": 1}
IFLA_INET_CONF, IFLA_INET6_CONF = 1, 2
RTEXT_FILTER_SKIP_STATS = 1 << 3
IFF_UP, IFF_RUNNING, IFF_MASTER, IFF_LOWER_UP = 0x1, 0x40, 0x400, 0x10000

IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_PROTO = 1, 2, 8, 11
IFA_F_NODAD, IFAPROT_KERNEL_LL = 0x02, 3
AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10

RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_MULTIPATH, RTA_TABLE = 1, 4, 5, 6, 9, 15
RT_TABLE_MAIN, RT_TABLE_COMPAT = 254, 252
RTN_UNICAST, RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 1, 0, 253
NDA_DST = 1
FRA_TABLE = 15

TCA_KIND, TCA_OPTIONS, TCA_STATS2 = 1, 2, 7
TC_H_ROOT = 0xFFFFFFFF
DELETION_GROUP = 0xDCED  # links that are to go are put into it, and it is removed at once
HTB_MAJOR = 0x0DCE  # `dce:` in tc's notation: by this handle a root qdisc is known as ours
ROOT_HANDLE = HTB_MAJOR << 16
CONTROL_HANDLE = ROOT_HANDLE | CONTROL  # as a packet's priority, too: by it lower devices know a control packet
CONTROL_PCP = 6  # IEEE 802.1Q-2018, table I-2: internetwork control
TCA_STAB = 8
TCA_HTB_PARMS, TCA_HTB_INIT, TCA_HTB_RATE64, TCA_HTB_CEIL64 = 1, 2, 6, 7
LINKLAYER_ETHERNET = 1
TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
# So high that a super-packet takes no nanosecond: where the bucket shrinks, longer ones that wait still come out.
SEGMENTER_RATE_BYTES = 10**15
TCA_BPF_ACT, TCA_BPF_CLASSID, TCA_BPF_OPS_LEN, TCA_BPF_OPS = 1, 3, 4, 5
TCA_ACT_KIND, TCA_ACT_OPTIONS = 1, 2
TCA_U32_SEL, TCA_U32_ACT = 5, 7
TCA_MIRRED_PARMS = 2
TC_H_INGRESS, INGRESS_HANDLE = 0xFFFFFFF1, 0xFFFF0000
TCA_SKBEDIT_PARMS, TCA_SKBEDIT_PRIORITY = 2, 3
TC_ACT_PIPE, TC_ACT_STOLEN = 3, 4
TCA_EGRESS_REDIR = 1
REDIRECT_PREFERENCE = 0xDCE  # by it a filter on somebody's port is known as ours
ETH_P_ALL = 0x0003
CLASSIFIER_INFO = 1 << 16 | int.from_bytes(ETH_P_ALL.to_bytes(2), sys.byteorder)  # preference 1, every protocol
CLASSIFIER_HANDLE = 1
REDIRECT_INFO = REDIRECT_PREFERENCE << 16 | CLASSIFIER_INFO & 0xFFFF
FQ_CODEL = {
    "target": 1, "limit": 2, "interval": 3, "ecn": 4, "flows": 5, "quantum": 6, "ce_threshold": 7,
    "drop_batch": 8, "memory_limit": 9,
}  # fmt: skip
CAKE = {
    "rate": 2, "diffserv": 3, "flows": 5, "rtt": 7, "target": 8, "memory": 10, "split_gso": 17,
}  # fmt: skip
# devconf numbers: linux/ip.h (from 1) and linux/ipv6.h (from 0)
IPV4_DEVCONF = {
    "forwarding": 1, "accept_redirects": 4, "send_redirects": 6, "rp_filter": 8, "accept_source_route": 9,
    "arp_announce": 18, "arp_ignore": 19,
}  # fmt: skip
IPV6_DEVCONF = {"forwarding": 0, "accept_ra": 3}

LINK_BODY = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
ADDRESS_BODY = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
ROUTE_BODY = struct.Struct("=BBBBBBBBI")  # rtmsg: family, dst and src length, tos, table, protocol, scope, type, flags
NEXTHOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, weight - 1, index
NEIGHBOUR_BODY = struct.Struct("=BxxxiHBB")  # ndmsg: family, index, state, flags, type
RULE_BODY = struct.Struct("=BBBBBBBBI")  # fib_rule_hdr: family, dst and src length, tos, table, -, -, action, flags
TC_BODY = struct.Struct("=BxxxiIII")  # tcmsg: family, index, handle, parent, info
RATE_SPEC = struct.Struct("=BBHhHI")  # tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate
HTB_OPTIONS = struct.Struct("=12s12sIIIII")  # tc_htb_opt: rate, ceil, buffer, cbuffer, quantum, level, prio
HTB_GLOBAL = struct.Struct("=IIIII")  # tc_htb_glob: version, rate2quantum, defcls, debug, direct_pkts
TBF_OPTIONS = struct.Struct("=12s12sIII")  # tc_tbf_qopt: rate, peakrate, limit, buffer, mtu
SKBEDIT_OPTIONS = struct.Struct("=IIiii")  # tc_skbedit: index, capab, action, refcnt, bindcnt
U32_EVERYTHING = struct.pack(
    "=BBBxHHhhI4s4sii", 1, 0, 1, 0, 0, 0, 0, 0, bytes(4), bytes(4), 0, 0
)  # tc_u32_sel, one key
MIRRED_OPTIONS = struct.Struct("=IIiiiiI")  # tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex
QOS_MAPPING = struct.Struct("=II")  # ifla_vlan_qos_mapping: from, to
_U32_MAX = 0xFFFFFFFF


def create_vlan(
    index: int,
    name: str,
    parent_index: int,
    tag: Tag,
    mtu: int,
    alias: str,
    *,
    master: int | None,
    control_pcp: int = 0,
) -> Request:
    """One message for the whole link, down yet, at the index we chose, so that what stands on it need not wait."""
    parts = [
        text(IFLA_IFNAME, name),
        u32(IFLA_LINK, parent_index),
        u32(IFLA_MTU, mtu),
        text(IFLA_IFALIAS, alias),
        nested(
            IFLA_LINKINFO,
            text(IFLA_INFO_KIND, "vlan"),
            nested(
                IFLA_INFO_DATA,
                attribute(IFLA_VLAN_ID, struct.pack("=H", tag.vlan_id)),
                attribute(IFLA_VLAN_PROTOCOL, struct.pack(">H", tag.ethertype)),
                *([_egress_qos(control_pcp)] if control_pcp else []),
            ),
        ),
    ]
    if master is not None:
        parts.append(u32(IFLA_MASTER, master))
    body = LINK_BODY.pack(AF_UNSPEC, 0, index, 0, IFF_UP) + b"".join(parts)
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def set_control_pcp(index: int, pcp: int) -> Request:
    """The 802.1p priority of control packets that leave by a VLAN link (ip-link(8), egress-qos-map)."""
    body = LINK_BODY.pack(AF_UNSPEC, 0, index, 0, 0)
    body += nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "vlan"), nested(IFLA_INFO_DATA, _egress_qos(pcp)))
    return Request(RTM_NEWLINK, 0, body)


def _egress_qos(pcp: int) -> bytes:
    return nested(IFLA_VLAN_EGRESS_QOS, attribute(IFLA_VLAN_QOS_MAPPING, QOS_MAPPING.pack(CONTROL_HANDLE, pcp)))


def create_vrf(index: int, name: str, table: int) -> Request:
    """A VRF with its routing table, up (vrf.rst)."""
    body = LINK_BODY.pack(AF_UNSPEC, 0, index, IFF_UP, IFF_UP) + text(IFLA_IFNAME, name)
    body += nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "vrf"), nested(IFLA_INFO_DATA, u32(IFLA_VRF_TABLE, table)))
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def create_bond(index: int, name: str, lacp_rate: str, min_links: int) -> Request:
    """An LACP bond (IEEE 802.1AX) that spreads flows by their ports, down and without members (bonding.rst)."""
    body = LINK_BODY.pack(AF_UNSPEC, 0, index, 0, IFF_UP) + text(IFLA_IFNAME, name)
    options = (
        u8(IFLA_BOND_MODE, BOND_MODE_8023AD),
        u32(IFLA_BOND_MIIMON, BOND_MIIMON_MS),
        u8(IFLA_BOND_XMIT_HASH_POLICY, BOND_XMIT_LAYER34),
        *_bond_options(lacp_rate, min_links),
    )
    body += nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bond"), nested(IFLA_INFO_DATA, *options))
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def change_bond(index: int, *, lacp_rate: str | None = None, min_links: int | None = None) -> Request:
    """Change a bond; its LACP rate only while it is down."""
    options = nested(IFLA_INFO_DATA, *_bond_options(lacp_rate, min_links))
    body = LINK_BODY.pack(AF_UNSPEC, 0, index, 0, 0) + nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bond"), options)
    return Request(RTM_NEWLINK, 0, body)


def _bond_options(lacp_rate: str | None, min_links: int | None) -> Iterable[bytes]:
    if min_links is not None:
        yield u32(IFLA_BOND_MIN_LINKS, min_links)
    if lacp_rate is not None:
        yield u8(IFLA_BOND_AD_LACP_RATE, LACP_RATES[lacp_rate])


def route(prefix: Prefix, table: int, metric: int, hops: Iterable[tuple[int, Address]]) -> Request:
    """A static route of ours, in the place of whatever we had there: one hop, or several that share the traffic.

    A hop is the index of its link and the gateway's address.
    """
    body = _route_head(prefix, table, metric)
    places = list(hops)
    if len(places) == 1:
        index, gateway = places[0]
        body += u32(RTA_OIF, index) + attribute(RTA_GATEWAY, gateway.packed)
    else:
        ways = [(index, attribute(RTA_GATEWAY, gateway.packed)) for index, gateway in places]
        body += attribute(RTA_MULTIPATH, b"".join(NEXTHOP.pack(8 + len(w), 0, 0, index) + w for index, w in ways))
    return Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def delete_route(prefix: Prefix, table: int, metric: int) -> Request:
    """Remove a static route of ours with all its hops."""
    return Request(RTM_DELROUTE, 0, _route_head(prefix, table, metric))


def _route_head(prefix: Prefix, table: int, metric: int) -> bytes:
    family = AF_INET if prefix.version == 4 else AF_INET6
    short = table if table < 256 else RT_TABLE_COMPAT
    body = ROUTE_BODY.pack(family, prefix.prefixlen, 0, 0, short, ROUTE_PROTOCOL, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0)
    body += attribute(RTA_DST, prefix.network_address.packed) if prefix.prefixlen else b""
    return body + u32(RTA_TABLE, table) + u32(RTA_PRIORITY, metric)


def set_link(
    index: int,
    *,
    up: bool | None = None,
    mtu: int | None = None,
    alias: str | None = None,
    master: int | None = None,
    group: int | None = None,
    conf4: Iterable[tuple[str, int]] = (),
) -> Request:
    """Change a link in place; what is None stays. `alias` "" removes it, `master` 0 releases."""
    parts = []
    if mtu is not None:
        parts.append(u32(IFLA_MTU, mtu))
    if alias is not None:
        parts.append(text(IFLA_IFALIAS, alias) if alias else attribute(IFLA_IFALIAS, b""))
    if master is not None:
        parts.append(u32(IFLA_MASTER, master))
    if group is not None:
        parts.append(u32(IFLA_GROUP, group))
    settings = [u32(IPV4_DEVCONF[name], value) for name, value in conf4]
    if settings:
        parts.append(nested(IFLA_AF_SPEC, nested(AF_INET, nested(IFLA_INET_CONF, *settings))))
    flags, change = (0, 0) if up is None else (IFF_UP if up else 0, IFF_UP)
    return Request(RTM_SETLINK, 0, LINK_BODY.pack(AF_UNSPEC, 0, index, flags, change) + b"".join(parts))


def delete_link(index: int) -> Request:
    """Remove a link and all that stands on it."""
    return Request(RTM_DELLINK, 0, LINK_BODY.pack(AF_UNSPEC, 0, index, 0, 0))


def delete_group(group: int) -> Request:
    """Remove every link of a group at once: the kernel then waits for its readers once, not once a link."""
    return Request(RTM_DELLINK, 0, LINK_BODY.pack(AF_UNSPEC, 0, 0, 0, 0) + u32(IFLA_GROUP, group))


def altname(index: int, name: str, *, add: bool) -> Request:
    """Give a link an alternative name, or take it away."""
    body = LINK_BODY.pack(AF_UNSPEC, 0, index, 0, 0) + nested(IFLA_PROP_LIST, text(IFLA_ALT_IFNAME, name))
    if add:
        return Request(RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL | 0x800, body)
    return Request(RTM_DELLINKPROP, 0, body)


def address(index: int, interface: Interface, *, add: bool, protocol: int = ROUTE_PROTOCOL) -> Request:
    """Add an address (without duplicate address detection), or remove it."""
    family = AF_INET if interface.version == 4 else AF_INET6
    packed = interface.ip.packed
    body = ADDRESS_BODY.pack(family, interface.network.prefixlen, 0, 0, index)
    body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    if not add:
        return Request(RTM_DELADDR, 0, body)
    if protocol:
        body += u8(IFA_PROTO, protocol)
    if family == AF_INET6:
        body += u32(IFA_FLAGS, IFA_F_NODAD)
    return Request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)


def htb_root(index: int, default: int) -> Request:
    """An HTB root with our handle; what no filter sorts goes to the default class. Takes the place of another root."""
    options = nested(TCA_OPTIONS, attribute(TCA_HTB_INIT, HTB_GLOBAL.pack(3, 10, default, 0, 0)))
    body = TC_BODY.pack(AF_UNSPEC, index, ROOT_HANDLE, TC_H_ROOT, 0) + text(TCA_KIND, "htb") + options
    return Request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, body)


def htb_class(index: int, htb: HtbClass) -> Request:
    """A class, made or changed in place: what is queued stays queued."""
    parameters = HTB_OPTIONS.pack(
        _rate_spec(htb.rate_bytes, htb.overhead), _rate_spec(htb.ceil_bytes, htb.overhead),
        htb.burst_ticks, htb.ceil_burst_ticks, htb.quantum, 0, htb.priority,
    )  # fmt: skip
    options = [attribute(TCA_HTB_PARMS, parameters)]
    for kind, rate in ((TCA_HTB_RATE64, htb.rate_bytes), (TCA_HTB_CEIL64, htb.ceil_bytes)):
        if rate > _U32_MAX:
            options.append(attribute(kind, struct.pack("=Q", rate)))
    body = TC_BODY.pack(AF_UNSPEC, index, ROOT_HANDLE | htb.minor, ROOT_HANDLE | htb.parent, 0)
    body += text(TCA_KIND, "htb") + nested(TCA_OPTIONS, *options)
    return Request(RTM_NEWTCLASS, NLM_F_CREATE, body)


def _rate_spec(rate_bytes: int, overhead: int = 0) -> bytes:
    return RATE_SPEC.pack(0, LINKLAYER_ETHERNET, overhead, 0, 0, min(rate_bytes, _U32_MAX))


def delete_class(index: int, minor: int) -> Request:
    """Remove a class; what it held is lost."""
    return Request(RTM_DELTCLASS, 0, TC_BODY.pack(AF_UNSPEC, index, ROOT_HANDLE | minor, 0, 0))


def leaf_handle(minor: int) -> int:
    """The handle of a class's queue: `dc1:` on a virtual interface's own link, else as its class is numbered."""
    return (0x0DC1 if minor < SHARED_MINORS else minor) << 16


def segmenter_handle(minor: int) -> int:
    """The handle of what stands between a class and its queue."""
    return (0x0DC2 if minor < SHARED_MINORS else minor + SHARED_MINORS) << 16


def segmenter(index: int, minor: int, cut_bytes: int, queue: QueueParameters) -> Request:
    """A TBF that cuts super-packets longer than `cut_bytes` into frames, made or changed in place.

    What it cuts at is not read back; `mtu`, which counts for nothing where there is no peak rate, says it too. A plain
    FIFO below it takes its limit over, so it is told that queue's.
    """
    limit = dict(queue.settings)["limit"] if queue.kind == "pfifo" else 0
    options = TBF_OPTIONS.pack(_rate_spec(SEGMENTER_RATE_BYTES), bytes(12), limit, 0, cut_bytes)
    body = TC_BODY.pack(AF_UNSPEC, index, segmenter_handle(minor), ROOT_HANDLE | minor, 0) + text(TCA_KIND, "tbf")
    body += nested(
        TCA_OPTIONS,
        attribute(TCA_TBF_PARMS, options),
        attribute(TCA_TBF_RATE64, struct.pack("=Q", SEGMENTER_RATE_BYTES)),
        u32(TCA_TBF_BURST, cut_bytes),
    )
    return Request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, body)


def leaf(index: int, minor: int, queue: QueueParameters, *, cut: bool, change: bool = False) -> Request:
    """A class's queue, made, or changed in place (then of the same kind, and its flows stay as many)."""
    parent = segmenter_handle(minor) | 1 if cut else ROOT_HANDLE | minor
    body = TC_BODY.pack(AF_UNSPEC, index, leaf_handle(minor), parent, 0) + text(TCA_KIND, queue.kind)
    settings = dict(queue.settings)
    if queue.kind == "fq_codel":
        # A CoDel time is read back rounded down; one microsecond more gives the same reading again.
        sent = {name: value + 1 if name in {"target", "interval"} else value for name, value in settings.items()}
        if change:
            del sent["flows"]
        body += nested(TCA_OPTIONS, *(u32(FQ_CODEL[name], value) for name, value in sent.items()))
    elif queue.kind == "cake":
        rate = attribute(CAKE["rate"], struct.pack("=Q", settings.pop("rate")))
        body += nested(TCA_OPTIONS, rate, *(u32(CAKE[name], value) for name, value in settings.items()))
    else:
        body += attribute(TCA_OPTIONS, struct.pack("=I", settings["limit"]))
    return Request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, body)


def delete_leaf(index: int, minor: int, *, cut: bool) -> Request:
    """Remove a class's queue, below its segmenter (`cut`) or with the segmenter where there is one."""
    parent = segmenter_handle(minor) | 1 if cut else ROOT_HANDLE | minor
    return Request(RTM_DELQDISC, 0, TC_BODY.pack(AF_UNSPEC, index, 0, parent, 0))


def classifier(index: int, wanted: Classifier) -> Request:
    """The filter at our root, made or changed in place."""
    program = wanted.program
    options = [
        u32(TCA_BPF_CLASSID, CONTROL_HANDLE),
        attribute(TCA_BPF_OPS_LEN, struct.pack("=H", len(program) // 8)),
        attribute(TCA_BPF_OPS, program),
    ]
    if wanted.mark:
        edit = nested(
            TCA_ACT_OPTIONS,
            attribute(TCA_SKBEDIT_PARMS, SKBEDIT_OPTIONS.pack(0, 0, TC_ACT_PIPE, 0, 0)),
            u32(TCA_SKBEDIT_PRIORITY, wanted.mark),
        )
        options.append(nested(TCA_BPF_ACT, nested(1, text(TCA_ACT_KIND, "skbedit"), edit)))
    body = TC_BODY.pack(AF_UNSPEC, index, CLASSIFIER_HANDLE, ROOT_HANDLE, CLASSIFIER_INFO)
    body += text(TCA_KIND, "bpf") + nested(TCA_OPTIONS, *options)
    return Request(RTM_NEWTFILTER, NLM_F_CREATE, body)


def delete_classifiers(index: int) -> Request:
    """Remove every filter at our root."""
    return Request(RTM_DELTFILTER, 0, TC_BODY.pack(AF_UNSPEC, index, 0, ROOT_HANDLE, 0))


def create_ifb(index: int, name: str) -> Request:
    """A device that gives what is sent to it back as having come in, up."""
    body = LINK_BODY.pack(AF_UNSPEC, 0, index, IFF_UP, IFF_UP) + text(IFLA_IFNAME, name)
    body += nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "ifb"))
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def ingress_qdisc(index: int) -> Request:
    """The place for filters on what comes in."""
    body = TC_BODY.pack(AF_UNSPEC, index, INGRESS_HANDLE, TC_H_INGRESS, 0) + text(TCA_KIND, "ingress")
    return Request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, body)


def delete_ingress_qdisc(index: int) -> Request:
    """Remove that place with all its filters."""
    return Request(RTM_DELQDISC, 0, TC_BODY.pack(AF_UNSPEC, index, INGRESS_HANDLE, TC_H_INGRESS, 0))


def redirect(index: int, to_index: int) -> Request:
    """All that comes in by a link goes through another device (tc-u32(8), tc-mirred(8))."""
    way = MIRRED_OPTIONS.pack(0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, to_index)
    mirred = nested(TCA_ACT_OPTIONS, attribute(TCA_MIRRED_PARMS, way))
    body = TC_BODY.pack(AF_UNSPEC, index, 0, INGRESS_HANDLE, REDIRECT_INFO) + text(TCA_KIND, "u32")
    body += nested(
        TCA_OPTIONS,
        attribute(TCA_U32_SEL, U32_EVERYTHING),
        nested(TCA_U32_ACT, nested(1, text(TCA_ACT_KIND, "mirred"), mirred)),
    )
    return Request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, body)


def delete_redirect(index: int) -> Request:
    """Let what comes in pass as it is."""
    return Request(RTM_DELTFILTER, 0, TC_BODY.pack(AF_UNSPEC, index, 0, INGRESS_HANDLE, REDIRECT_INFO))


def delete_root(index: int) -> Request:
    """Remove the root qdisc; the kernel puts its default back."""
    return Request(RTM_DELQDISC, 0, TC_BODY.pack(AF_UNSPEC, index, 0, TC_H_ROOT, 0))
