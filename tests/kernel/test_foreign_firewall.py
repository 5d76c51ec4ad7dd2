"""Somebody else's firewall on this router eats a virtual interface's traffic: `explain` says so, and names the chain.

On the machine's own kernel, which has nftables; the virtual interface is untagged, as that kernel has no 802.1Q.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.bed import CUSTOMER_ASN
from tests.lab.clouds import Attachment, BirdCloud, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Port, Workspace, leave_on_signals

pytestmark = [pytest.mark.native, pytest.mark.timeout(120)]

ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections:
  fra-1: {provider: generic, port: eth1, bandwidth: 1G, circuit_id: "LAB-4711"}
virtual_gateways:
  prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 0
    bandwidth: 100M
    addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}]
"""


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """An edge with one virtual interface that is up."""
    leave_on_signals()
    with Workspace() as work:
        made = Edge(work, ORDER)
        made.frr.start()
        cloud = BirdCloud(work, "prod", 64512, ["10.20.0.0/16"], "10.20.0.1")
        fibre = made.plug("eth1", Port(cloud.router, "fra-1"))
        cloud.attach(Attachment("prod-a", fibre, 0, (Peer("10.255.101.1/30", "10.255.101.2"),), CUSTOMER_ASN))
        cloud.start()
        made.start_daemon()
        try:
            made.wait_up("prod-a")
            yield made
        finally:
            made.stop_daemon()


def explained_behind(edge: Edge, *rules: str) -> dict[str, Any]:
    """What is explained while a table of somebody else's is in force and the session has to come up anew."""
    nft = edge.namespace
    nft.run("nft", "-f", "-", text="\n".join(("add table inet foreign", *rules)))
    try:
        edge.frr.vtysh("clear bgp 10.255.101.1")
        outcome = edge.dcedge("explain", "prod-a", "--json")
    finally:
        nft.run("nft", "delete", "table", "inet", "foreign")
    assert outcome.status == 0, outcome.said
    edge.wait_up("prod-a")
    told = dict(outcome.json())
    assert told["finding"] is not None, json.dumps(told, indent=1)
    return told


def test_answers_that_a_foreign_table_drops(edge: Edge) -> None:
    told = explained_behind(
        edge,
        "add chain inet foreign input { type filter hook input priority -10; }",
        'add rule inet foreign input iifname "eth1" drop',
    )
    finding = told["finding"]
    assert (finding["layer"], finding["side"]) == ("ping", "customer"), json.dumps(told, indent=1)
    assert "a firewall on this router drops the answers" in finding["text"]
    assert "nft table inet foreign, chain input (hook input, 1 dropping rules)" in finding["evidence"]


def test_packets_that_a_foreign_table_does_not_let_out(edge: Edge) -> None:
    told = explained_behind(
        edge,
        "add chain inet foreign output { type filter hook output priority -10; }",
        'add rule inet foreign output oifname "eth1" drop',
    )
    finding = told["finding"]
    assert (finding["layer"], finding["side"]) == ("ping", "customer"), json.dumps(told, indent=1)
    assert "cannot send to 10.255.101.1: a firewall on this router blocks it" in finding["text"]
    assert any("table inet foreign, chain output" in text for text in finding["evidence"])


def test_bgp_alone_that_a_foreign_table_drops(edge: Edge) -> None:
    told = explained_behind(
        edge,
        "add chain inet foreign input { type filter hook input priority -10; }",
        'add rule inet foreign input iifname "eth1" tcp sport 179 drop',
        'add rule inet foreign input iifname "eth1" tcp dport 179 drop',
    )
    finding = told["finding"]
    assert (finding["layer"], finding["side"]) == ("tcp", "customer"), json.dumps(told, indent=1)
    assert "a firewall on this router drops the answer" in finding["text"]
