"""Our netlink messages, read by an independent decoder."""

import struct
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from dcedge.kernel import rtnl_messages as m
from dcedge.kernel.queue import messages as q
from dcedge.kernel.queue.handles import ROOT_HANDLE
from dcedge.kernel.queue.shaping import DATA, fq_codel_parameters, interface_classes
from dcedge.netlink.socket import Request
from dcedge.order.resolve import Tag


def decoded(request: Request, kind: type) -> Any:
    message = kind(
        struct.pack("=IHHII", 16 + len(request.body), request.message_type, request.flags, 1, 0) + request.body
    )
    message.decode()
    return message


def test_one_message_makes_the_whole_vlan() -> None:
    request = m.create_vlan(77, "eth1.101", 5, Tag(101, 0x88A8), 1440, "dcedge:prod-a", master=9)
    link = decoded(request, ifinfmsg)
    assert (link["index"], link["flags"] & 1, link["change"]) == (77, 0, 1)
    assert link.get_attr("IFLA_IFNAME") == "eth1.101"
    assert (link.get_attr("IFLA_LINK"), link.get_attr("IFLA_MTU"), link.get_attr("IFLA_MASTER")) == (5, 1440, 9)
    info = link.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "vlan"
    data = info.get_attr("IFLA_INFO_DATA")
    assert (data.get_attr("IFLA_VLAN_ID"), data.get_attr("IFLA_VLAN_PROTOCOL")) == (101, 0x88A8)


def test_an_address_carries_our_protocol_number_and_skips_duplicate_detection() -> None:
    message = decoded(m.address(7, ip_interface("2001:db8::2/126"), add=True), ifaddrmsg)
    assert message.get_attr("IFA_LOCAL") == "2001:db8::2"
    assert (message["prefixlen"], message["index"]) == (126, 7)
    assert message.get_attr("IFA_FLAGS") & IFA_F_NODAD
    assert message.get_attr("IFA_PROTO") in (0xDC, b"\xdc", "dc")


def test_a_class_beyond_32_bits_carries_its_rate_in_64() -> None:
    message = decoded(q.htb_class(7, interface_classes(100_000_000_000, 1500, 24)[0]), tcmsg)
    options = message.get_attr("TCA_OPTIONS")
    assert options.get_attr("TCA_HTB_RATE64") == 12_500_000_000
    assert options.get_attr("TCA_HTB_PARMS")["rate"] == 2**32 - 1
    assert (message["handle"], message["parent"]) == (ROOT_HANDLE | 1, ROOT_HANDLE)


def test_changing_a_leaf_leaves_its_flows_as_they_are() -> None:
    queue = fq_codel_parameters(50_000_000, 1500)
    made = decoded(q.leaf(7, DATA, queue, cut=True), tcmsg).get_attr("TCA_OPTIONS")
    changed = decoded(q.leaf(7, DATA, queue, cut=True, change=True), tcmsg).get_attr("TCA_OPTIONS")
    assert made.get_attr("TCA_FQ_CODEL_FLOWS") == 1024
    assert changed.get_attr("TCA_FQ_CODEL_FLOWS") is None
    assert changed.get_attr("TCA_FQ_CODEL_LIMIT") == 10_240


def test_routes_of_equal_rank_are_one_message() -> None:
    hops = ((4, ip_address("10.255.1.1")), (5, ip_address("10.255.2.1")))
    message = decoded(m.route(ip_network("10.20.0.0/16"), 12345, 15 << 24, hops), rtmsg)
    assert (message["proto"], message["dst_len"], message.get_attr("RTA_TABLE")) == (0xDC, 16, 12345)
    assert message.get_attr("RTA_PRIORITY") == 15 << 24
    ways = [(hop["oif"], hop.get_attr("RTA_GATEWAY")) for hop in message.get_attr("RTA_MULTIPATH")]
    assert ways == [(4, "10.255.1.1"), (5, "10.255.2.1")]


def test_a_bond_speaks_lacp() -> None:
    info = decoded(m.create_bond(9, "bond0", "fast", 2), ifinfmsg).get_attr("IFLA_LINKINFO")
    data = info.get_attr("IFLA_INFO_DATA")
    found = [data.get_attr(f"IFLA_BOND_{name}") for name in ("MODE", "MIIMON", "AD_LACP_RATE", "MIN_LINKS")]
    assert (info.get_attr("IFLA_INFO_KIND"), found) == ("bond", [4, 100, 1, 2])
