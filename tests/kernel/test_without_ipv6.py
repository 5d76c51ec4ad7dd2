"""A kernel that runs without IPv6 (`ipv6.disable=1`): IPv4 comes up as anywhere; IPv6 cannot, and that is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab.clouds import Attachment, BirdCloud, Exchange, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Workspace, leave_on_signals

pytestmark = [pytest.mark.without_ipv6, pytest.mark.frr, pytest.mark.timeout(300)]

IPV4 = "{customer: 10.255.101.2/30, cloud: 10.255.101.1}"
IPV6 = '{customer: "2001:db8:101::2/126", cloud: "2001:db8:101::1"}'
OFF = "this kernel runs without IPv6: take ipv6.disable=1 from the kernel's command line, or order no IPv6"


def order(*addresses: str, vrf: str | None = None) -> str:
    return f"""\
router: {{asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}}
connections: {{fra-1: {{provider: generic, port: eth1, bandwidth: 1G}}}}
virtual_gateways: {{prod: {{vpc: prod, asn: 64512, accept: [10.20.0.0/16]{f", vrf: {vrf}" if vrf else ""}}}}}
virtual_interfaces:
  prod-a: {{connection: fra-1, virtual_gateway: prod, vlan: 101, bandwidth: 50M, addresses: [{", ".join(addresses)}]}}
...
"""


@dataclass(frozen=True)
class Line:
    """An edge, and the cloud that the order leads to."""

    edge: Edge
    cloud: BirdCloud


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    leave_on_signals()
    with Workspace() as work:
        edge = Edge(work)
        fibre = edge.plug("eth1", Exchange(work).port("fra-1"))
        cloud = BirdCloud(work, "prod", 64512, ["10.20.0.0/16"], "10.20.0.1")
        cloud.attach(Attachment("prod-a", fibre, 101, (Peer("10.255.101.1/30", "10.255.101.2"),), 65010))
        cloud.start()
        edge.frr.start()
        yield Line(edge, cloud)


def found(edge: Edge) -> list[str]:
    """The router as it is, but for what counts and what FRR says of itself."""
    run = edge.namespace.run
    shown = [run("ip", *words).stdout for words in (("-br", "link"), ("-br", "address"), ("rule",), ("route", "show"))]
    # The kernel's own rule for VRFs comes with the first one, and stays.
    shown = [text.replace("1000:\tfrom all lookup [l3mdev-table]\n", "") for text in shown]
    return [*shown, run("tc", "qdisc", "show", "dev", "eth1").stdout, edge.frr.vtysh("show running-config")]


@pytest.mark.parametrize("vrf", [None, "red"])
def test_ipv4_comes_up_and_goes_without_a_trace(line: Line, vrf: str | None) -> None:
    edge = line.edge
    before = found(edge)
    edge.order.write_text(order(IPV4, vrf=vrf))
    applied = edge.dcedge("apply")
    assert applied.status == 0, applied.said
    edge.start_daemon()
    try:
        line.cloud.wait_established("prod-a")
        plan = edge.dcedge("plan")
        assert plan.status == 0, plan.said
        looked = edge.dcedge("check", "--host")
        assert "this kernel runs without IPv6" in looked.stdout
    finally:
        assert edge.stop_daemon() == 0
    purged = edge.dcedge("purge", "--yes")
    assert purged.status == 0, purged.said
    assert found(edge) == before


def test_an_order_with_ipv6_says_why_it_cannot_be_and_its_ipv4_comes_up(line: Line) -> None:
    edge = line.edge
    before = found(edge)
    edge.order.write_text(order(IPV4, IPV6))
    looked = edge.dcedge("check", "--host")
    assert "this kernel runs without IPv6" in looked.stdout
    applied = edge.dcedge("apply")
    assert applied.status == 1
    assert OFF in applied.said
    assert "10.255.101.2/30" in edge.namespace.run("ip", "-4", "address", "show", "dev", "eth1.101").stdout
    assert edge.dcedge("purge", "--yes").status == 0
    assert found(edge) == before
