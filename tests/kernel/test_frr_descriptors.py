"""What FRR's daemons open for an order, against what dcedge reckons: within it they live, beyond it nothing begins."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dcedge.frr.descriptors import needs
from dcedge.order.load import load_order
from dcedge.order.resolve import resolve_interface
from tests.lab.edge import Edge
from tests.lab.frr import Frr
from tests.lab.netns import Port, Workspace, leave_on_signals
from tests.lab.wait import until

pytestmark = [pytest.mark.frr, pytest.mark.timeout(300)]

LIMIT = 256


def order(count: int) -> str:
    """So many VRFs, with a session and BFD in each."""
    gateways = "".join(f"  g{n}: {{vpc: v{n}, asn: 64512, accept: any, vrf: vrf{n}}}\n" for n in range(count))
    interfaces = "".join(
        f"  a{n}: {{connection: f1, virtual_gateway: g{n}, vlan: {n + 1}, bandwidth: 5M, bgp: {{bfd: true}},"
        f" addresses: [{{customer: 198.51.100.2/30, cloud: 198.51.100.1}}]}}\n"
        for n in range(count)
    )
    return (
        "router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}\n"
        "connections: {f1: {provider: generic, port: eth1, bandwidth: 1G}}\n"
        f"virtual_gateways:\n{gateways}virtual_interfaces:\n{interfaces}...\n"
    )


@pytest.fixture
def edge() -> Iterator[Edge]:
    """An edge whose FRR may have few files open."""
    leave_on_signals()
    with Workspace() as work:
        edge = Edge(work)
        edge.plug("eth1", Port(work.namespace("far"), "far"))
        edge.frr = Frr(edge.frr.name, edge.namespace.name, max_fds=LIMIT)
        work.at_end(edge.frr.stop)
        edge.frr.start()
        yield edge


def reckoned(edge: Edge, count: int) -> dict[str, int]:
    edge.order.write_text(order(count))
    ordered = load_order(edge.order).order
    return {
        need.daemon: need.count
        for need in needs([resolve_interface(ordered, name) for name in ordered.virtual_interfaces])
    }


def opened(edge: Edge, daemon: str) -> int:
    return len(os.listdir(f"/proc/{edge.frr.process(daemon)}/fd"))  # noqa: PTH208  what it holds is not looked at


def test_frr_bears_as_many_vrfs_as_the_check_allows_and_no_more_begin(edge: Edge) -> None:
    most = next(count for count in range(1, LIMIT) if max(reckoned(edge, count + 1).values()) > LIMIT)
    need = reckoned(edge, most)
    applied = edge.dcedge("apply")
    assert applied.status == 0, applied.said
    # bgpd asks for BFD where it has a session; here is no cloud, so the sessions are asked for by hand.
    peers = "".join(f" peer 198.51.100.1 vrf vrf{n} interface eth1.{n + 1}\n exit\n" for n in range(most))
    edge.frr.load(f"bfd\n{peers}exit\n")
    for daemon, enough in need.items():
        assert edge.frr.ask(daemon, "show version"), f"{daemon} lives"
        assert opened(edge, daemon) <= enough
    assert len(edge.frr.json("show bfd peers json")) == most

    before = edge.namespace.run("ip", "link").stdout
    reckoned(edge, most + 1)
    refused = edge.dcedge("apply")
    assert refused.status == 3
    assert f"--limit-fds gives bfdd {LIMIT} file descriptors, too few for {most + 1} BFD sessions" in refused.said
    assert edge.namespace.run("ip", "link").stdout == before


def test_what_others_have_in_frr_counts_too(edge: Edge) -> None:
    most = next(count for count in range(1, LIMIT) if max(reckoned(edge, count + 1).values()) > LIMIT)
    links = edge.namespace
    links.ip(
        *(f"link add red{n} type vrf table {9000 + n}" for n in range(3)), *(f"link set red{n} up" for n in range(3))
    )
    until(
        "zebra to have heard of them",
        lambda: edge.frr.ask("zebra", "show vrf").count("vrf red"),
        accept=lambda count: count == 3,
    )
    reckoned(edge, most)
    refused = edge.dcedge("apply")
    assert refused.status == 3, refused.said
    assert f"in {most + 3} VRFs (3 of them others')" in refused.said
    reckoned(edge, most - 3)
    applied = edge.dcedge("apply")
    assert applied.status == 0, applied.said
    reckoned(edge, most - 3)
    again = edge.dcedge("apply")
    assert again.status == 0, f"its own VRFs are not others': {again.said}"
