"""Isolation, anti-spoofing, guard and clamp with packets: two clouds, a LAN, and the router between them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from dcedge.firewall.nft import Dropped, Firewall, FirewallError, FirewallEvents, ruleset_generation
from dcedge.order.model import Order
from dcedge.plan.diff import Operation, plan
from tests.lab.netns import Namespace, Workspace, connect_host
from tests.lab.wait import until
from tests.unit.firewall.orders import DEV_A, PROD, PROD_A, PROD_B, Line, firewall_of, order_of

pytestmark = pytest.mark.native

LAN4, LAN6 = "192.0.2.10", "2001:db8:10::a"
PROD4, PROD6 = "10.20.0.1", "2001:db8:20::1"
DEV4, DEV6 = "10.30.0.1", "2001:db8:30::1"
STRANGER4, STRANGER6 = "198.51.100.7", "2001:db8:bad::7"
SSH, BGP = 22, 179


class Site:
    """A router with a LAN and a line to each of two clouds, all links untagged; dcedge's firewall on it."""

    def __init__(self, work: Workspace) -> None:
        self.edge, self.lan = work.namespace("edge"), work.namespace("lan")
        self.prod, self.dev = work.namespace("prod"), work.namespace("dev")
        connect_host(self.edge, "lan0", self.lan, [ip_network("192.0.2.0/24"), ip_network("2001:db8:10::/64")])
        self._line(PROD_A, self.prod, (PROD4, PROD6), ("10.20.0.0/16", "2001:db8:20::/48"))
        self._line(DEV_A, self.dev, (DEV4, DEV6), ("10.30.0.0/16", "2001:db8:30::/48"))
        for router in (self.edge, self.prod, self.dev):
            router.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        self.firewall = Firewall()
        for cloud, source in ((self.prod, PROD6), (self.dev, DEV6)):
            until(f"IPv6 between {source} and the LAN", lambda c=cloud, s=source: ping(c, s, LAN6))  # type: ignore[misc]

    def _line(self, line: Line, cloud: Namespace, hosts: tuple[str, str], networks: tuple[str, str]) -> None:
        n, port = line.number, f"eth{line.number}"
        self.edge.ip(
            f"link add name {port} type veth peer name eth0 netns {cloud.name}",
            f"link set dev {port} up",
            f"address add 10.255.{n}.2/30 dev {port}",
            f"address add 2001:db8:{n}::2/126 dev {port} nodad",
            f"route add {networks[0]} via 10.255.{n}.1",
            f"route add {networks[1]} via 2001:db8:{n}::1",
        )
        cloud.ip(
            "link set dev eth0 up",
            f"address add 10.255.{n}.1/30 dev eth0",
            f"address add 2001:db8:{n}::1/126 dev eth0 nodad",
            f"route add default via 10.255.{n}.2",
            f"route add default via 2001:db8:{n}::2",
            *(f"address add {address} dev lo" for address in (*hosts, STRANGER4, STRANGER6)),
        )

    def apply(self, order: Order) -> list[Operation]:
        """Bring the order into force; it must be in force then, for eyes that look for the first time too."""
        done = self.pending(order)
        failures = self.edge.call(self.firewall.execute, done)
        assert [failure.text for failure in failures] == []
        assert self.pending(order) == []
        assert self.pending(order, Firewall()) == []
        return done

    def pending(self, order: Order, firewall: Firewall | None = None) -> list[Operation]:
        wanted = firewall_of(order)
        return list(plan(wanted, self.edge.call((firewall or self.firewall).observe, wanted)).operations)

    def dropped(self, port: str) -> Dropped:
        return self.edge.call(self.firewall.counters)[port]

    def nft(self, *words: str) -> str:
        return self.edge.run("nft", *words).stdout


@pytest.fixture(scope="module")
def built() -> Iterator[Site]:
    with Workspace() as work:
        yield Site(work)


@pytest.fixture
def site(built: Site) -> Iterator[Site]:
    yield built
    built.edge.run("nft", "flush", "ruleset")


BOTH = order_of(PROD_A, DEV_A)


def ping(namespace: Namespace, source: str, target: str, patience: str = "1") -> bool:
    done = namespace.run("ping", "-n", "-c", "1", "-W", patience, "-I", source, target, check=False)
    return done.returncode == 0


def silence(namespace: Namespace, source: str, target: str) -> bool:
    return not ping(namespace, source, target, "0.3")


def connects(client: Namespace, server: Namespace, target: str, port: int, source_port: int = 0) -> bool:
    """Whether a TCP connection comes about."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET

    def attempt() -> bool:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.settimeout(1)
            sock.bind(("", source_port))
            try:
                sock.connect((target, port))
            except TimeoutError:
                return False
            return True

    with server.call(listen, family, port):
        return client.call(attempt)


def listen(family: socket.AddressFamily, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", port))
    sock.listen()
    return sock


def test_two_gateways_do_not_reach_each_other_but_the_lan_reaches_both(site: Site) -> None:
    assert ping(site.prod, PROD4, DEV4)
    assert ping(site.prod, PROD6, DEV6)

    site.apply(BOTH)

    assert silence(site.prod, PROD4, DEV4)
    assert silence(site.dev, DEV6, PROD6)
    assert site.dropped("eth1").isolated == 1
    assert site.dropped("eth2").isolated == 1
    for target in (PROD4, DEV4):
        assert ping(site.lan, LAN4, target)
    for target in (PROD6, DEV6):
        assert ping(site.lan, LAN6, target)


@pytest.mark.parametrize(
    "order",
    [
        order_of(PROD_A, DEV_A, isolation=False),
        order_of(PROD_A, DEV_A, reaches=("prod",)),
        order_of(PROD_A, DEV_A, prod={**PROD, "reaches": ("dev",)}),
    ],
    ids=["isolation off", "dev reaches prod", "prod reaches dev"],
)
def test_gateways_reach_each_other_where_it_is_ordered(site: Site, order: Order) -> None:
    site.apply(BOTH)
    site.apply(order)
    assert ping(site.prod, PROD4, DEV4)
    assert ping(site.dev, DEV6, PROD6)
    site.apply(BOTH)
    assert silence(site.prod, PROD4, DEV4)


def test_a_spoofed_source_is_dropped_and_counted(site: Site) -> None:
    site.apply(BOTH)
    assert silence(site.prod, STRANGER4, LAN4)
    assert silence(site.prod, STRANGER6, LAN6)
    assert silence(site.prod, STRANGER4, "10.255.1.2")
    assert site.dropped("eth1") == Dropped(spoofed=3, isolated=0, control_plane=0)
    assert site.dropped("eth2").spoofed == 0


def test_a_gateway_that_may_send_anything_sends_anything_but_what_no_host_may(site: Site) -> None:
    site.apply(order_of(PROD_A, DEV_A, prod={"accept": "any"}))
    site.lan.ip(f"route replace {STRANGER4} via 192.0.2.1", f"route replace {STRANGER6} via 2001:db8:10::1")
    site.edge.ip(f"route replace {STRANGER4} via 10.255.1.1", f"route replace {STRANGER6} via 2001:db8:1::1")
    assert ping(site.prod, STRANGER4, LAN4)
    assert ping(site.prod, STRANGER6, LAN6)
    site.prod.ip("address add 240.1.2.3 dev lo")
    assert silence(site.prod, "240.1.2.3", LAN4)
    assert site.dropped("eth1").spoofed == 1
    assert silence(site.dev, STRANGER4, LAN4)


def test_a_static_virtual_interface_may_send_from_what_is_routed_to_it(site: Site) -> None:
    static = Line(1, "prod", settings={"static": ("10.20.0.0/16", "2001:db8:20::/48")})
    site.apply(order_of(static, DEV_A, prod={"accept": ()}))
    assert ping(site.prod, PROD4, LAN4)
    assert not connects(site.prod, site.edge, "10.255.1.2", BGP)


@pytest.mark.parametrize("target", ["10.255.1.2", "2001:db8:1::2"])
def test_the_peer_gets_bgp_and_nothing_else(site: Site, target: str) -> None:
    site.apply(BOTH)
    assert connects(site.prod, site.edge, target, BGP)
    assert not connects(site.prod, site.edge, target, SSH)
    assert not connects(site.prod, site.edge, target, SSH, source_port=BGP)
    assert site.dropped("eth1").control_plane >= 2


def test_the_router_opens_bgp_to_its_peer_and_nothing_else(site: Site) -> None:
    site.apply(BOTH)
    assert connects(site.edge, site.prod, "10.255.1.1", BGP)
    assert connects(site.edge, site.prod, "2001:db8:1::1", BGP)
    assert not connects(site.edge, site.prod, "10.255.1.1", 443)


def test_bgp_is_the_peers_alone(site: Site) -> None:
    site.apply(order_of(Line(1, "prod", settings={"static": ("10.20.0.0/16",)}), DEV_A))
    assert not connects(site.prod, site.edge, "10.255.1.2", BGP)
    assert connects(site.dev, site.edge, "10.255.2.2", BGP)


def test_the_lan_reaches_the_router_as_ever(site: Site) -> None:
    site.apply(BOTH)
    assert connects(site.lan, site.edge, "192.0.2.1", SSH)
    assert connects(site.lan, site.edge, "2001:db8:10::1", SSH)


def test_bfd_from_the_peer_arrives_and_other_datagrams_do_not(site: Site) -> None:
    site.apply(BOTH)

    def heard(port: int) -> bool:
        with site.edge.call(datagrams, port) as sock:
            site.prod.call(send, "10.255.1.2", port)
            sock.settimeout(0.5)
            try:
                return sock.recv(10) == b"hello"
            except TimeoutError:
                return False

    assert [heard(port) for port in (3784, 4784, 53, 161)] == [True, True, False, False]


def datagrams(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", port))
    return sock


def send(target: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"hello", (target, port))


@pytest.mark.parametrize(("target", "most"), [(PROD4, 1360), (PROD6, 1340)])
def test_tcp_segments_fit_the_virtual_interface_both_ways(site: Site, target: str, most: int) -> None:
    site.apply(order_of(Line(1, "prod", mtu=1400), DEV_A))
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    source = (LAN6 if family == socket.AF_INET6 else LAN4, 0)

    def attempt() -> socket.socket:
        return socket.create_connection((target, 5001), 2, source)

    with site.prod.call(listen, family, 5001) as server, site.lan.call(attempt) as client:
        accepted, _ = server.accept()
        with accepted:
            sizes = [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) for sock in (client, accepted)]
    # What is announced includes the options that a segment carries: 12 bytes of timestamps.
    assert sizes == [most - 12, most - 12]


def test_an_element_comes_and_goes_without_the_counters_noticing(site: Site) -> None:
    site.apply(BOTH)
    assert silence(site.prod, STRANGER4, LAN4)
    wider = order_of(PROD_A, DEV_A, prod={"accept": ("10.20.0.0/16", "198.51.100.0/24")})
    (done,) = site.apply(wider)
    assert done.describe() == "accept of prod: + 198.51.100.0/24 - 2001:db8:20::/48"
    assert done.affects == ("vi-1",)
    site.edge.ip(f"route replace {STRANGER4} via 10.255.1.1")
    assert ping(site.prod, STRANGER4, LAN4)
    site.apply(BOTH)
    assert silence(site.prod, STRANGER4, LAN4)
    assert site.dropped("eth1").spoofed == 2


def test_a_new_virtual_interface_is_one_operation_that_only_it_feels(site: Site) -> None:
    site.apply(BOTH)
    before = {line for line in site.nft("list", "table", "inet", "dcedge").splitlines() if "chain" in line}
    (done,) = site.apply(order_of(PROD_A, DEV_A, PROD_B))
    assert (done.action, str(done.key), done.affects, done.disruption) == ("create", "guard eth3", ("vi-3",), "none")
    (done,) = site.apply(BOTH)
    assert (done.action, str(done.key)) == ("delete", "guard eth3")
    after = {line for line in site.nft("list", "table", "inet", "dcedge").splitlines() if "chain" in line}
    assert after == before


@pytest.mark.parametrize(
    "to",
    [
        order_of(PROD_A),
        order_of(Line(1, "dev"), DEV_A),
        order_of(Line(1, "prod", mtu=1440), DEV_A),
        order_of(DEV_A, Line(1, "prod", settings={"static": ("10.40.0.0/16",)})),
    ],
    ids=["a gateway less", "moved to another gateway", "another MTU", "static"],
)
def test_from_one_order_to_another_and_back(site: Site, to: Order) -> None:
    site.apply(BOTH)
    first = json.loads(site.nft("-j", "list", "table", "inet", "dcedge"))
    site.apply(to)
    site.apply(BOTH)
    assert without_handles(json.loads(site.nft("-j", "list", "table", "inet", "dcedge"))) == without_handles(first)


def without_handles(listing: dict[str, list[dict[str, dict[str, object]]]]) -> list[str]:
    stripped = [
        {kind: {name: value for name, value in body.items() if name != "handle"} for kind, body in entry.items()}
        for entry in listing["nftables"]
    ]
    return sorted(json.dumps(entry) for entry in stripped if "metainfo" not in entry)


@pytest.mark.parametrize(
    "hand",
    [
        "delete table inet dcedge",
        "flush table inet dcedge",
        "flush chain inet dcedge input",
        "insert rule inet dcedge forward accept",
        "add chain inet dcedge mine",
        "add set inet dcedge mine { type ipv4_addr; }",
        "flush set inet dcedge isolated",
        "delete element inet dcedge peers4 { eth1 . 10.255.1.1 }",
        "delete element inet dcedge sources4-prod { 10.20.0.0/16 }",
        "delete element inet dcedge sources4-prod { 10.255.1.0/30 }",
        "add element inet dcedge sources4-prod { 0.0.0.0/8 }",
        "add element inet dcedge links { lan0 }",
        "add element inet dcedge to-prod { eth2 }",
        "delete element inet dcedge from { eth1 }",
        "flush ruleset",
    ],
)
def test_what_a_hand_does_to_the_table_is_seen_and_put_right(site: Site, hand: str) -> None:
    site.apply(BOTH)
    generation = site.edge.call(ruleset_generation)
    events = site.edge.call(FirewallEvents)
    try:
        site.nft(*hand.split())
        assert events.changed()
    finally:
        events.close()
    assert site.edge.call(ruleset_generation) != generation
    assert site.apply(BOTH), f"not seen: {hand}"
    assert silence(site.prod, PROD4, DEV4)
    assert silence(site.prod, STRANGER4, LAN4)
    assert ping(site.prod, PROD4, LAN4)


def test_other_tables_are_not_touched(site: Site) -> None:
    for words in (
        "add table inet other",
        "add chain inet other forward { type filter hook forward priority 0; }",
        "add rule inet other forward iifname eth1 meta mark set 7",
        "add table ip filter",
        "add set ip filter mine { type ipv4_addr; flags interval; }",
        "add element ip filter mine { 10.0.0.0/8 }",
    ):
        site.nft(*words.split())
    foreign = site.nft("-j", "list", "ruleset")
    site.apply(BOTH)
    site.apply(order_of(PROD_A))
    events = site.edge.call(FirewallEvents)
    site.nft("add", "table", "ip", "another")
    assert not events.changed()
    events.close()
    site.nft("delete", "table", "ip", "another")
    nothing = plan({}, site.edge.call(site.firewall.observe, {}))
    assert site.edge.call(site.firewall.execute, nothing.operations) == []
    assert site.nft("-j", "list", "ruleset") == foreign


def test_a_table_of_that_name_that_is_not_ours_is_left_alone(site: Site) -> None:
    site.nft("add", "table", "inet", "dcedge")
    site.nft("add", "chain", "inet", "dcedge", "theirs")
    before = site.nft("-j", "list", "ruleset")
    with pytest.raises(FirewallError, match="that dcedge did not make"):
        site.pending(BOTH)
    assert site.nft("-j", "list", "ruleset") == before


def test_nothing_is_done_by_halves(site: Site) -> None:
    site.apply(BOTH)
    todo = site.pending(order_of(PROD_A, DEV_A, PROD_B))
    site.nft("delete", "table", "inet", "dcedge")
    failures = site.edge.call(site.firewall.execute, todo)
    assert [(failure.operation, failure.retryable) for failure in failures] == [(todo[0], True)]
    assert site.nft("list", "ruleset") == ""
    site.apply(order_of(PROD_A, DEV_A, PROD_B))


def test_a_virtual_interface_in_a_vrf_has_rules_for_the_link_below_it(site: Site) -> None:
    order = order_of(PROD_A, DEV_A, vrf="blue")
    site.apply(order)
    assert "meta sdifname vmap @from" in site.nft("list", "table", "inet", "dcedge")
    site.apply(BOTH)
    assert "sdifname" not in site.nft("list", "table", "inet", "dcedge")
