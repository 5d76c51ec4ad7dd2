"""What stands in the way of an order on a router with a life of its own is named, on a real kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.edge import Edge
from tests.lab.netns import Namespace, Port, Workspace, leave_on_signals

pytestmark = pytest.mark.timeout(120)

ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections: {fra-1: {provider: generic, port: PORT, bandwidth: 1G}}
virtual_gateways: {prod: {vpc: v, asn: 64512, accept: [10.20.0.0/16]}}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 101
    bandwidth: 50M
    addresses:
      - {customer: 198.51.100.2/30, cloud: 198.51.100.1}
      - {customer: "2001:db8:101::2/126", cloud: "2001:db8:101::1"}
"""
LONG = "enp129s0f0np0-fibre-to-frankfurt"


@pytest.fixture
def place() -> Iterator[tuple[Edge, Namespace]]:
    """An edge without FRR, whose port eth1 has a long name besides, and a namespace of somebody else's."""
    leave_on_signals()
    with Workspace() as work:
        edge = Edge(work, ORDER.replace("PORT", "eth1"))
        other = work.namespace("other")
        edge.plug("eth1", Port(other, "far"))
        edge.namespace.ip(f"link property add dev eth1 altname {LONG}")
        yield edge, other


def failures(edge: Edge) -> dict[str, str]:
    """What an apply could not do in the kernel."""
    done = edge.dcedge("apply", "--json").json()
    return {f"{one['kind']} {one['name']}": one["text"] for one in done["failures"]}


def test_a_vlan_under_another_name(place: tuple[Edge, Namespace]) -> None:
    edge, _ = place
    edge.namespace.ip("link add link eth1 name vlan10 type vlan id 101")
    said = "VLAN 101 on eth1 is vlan10 already, which is not dcedge's: remove it, or order another VLAN"
    assert said in edge.dcedge("plan", "--json").json()["notes"]
    assert failures(edge)["link eth1.101"] == said
    edge.namespace.ip("link delete vlan10")
    assert not failures(edge)


def test_a_vlan_in_another_network_namespace(place: tuple[Edge, Namespace]) -> None:
    edge, other = place
    edge.namespace.ip("link add link eth1 name vlan10 type vlan id 101", f"link set vlan10 netns {other.name}")
    assert failures(edge)["link eth1.101"] == (
        f"VLAN 101 on eth1 is vlan10 in network namespace {other.name}: remove it there, or order another VLAN"
    )
    other.ip("link delete vlan10")
    assert not failures(edge)


def test_names_that_others_have(place: tuple[Edge, Namespace]) -> None:
    edge, _ = place
    edge.namespace.ip("link property add dev lan0 altname eth1.101")
    said = failures(edge)["link eth1.101"]
    assert said == "eth1.101 is an alternative name of lan0: `ip link property del dev lan0 altname eth1.101`"
    edge.namespace.ip("link property del dev lan0 altname eth1.101", "link property add dev lan0 altname vi-prod-a")
    assert failures(edge)["link eth1.101"].startswith("the name vi-prod-a belongs to lan0, which is not dcedge's")


def test_ipv6_that_is_switched_off(place: tuple[Edge, Namespace]) -> None:
    edge, _ = place
    edge.namespace.sysctl(ipv6__conf__all__disable_ipv6=1)
    setting = "net/ipv6/conf/eth1.101/disable_ipv6"
    texts = {text for name, text in failures(edge).items() if "2001:db8" in name}
    assert texts == {f"IPv6 is switched off on it: {setting} is 1 (`sysctl -w {setting}=0`; see /etc/sysctl.d)"}
    edge.namespace.run("sysctl", "-w", f"{setting}=0")
    assert not failures(edge)


def test_a_port_by_its_other_name(place: tuple[Edge, Namespace]) -> None:
    edge, _ = place
    edge.order.write_text(ORDER.replace("PORT", LONG))
    assert not failures(edge)
    assert "eth1.101@eth1" in edge.namespace.run("ip", "-br", "link").stdout
    assert edge.dcedge("plan", "--json").json()["operations"] == []
