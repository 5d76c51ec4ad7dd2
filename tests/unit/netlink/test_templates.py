"""A message from a template is byte for byte what pyroute2 encodes from the same values."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from socket import AF_INET, AF_INET6, htons
from typing import Any

import pytest
from pyroute2.netlink import NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, rtnl
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from dcedge.kernel import questions
from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.queue import messages as q
from dcedge.kernel.queue.classify import Classifier
from dcedge.kernel.queue.shaping import HtbClass, QueueParameters, fq_codel_parameters, pfifo_parameters
from dcedge.netlink.descriptions import link_message, queue_message
from dcedge.netlink.socket import Request
from dcedge.netlink.templates import Slot, Template
from dcedge.order.resolve import Tag

CREATE, REPLACE = NLM_F_CREATE | NLM_F_EXCL, NLM_F_CREATE | NLM_F_REPLACE
ROOT, OURS = 0xDCE0000, 0xDC
EVERY_PROTOCOL = htons(3)
PROGRAM = bytes(range(80))
CLASS = HtbClass(0x2, 0x1, 1_000_000, 2_000_000, 900, 901, 1514, 1, 24, 84)
WIDE = HtbClass(0x1, 0x0, 10_000_000_000, 12_500_000_000, 900, 901, 200_000, 0, 0)
FAST = Classifier(PROGRAM, 0)
MARKING = Classifier(PROGRAM, 0xDCE0002)
FQ_CODEL = fq_codel_parameters(50_000_000, 1500)
CODEL = dict(FQ_CODEL.settings)
PFIFO = pfifo_parameters(50_000_000, 1500)
CAKE = QueueParameters("cake", (("rate", 0), ("rtt", 100_000), ("memory", 1 << 20)))


def link(index: int, attrs: list[Any], **fields: int) -> dict[str, Any]:
    return {"index": index, **fields, "attrs": attrs}


def queue(kind: str, options: Any, *, handle: int, parent: int, info: int = 0) -> dict[str, Any]:
    attrs = [("TCA_KIND", kind), ("TCA_OPTIONS", options)]
    return {"index": 7, "handle": handle, "parent": parent, "info": info, "attrs": attrs}


def nest(*attrs: Any) -> dict[str, Any]:
    return {"attrs": list(attrs)}


def vlan(name: str, alias: str, settings: list[Any], *rest: Any) -> dict[str, Any]:
    info = nest(("IFLA_INFO_KIND", "vlan"), ("IFLA_INFO_DATA", nest(*settings)))
    named = [("IFLA_IFNAME", name), ("IFLA_LINK", 5), ("IFLA_MTU", 1440), ("IFLA_IFALIAS", alias)]
    return link(77, [*named, ("IFLA_LINKINFO", info), *rest], change=1)


def address(text: str, family: int, length: int, *rest: Any) -> dict[str, Any]:
    attrs = [("IFA_LOCAL", text), ("IFA_ADDRESS", text), *rest]
    return {"index": 7, "family": family, "prefixlen": length, "attrs": attrs}


def route(family: int, length: int, table: int, *attrs: Any) -> dict[str, Any]:
    return {"family": family, "dst_len": length, "table": table, "proto": OURS, "type": 1, "attrs": list(attrs)}


def codel(**settings: int) -> dict[str, Any]:
    return nest(*((f"TCA_FQ_CODEL_{name.upper()}", value) for name, value in settings.items()))


def rates(htb: HtbClass, *, rate: int, ceil: int) -> dict[str, int]:
    return {
        "rate": rate, "rate_overhead": htb.overhead, "rate___reserved": 1, "rate_mpu": htb.mpu,
        "ceil": ceil, "ceil_overhead": htb.overhead, "ceil___reserved": 1, "ceil_mpu": htb.mpu,
        "buffer": htb.burst_ticks, "cbuffer": htb.ceil_burst_ticks, "quantum": htb.quantum, "prio": htb.priority,
    }  # fmt: skip


def filter_options(*action: Any) -> dict[str, Any]:
    program = [("TCA_BPF_CLASSID", ROOT | 2), ("TCA_BPF_OPS_LEN", 10), ("TCA_BPF_OPS", PROGRAM)]
    return nest(*program, *action)


TAGS = [("IFLA_VLAN_ID", 101), ("IFLA_VLAN_PROTOCOL", 0x88A8)]
MAPPED = ("IFLA_VLAN_EGRESS_QOS", nest(("IFLA_VLAN_QOS_MAPPING", {"from": ROOT | 2, "to": 6})))
V4, V6 = ip_network("10.20.0.0/16"), ip_network("2001:db8::/32")
SKBEDIT = nest(
    ("TCA_ACT_KIND", "skbedit"),
    ("TCA_ACT_OPTIONS", nest(("TCA_SKBEDIT_PARMS", {"action": 3}), ("TCA_SKBEDIT_PRIORITY", ROOT | 2))),
)
# What we send, pyroute2's class, message type and flags, and the message as pyroute2 takes it.
Case = tuple[Request, type, int, int, dict[str, Any]]
LINKS: list[Case] = [
    (
        m.create_vlan(77, "eth1.101", 5, Tag(101, 0x88A8), 1440, "dcedge:a", master=9, control_pcp=6),
        *(link_message, rtnl.RTM_NEWLINK, CREATE),
        vlan("eth1.101", "dcedge:a", [*TAGS, MAPPED], ("IFLA_MASTER", 9)),
    ),
    (
        m.create_vlan(77, "e.1", 5, Tag(101, 0x88A8), 1440, "dcedge:größer", master=None),
        *(ifinfmsg, rtnl.RTM_NEWLINK, CREATE),
        vlan("e.1", "dcedge:größer", TAGS),
    ),
    (
        m.set_link(7, up=True, mtu=9000, master=0, group=0xDCED),
        *(ifinfmsg, rtnl.RTM_SETLINK, 0),
        link(7, [("IFLA_MTU", 9000), ("IFLA_MASTER", 0), ("IFLA_GROUP", 0xDCED)], flags=1, change=1),
    ),
    (m.set_link(7, up=False), ifinfmsg, rtnl.RTM_SETLINK, 0, link(7, [], flags=0, change=1)),
    (m.set_link(7, alias=""), ifinfmsg, rtnl.RTM_SETLINK, 0, link(7, [("IFLA_IFALIAS", "")])),
    (
        m.set_link(7, alias="dcedge:a", conf4=(("forwarding", 1), ("arp_announce", 2))),
        *(link_message, rtnl.RTM_SETLINK, 0),
        link(
            7,
            [
                ("IFLA_IFALIAS", "dcedge:a"),
                (
                    "IFLA_AF_SPEC",
                    nest(("AF_INET", nest(("IFLA_INET_CONF", nest(("forwarding", 1), ("arp_announce", 2)))))),
                ),
            ],
        ),
    ),
    (m.delete_link(7), ifinfmsg, rtnl.RTM_DELLINK, 0, link(7, [])),
    *(
        (questions.link_by_any_name(name), ifinfmsg, rtnl.RTM_GETLINK, 0, link(0, [("IFLA_ALT_IFNAME", name)]))
        for name in ("e0", "uplink-to-frankfurt")
    ),
    *(
        (m.altname(7, "vi-a", add=add), ifinfmsg, kind, flags, link(7, [("IFLA_PROP_LIST", names)]))
        for names in (nest(("IFLA_ALT_IFNAME", "vi-a")),)
        for add, kind, flags in (
            (True, rtnl.RTM_NEWLINKPROP, CREATE | NLM_F_APPEND),
            (False, rtnl.RTM_DELLINKPROP, 0),
        )
    ),
]
ADDRESSES: list[Case] = [
    (
        m.address(7, ip_interface("10.0.0.2/30"), add=True),
        *(ifaddrmsg, rtnl.RTM_NEWADDR, CREATE),
        address("10.0.0.2", AF_INET, 30, ("IFA_PROTO", OURS)),
    ),
    (
        m.address(7, ip_interface("2001:db8::2/126"), add=True),
        *(ifaddrmsg, rtnl.RTM_NEWADDR, CREATE),
        address("2001:db8::2", AF_INET6, 126, ("IFA_PROTO", OURS), ("IFA_FLAGS", IFA_F_NODAD)),
    ),
    (
        m.address(7, ip_interface("2001:db8::2/126"), add=True, protocol=0),
        *(ifaddrmsg, rtnl.RTM_NEWADDR, CREATE),
        address("2001:db8::2", AF_INET6, 126, ("IFA_FLAGS", IFA_F_NODAD)),
    ),
    (
        m.address(7, ip_interface("10.0.0.2/30"), add=False),
        *(ifaddrmsg, rtnl.RTM_DELADDR, 0),
        address("10.0.0.2", AF_INET, 30),
    ),
]
ROUTES: list[Case] = [
    (
        m.route(V4, 254, 15 << 24, [(4, ip_address("10.1.1.1"))]),
        *(rtmsg, rtnl.RTM_NEWROUTE, REPLACE),
        route(
            *(AF_INET, 16, 254),
            *(("RTA_DST", "10.20.0.0"), ("RTA_TABLE", 254), ("RTA_PRIORITY", 15 << 24)),
            *(("RTA_OIF", 4), ("RTA_GATEWAY", "10.1.1.1")),
        ),
    ),
    (
        m.route(ip_network("::/0"), 12345, 1, [(4, ip_address("fe80::1"))]),
        *(rtmsg, rtnl.RTM_NEWROUTE, REPLACE),
        route(
            *(AF_INET6, 0, 252),
            *(("RTA_TABLE", 12345), ("RTA_PRIORITY", 1), ("RTA_OIF", 4), ("RTA_GATEWAY", "fe80::1")),
        ),
    ),
    (
        m.delete_route(V6, 12345, 7),
        *(rtmsg, rtnl.RTM_DELROUTE, 0),
        route(AF_INET6, 32, 252, ("RTA_DST", "2001:db8::"), ("RTA_TABLE", 12345), ("RTA_PRIORITY", 7)),
    ),
]
QUEUES: list[Case] = [
    (
        q.htb_root(7, 3),
        *(tcmsg, rtnl.RTM_NEWQDISC, REPLACE),
        queue(
            "htb",
            nest(("TCA_HTB_INIT", {"version": 3, "rate2quantum": 10, "defcls": 3})),
            handle=ROOT,
            parent=0xFFFFFFFF,
        ),
    ),
    (
        q.htb_class(7, CLASS),
        *(queue_message, rtnl.RTM_NEWTCLASS, NLM_F_CREATE),
        queue(
            "htb",
            nest(("TCA_HTB_PARMS", rates(CLASS, rate=1_000_000, ceil=2_000_000))),
            handle=ROOT | 2,
            parent=ROOT | 1,
        ),
    ),
    (
        q.htb_class(7, WIDE),
        *(queue_message, rtnl.RTM_NEWTCLASS, NLM_F_CREATE),
        queue(
            "htb",
            nest(
                ("TCA_HTB_PARMS", rates(WIDE, rate=2**32 - 1, ceil=2**32 - 1)),
                ("TCA_HTB_RATE64", 10_000_000_000),
                ("TCA_HTB_CEIL64", 12_500_000_000),
            ),
            handle=ROOT | 1,
            parent=ROOT,
        ),
    ),
    (
        q.segmenter(7, 3, 3028, PFIFO),
        *(queue_message, rtnl.RTM_NEWQDISC, REPLACE),
        queue(
            "tbf",
            nest(
                (
                    "TCA_TBF_PARMS",
                    {"rate": 2**32 - 1, "rate___reserved": 1, "limit": dict(PFIFO.settings)["limit"], "mtu": 3028},
                ),
                ("TCA_TBF_RATE64", 10**15),
                ("TCA_TBF_BURST", 3028),
            ),
            handle=0xDC20000,
            parent=ROOT | 3,
        ),
    ),
    (
        q.leaf(7, 3, FQ_CODEL, cut=True),
        *(tcmsg, rtnl.RTM_NEWQDISC, REPLACE),
        queue(
            "fq_codel",
            codel(**CODEL | {"target": CODEL["target"] + 1, "interval": CODEL["interval"] + 1}),
            handle=0xDC10000,
            parent=0xDC20001,
        ),
    ),
    (
        q.spare_leaf(7, 3, PFIFO, cut=True),
        *(tcmsg, rtnl.RTM_NEWQDISC, REPLACE),
        queue("pfifo", dict(PFIFO.settings), handle=0xDC30000, parent=0xDC20001),
    ),
    (
        q.leaf(7, 3, PFIFO, cut=False),
        *(tcmsg, rtnl.RTM_NEWQDISC, REPLACE),
        queue("pfifo", dict(PFIFO.settings), handle=0xDC10000, parent=ROOT | 3),
    ),
    (
        q.leaf(7, 3, CAKE, cut=False),
        *(queue_message, rtnl.RTM_NEWQDISC, REPLACE),
        queue(
            "cake",
            nest(("TCA_CAKE_BASE_RATE64", 0), ("TCA_CAKE_RTT", 100_000), ("TCA_CAKE_MEMORY", 1 << 20)),
            handle=0xDC10000,
            parent=ROOT | 3,
        ),
    ),
    (
        q.classifier(7, FAST),
        *(queue_message, rtnl.RTM_NEWTFILTER, NLM_F_CREATE),
        queue("bpf", filter_options(), handle=1, parent=ROOT, info=1 << 16 | EVERY_PROTOCOL),
    ),
    (
        q.classifier(7, MARKING),
        *(queue_message, rtnl.RTM_NEWTFILTER, NLM_F_CREATE),
        queue(
            "bpf",
            filter_options(("TCA_BPF_ACT", nest(("TCA_ACT_PRIO_1", SKBEDIT)))),
            handle=1,
            parent=ROOT,
            info=1 << 16 | EVERY_PROTOCOL,
        ),
    ),
    (q.delete_class(7, 2), tcmsg, rtnl.RTM_DELTCLASS, 0, {"index": 7, "handle": ROOT | 2, "attrs": []}),
    (q.delete_root(7), tcmsg, rtnl.RTM_DELQDISC, 0, {"index": 7, "parent": 0xFFFFFFFF, "attrs": []}),
]


@pytest.mark.parametrize("case", [*LINKS, *ADDRESSES, *ROUTES, *QUEUES], ids=lambda case: case[1].__name__)
def test_a_filled_template_is_what_pyroute2_encodes(case: Case) -> None:
    sent, message, kind, flags, content = case
    plain = message()
    plain.update(content)
    plain.encode()
    assert bytes(sent.body) == bytes(plain.data[16:])
    assert (sent.message_type, sent.flags) == (kind, flags)


def test_a_template_is_filled_anew_each_time() -> None:
    first, second = m.set_link(7, mtu=9000), m.set_link(8, mtu=1500)
    assert bytes(first.body) == bytes(m.set_link(7, mtu=9000).body) != bytes(second.body)


def test_an_attribute_that_pyroute2_does_not_know_is_an_error_instead_of_left_out() -> None:
    with pytest.raises(KeyError, match="IFLA_NEVER_HEARD_OF"):
        Template(ifinfmsg, rtnl.RTM_SETLINK, 0, {"attrs": [("IFLA_NEVER_HEARD_OF", Slot("value"))]})
