"""The recipe for two edge routers at one site does what it says: its own text is what the routers here are given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import traffic
from tests.lab.clouds import Attachment, BirdCloud, Exchange, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Fibre, Namespace, Workspace
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(300)

RECIPE = Path(__file__).resolve().parents[2] / "config" / "two-routers.md"
LAN_HOST = {4: "192.0.2.10", 6: "2001:db8:10::10"}
PLUMBING = {
    "prod-a": (101, Peer("10.255.101.1/30", "10.255.101.2"), Peer("2001:db8:101::1/126", "2001:db8:101::2")),
    "prod-b": (102, Peer("10.255.102.1/30", "10.255.102.2"), Peer("2001:db8:102::1/126", "2001:db8:102::2")),
}


def recipe() -> list[tuple[str, str]]:
    """Each router's order and its lines of FRR, out of the recipe."""
    text = RECIPE.read_text()
    orders = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^```\n(router bgp .*?)^```$", text, re.MULTILINE | re.DOTALL)
    return list(zip(orders, lines, strict=True))


@dataclass
class Site:
    """Two routers and a host on one LAN; the host's gateway is r1."""

    r1: Edge
    r2: Edge
    host: Namespace
    cloud: BirdCloud
    fibres: dict[str, Fibre]

    def way_out(self, router: Edge, version: int) -> str:
        """The device by which a router sends what is for the cloud's host."""
        return route(router.namespace, self.cloud.host_address(version))

    def way_back(self, version: int) -> str:
        """The line on which the cloud sends what is for the LAN."""
        return route(self.cloud.router, LAN_HOST[version])

    def wait_for(self, what: str, *, r1: str, r2: str, cloud: str) -> None:
        """Wait until all three send the site's traffic that way, in both families, and it arrives."""

        def ways() -> set[tuple[str, str, str]]:
            return {(self.way_out(self.r1, v), self.way_out(self.r2, v), self.way_back(v)) for v in (4, 6)}

        until(what, ways, accept=lambda seen: seen == {(r1, r2, cloud)})
        for version in (4, 6):
            target = self.cloud.host_address(version)
            until(f"an answer from {target}", lambda target=target: traffic.reaches(self.host, target))  # type: ignore[misc]


def route(namespace: Namespace, target: str) -> str:
    """The device that leads to an address; empty where none does."""
    said = namespace.run("ip", "-j", "route", "get", target, check=False).stdout
    return str(json.loads(said)[0]["dev"]) if said.strip() else ""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Workspace() as work, Workspace() as second:
        switch, host = work.namespace("switch"), work.namespace("lan-host")
        switch.ip("link add br0 type bridge", "link set br0 up")
        exchange = Exchange(work)
        edges, fibres = [], {}
        cloud = BirdCloud(work, "prod", 64512, ["10.20.0.0/16", "2001:db8:20::/48"], "10.20.0.1")
        for number, (place, (order, _), (name, (vlan, *peers))) in enumerate(
            zip((work, second), recipe(), PLUMBING.items(), strict=True), 1
        ):
            edge = Edge(place, order)
            edge.namespace.ip("link delete dev lan0")
            plug_in(switch, edge.namespace, "lan0", number)
            fibres[name] = edge.plug("eth1", exchange.port(f"fra-{number}"))
            cloud.attach(Attachment(name, fibres[name], vlan, tuple(peers), 65010, bfd=True))
            edges.append(edge)
        plug_in(switch, host, "eth0", 10)
        host.ip("route add default via 192.0.2.1", "route add default via 2001:db8:10::1")
        cloud.start()
        for edge, (_, lines) in zip(edges, recipe(), strict=True):
            edge.frr.start(lines)
        yield Site(edges[0], edges[1], host, cloud, fibres)


def plug_in(switch: Namespace, namespace: Namespace, port: str, number: int) -> None:
    """Connect a port to the LAN's switch, its addresses ending in that number."""
    namespace.ip(
        f"link add name {port} type veth peer name p{number} netns {switch.name}",
        f"link set dev {port} up",
        f"address add 192.0.2.{number}/24 dev {port}",
        f"address add 2001:db8:10::{number}/48 dev {port} nodad",
    )
    switch.ip(f"link set dev p{number} master br0 up")


def test_the_second_routers_line_takes_over_and_gives_back(site: Site) -> None:
    before = [router.frr.vtysh("show running-config") for router in (site.r1, site.r2)]
    for router in (site.r1, site.r2):
        outcome = router.dcedge("apply")
        assert outcome.status == 0, outcome.said
    site.cloud.wait_established()
    site.wait_for("traffic on the primary", r1="eth1.101", r2="lan0", cloud="prod-a")
    site.fibres["prod-a"].cut()
    site.wait_for("traffic on the second router's line", r1="lan0", r2="eth1.102", cloud="prod-b")
    assert site.cloud.routes("10.255.102.2") == {"192.0.2.0/24"}, "the cloud heard what is not the site's own"
    site.fibres["prod-a"].splice()
    site.wait_for("traffic on the primary again", r1="eth1.101", r2="lan0", cloud="prod-a")
    for router, found in zip((site.r1, site.r2), before, strict=True):
        assert router.dcedge("plan").status == 0
        kept = router.frr.vtysh("show running-config").splitlines()
        # That forwarding was off is the kernel's word, and no longer so.
        assert {line for line in found.splitlines() if not line.endswith(" forwarding")} <= set(kept)
