"""A session that is up while nothing goes to the cloud, or far too much comes from it: status and explain say why.

The line is untagged, so that this runs wherever there are network namespaces and FRR.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from dcedge.kernel.route.view import preferred_to_bgp
from dcedge.netlink.socket import RouteSocket
from tests.lab.clouds import Attachment, FrrCloud, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Port, Workspace, leave_on_signals
from tests.lab.wait import until

pytestmark = [pytest.mark.everywhere, pytest.mark.timeout(300)]

ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections: {fra-1: {provider: generic, port: eth1, bandwidth: 1G}}
virtual_gateways: {prod: {vpc: v, asn: 64512, accept: [10.20.0.0/16, 10.21.0.0/16]}}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 0
    bandwidth: 50M
    addresses: [{customer: 198.51.100.2/30, cloud: 198.51.100.1}]
    bgp: {receive_limit: 10}
"""
CLOUD, PREFIX = "198.51.100.1", "10.20.0.0/16"
Seen = tuple[str, str, str, str]


@dataclass
class Line:
    """An edge and a cloud at the two ends of one fibre; the edge's daemon runs, the cloud's BGP need not yet."""

    edge: Edge
    cloud: FrrCloud

    def status(self) -> Seen:
        """State, layer, side and reason of the verdict."""
        return self.edge.verdict("prod-a")

    def degraded(self, side: str, *words: str, layer: str = "forwarding") -> None:
        """Wait until status says so, and see that explain says the same."""
        (_, _, _, reason) = until(
            f"{words} to be said of {layer} on the side of {side}",
            self.status,
            accept=lambda seen: seen[:3] == ("degraded", layer, side) and all(word in seen[3] for word in words),
        )
        outcome = self.edge.dcedge("explain", "prod-a", "--json")
        finding: dict[str, Any] = outcome.json()["finding"]
        assert (finding["layer"], finding["side"], finding["text"]) == (layer, side, reason)

    def accepts(self, accept: str) -> None:
        """Have another `accept` in force."""
        self.edge.order.write_text(ORDER.replace("accept: [10.20.0.0/16, 10.21.0.0/16]", f"accept: {accept}"))
        applied = self.edge.dcedge("apply")
        assert applied.status == 0, applied.said

    def cloud_announces(self, *prefixes: str) -> None:
        """Besides what it announces already, whether it has a route there or not."""
        networks = "".join(f"  network {prefix}\n" for prefix in prefixes)
        self.cloud.frr.load(
            "router bgp 64512\n no bgp network import-check\n address-family ipv4 unicast\n"
            f"{networks} exit-address-family\nexit\n"
        )

    def stays_up(self) -> None:
        """Wait until every prefix has been looked at, and see that nothing is wrong with any."""
        before = self.edge.status()["router"]["taken_at"]
        until("some looks", self.edge.status, accept=lambda seen: seen["router"]["taken_at"] > before + 8)
        assert self.status()[0] == "up", self.status()

    def wait_up(self) -> None:
        until("prod-a to be as ordered", self.status, accept=lambda seen: seen[0] == "up")

    @contextmanager
    def other_route(self, *words: str) -> Iterator[None]:
        """Somebody else's route on the edge, for as long as this lasts."""
        self.edge.namespace.ip(f"route add {' '.join(words)}")
        try:
            yield
        finally:
            self.edge.namespace.ip(f"route del {' '.join(words)}")


@pytest.fixture
def bare() -> Iterator[Line]:
    """The line before the cloud speaks BGP."""
    leave_on_signals()
    with Workspace() as work:
        edge = Edge(work, ORDER)
        cloud = FrrCloud(work, "prod", 64512, [PREFIX], "10.20.0.1")
        fibre = edge.plug("eth1", Port(cloud.router, "far"))
        cloud.attach(Attachment("prod-a", fibre, 0, (Peer(f"{CLOUD}/30", "198.51.100.2"),), 65010))
        edge.frr.start()
        edge.start_daemon()
        yield Line(edge, cloud)
        edge.stop_daemon()


@pytest.fixture
def line(bare: Line) -> Line:
    """The line, up."""
    bare.cloud.start()
    bare.wait_up()
    return bare


def test_a_route_of_others_takes_what_is_for_the_cloud(line: Line) -> None:
    for words, said in (
        ((PREFIX, "via", line.edge.host_address(4)), f"traffic for {PREFIX} leaves by lan0 instead of eth1: a static"),
        (("blackhole", PREFIX), f"traffic for {PREFIX} has no route instead of eth1: a static route of others"),
    ):
        with line.other_route(*words):
            line.degraded("customer", said)
        line.wait_up()


def test_a_network_of_the_lan_takes_what_is_for_the_cloud(line: Line) -> None:
    lan = "10.20.0.99/16 dev lan0"
    line.edge.namespace.ip(f"address add {lan}")
    line.degraded("customer", f"traffic for {PREFIX} leaves by lan0 instead of eth1: a connected route of others")
    line.edge.namespace.ip(f"address del {lan}")
    line.wait_up()


def test_a_route_to_what_the_cloud_does_not_announce_is_nobodys_business(line: Line) -> None:
    with (
        line.other_route("10.21.0.0/16", "via", line.edge.host_address(4)),
        line.other_route("blackhole", "10.0.0.0/8"),
    ):
        line.stays_up()


@pytest.mark.parametrize(
    ("accept", "taken"),
    [
        ("[{prefix: 10.20.0.0/16, le: 24}]", "10.20.7.0/24"),
        ("any", "172.16.8.0/22"),
        (f"[{PREFIX}, {', '.join(f'10.{second}.0.0/16' for second in range(21, 30))}]", "10.29.0.0/16"),
        (f"[{PREFIX}, 0.0.0.0/0]", "0.0.0.0/0"),
    ],
    ids=["within a length", "any", "the tenth of them", "the default route"],
)
def test_a_route_of_others_takes_any_of_what_the_cloud_may_announce(line: Line, accept: str, taken: str) -> None:
    line.cloud_announces(taken)
    line.accepts(accept)
    line.wait_up()
    with line.other_route(taken, "via", line.edge.host_address(4)):
        line.degraded("customer", f"traffic for {taken} leaves by lan0 instead of eth1: a static route of others")
    line.wait_up()


def test_a_network_of_the_lan_takes_a_part_of_what_the_cloud_may_announce(line: Line) -> None:
    part, lan = "10.20.7.0/24", "10.20.7.99/24 dev lan0"
    line.cloud_announces(part)
    line.accepts("[{prefix: 10.20.0.0/16, le: 24}]")
    line.wait_up()
    line.edge.namespace.ip(f"address add {lan}")
    line.degraded("customer", f"traffic for {part} leaves by lan0 instead of eth1: a connected route of others")
    line.edge.namespace.ip(f"address del {lan}")
    line.wait_up()


def test_a_network_of_the_lan_that_has_the_first_address_of_an_aggregate_is_no_fault(line: Line) -> None:
    line.edge.namespace.ip("address add 10.20.0.99/24 dev lan0")
    line.stays_up()


def test_the_kernels_routes_that_go_before_bgps() -> None:
    leave_on_signals()
    with Workspace() as work:
        router = work.namespace("router")
        via = "nexthop via 203.0.113.2 dev lan0 nexthop via 203.0.113.3 dev lan0"
        router.ip(
            *("link add lan0 type veth peer name far", "link add ours type veth peer name theirs"),
            *(f"link set {link} up" for link in ("lan0", "far", "ours", "theirs")),
            *("address add 203.0.113.1/24 dev lan0", "address add 2001:db8::1/64 dev lan0 nodad"),
            *("address add 198.51.100.1/24 dev ours", "route add 10.9.0.0/16 dev ours"),
            *(f"route add 10.{n}.0.0/16 dev lan0 proto {n}" for n in (3, 4, 12, 16, 18, 42, 196)),
            *(f"route add 10.{n}.0.0/16 dev lan0 proto {n}" for n in (11, 186, 188, 220)),
            *("route add blackhole 10.100.0.0/16", f"route add 10.101.0.0/16 {via}", "route add default dev lan0"),
            *("route add unreachable 10.102.0.0/16 table 77", "route add 2001:db8:9::/48 dev lan0"),
        )
        ours = {router.call(socket.if_nametoindex, "ours")}
        with router.call(RouteSocket) as sock:
            found = {(str(route.prefix), route.table) for route in preferred_to_bgp(sock, ours)}
        put_in = [f"10.{n}.0.0/16" for n in (3, 4, 9, 12, 16, 18, 42, 196, 100, 101)]
        main = {"203.0.113.0/24", "2001:db8::/64", "2001:db8:9::/48", "0.0.0.0/0", *put_in}
        assert found == {*((prefix, 254) for prefix in main), ("10.102.0.0/16", 77)}


def test_by_any_our_own_networks_and_the_default_may_lead_elsewhere(line: Line) -> None:
    """Another site announces the LAN that both are on; and who takes whatever comes has a way to the Internet."""
    line.cloud_announces("192.0.2.0/25", "0.0.0.0/0")
    line.accepts("any")
    line.wait_up()
    with (
        line.other_route("192.0.2.0/25", "via", line.edge.host_address(4)),
        line.other_route("default", "via", line.edge.host_address(4)),
    ):
        line.stays_up()


def test_a_next_hop_that_bgpd_cannot_reach(line: Line) -> None:
    line.cloud.frr.load(
        "route-map ELSEWHERE permit 10\n set ip next-hop 203.0.113.9\nexit\nrouter bgp 64512\n"
        " address-family ipv4 unicast\n  neighbor 198.51.100.2 route-map ELSEWHERE out\n exit-address-family\nexit\n"
    )
    line.cloud.frr.vtysh("clear bgp 198.51.100.2 soft out")
    line.degraded("cloud", f"FRR does not use {PREFIX} of {CLOUD}: there is no route to its next hop 203.0.113.9")


def test_a_route_that_the_kernel_refuses(bare: Line) -> None:
    """The kernel has no connected route to the gateway any more, which zebra still believes in; TCP takes a detour."""
    edge = bare.edge.namespace
    until("the address", lambda: CLOUD[:-1] in edge.run("ip", "route", "show", "dev", "eth1").stdout)
    bare.cloud.router.ip("address add 203.0.113.1/30 dev prod-a")
    edge.ip(
        "address add 203.0.113.2/30 dev eth1",
        f"route add {CLOUD} via 203.0.113.1 dev eth1 table 100",
        f"rule add to {CLOUD} lookup 100",
        "route del 198.51.100.0/30 dev eth1",
    )
    bare.cloud.start()
    bare.degraded("customer", f"zebra could not install {PREFIX}, the kernel refused it", "in `show zebra dplane`")


def test_a_cloud_that_announces_far_more_than_was_agreed_on(line: Line) -> None:
    line.cloud_announces(*(f"11.{number}.0.0/16" for number in range(40)))
    line.degraded(
        "cloud",
        f"{CLOUD} announces 42 prefixes, more than the order's receive_limit of 10; 1 of them",
        layer="prefixes",
    )
