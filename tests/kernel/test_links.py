"""Everything a virtual interface or a connection can be, on a real kernel: VRFs, bonds, stacked tags, MTUs, routes.

One router without FRR, driven in this process: what is tested is what the kernel holds after a pass.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from typing import Any

import pytest
from pyroute2.protocols import ETH_P_ALL

from dcedge.frr.vty import FrrClient
from dcedge.kernel import questions, view
from dcedge.kernel.context import Failure
from dcedge.kernel.naming import vrf_tables
from dcedge.kernel.neighbours import neighbour_key, read_neighbours
from dcedge.kernel.route import view as route_view
from dcedge.netlink.socket import RouteSocket
from dcedge.order.load import load_order
from dcedge.order.model import Order
from dcedge.plan.diff import Plan
from dcedge.reconcile.reconciler import Reconciler, purge_intent
from dcedge.reconcile.result import DirtySet, PassRequest, PassResult
from dcedge.reconcile.state.formats import Runtime
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings
from tests.lab.clouds import Attachment, BirdCloud, Cloud, Exchange, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Namespace, Workspace, leave_on_signals
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(300)

HEAD = "router: {asn: 65010, router_id: 10.255.0.1}\n"
PORTS = ("p1", "p2", "p3", "p4")
PACKET_AUXDATA, SOL_PACKET = 8, 263


class Router:
    """A router with four veth ports, their far ends under the same names in `cloud`."""

    def __init__(self, work: Workspace) -> None:
        self.edge, self.cloud = work.namespace("edge"), work.namespace("cloud")
        for port in PORTS:
            self.edge.ip(f"link add name {port} type veth peer name {port} netns {self.cloud.name}")
            for end in (self.edge, self.cloud):
                end.run("ethtool", "-K", port, "txvlan", "off", "tx-vlan-stag-hw-insert", "off")
                end.ip(f"link set dev {port} up")
        self.file = work.folder / "order.yaml"
        self.settings = Settings(order=self.file, credentials=work.folder, state_dir=work.folder / "state")
        self.store = Store(self.settings.state_dir)
        self.failures: tuple[Failure, ...] = ()
        self.reconciler = self._start()

    def _start(self) -> Reconciler:
        return self.edge.call(Reconciler, self.settings, self.store, FrrClient("dcedge-none"))

    def load(self, text: str) -> Order:
        self.file.write_text(HEAD + text)
        return load_order(self.file).order

    def attempt(self, text: str, runtime: Runtime | None = None, dirty: DirtySet | None = None) -> PassResult:
        order = self.load(text)
        return self.edge.call(self._pass, order, runtime or Runtime(), dirty)

    def _pass(self, order: Order, runtime: Runtime, dirty: DirtySet | None) -> PassResult:
        request = PassRequest(dirty, failures=self.failures)
        result = self.reconciler.run(self.reconciler.intent(order, runtime), request)
        self.failures = result.failures
        return result

    def apply(self, text: str) -> PassResult:
        done = self.attempt(text)
        assert [(failure.operation.key, failure.text) for failure in done.failures] == []
        left = self.plan(text)
        assert [(o.action, str(o.key), o.describe()) for o in left.operations] == []
        return done

    def plan(self, text: str) -> Plan:
        order = self.load(text)
        return self.edge.call(lambda: self.reconciler.preview(self.reconciler.intent(order, Runtime())).plan)

    def purge(self) -> PassResult:
        done = self.edge.call(lambda: self.reconciler.run(purge_intent(self.store.owned())))
        assert [(str(failure.operation.key), failure.text) for failure in done.failures] == []
        self.edge.call(self.reconciler.close)
        self.store.clear()
        self.failures = ()
        self.reconciler = self._start()
        return done

    def link(self, name: str) -> dict[str, Any]:
        """A link as iproute2 shows it; empty where there is none."""
        return next(iter(self.shown("-d", "address", "show", "dev", name)), {})

    def addresses(self, name: str) -> list[str]:
        found = self.link(name).get("addr_info", [])
        return [f"{a['local']}/{a['prefixlen']}" for a in found if a["scope"] == "global"]

    def routes(self, *words: str) -> list[dict[str, Any]]:
        """The static routes; not the ends of VRFs' tables."""
        found = self.shown(*words, "route", "show", "table", "all", "proto", "220")
        return [route for route in found if route.get("type") != "unreachable"]

    def shown(self, *words: str) -> list[dict[str, Any]]:
        said = self.edge.run("ip", "-j", *words, check=False).stdout
        return [entry for entry in json.loads(said or "[]") if entry]


@pytest.fixture(scope="module")
def site() -> Iterator[Router]:
    leave_on_signals()
    with Workspace() as work:
        yield Router(work)


@pytest.fixture
def router(site: Router) -> Iterator[Router]:
    before = site.edge.run("ip", "-j", "link").stdout
    yield site
    site.purge()
    left = {x["ifname"]: (x["mtu"], x.get("master"), "UP" in x["flags"]) for x in site.shown("link")}
    assert left == {x["ifname"]: (x["mtu"], x.get("master"), "UP" in x["flags"]) for x in json.loads(before)}


def order(connections: str, interfaces: str, gateways: str = "  prod: {vpc: prod, asn: 64512, accept: any}\n") -> str:
    return f"connections:\n{connections}virtual_gateways:\n{gateways}virtual_interfaces:\n{interfaces}"


def vi(name: str, connection: str, vlan: int, number: int, more: str = "", gateway: str = "prod") -> str:
    return (
        f"  {name}: {{connection: {connection}, virtual_gateway: {gateway}, vlan: {vlan}, bandwidth: 50M, {more}"
        f"addresses: [{{customer: 10.255.{number}.2/30, cloud: 10.255.{number}.1}},"
        f' {{customer: "2001:db8:{number}::2/126", cloud: "2001:db8:{number}::1"}}]}}\n'
    )


def answers(namespace: Namespace, *words: str) -> None:
    """Wait until an echo request is answered."""
    until(f"{words[-1]} to answer", lambda: namespace.run("ping", "-c1", "-W1", *words, check=False).returncode == 0)


TWO = "  f1: {provider: generic, port: p1, bandwidth: 1G}\n  f2: {provider: generic, port: p2, bandwidth: 1G}\n"
KEY = "bgp: {password: {credential: red-a}}, "
VRFS = "  red: {vpc: red, asn: 64512, accept: any, vrf: red}\n  blue: {vpc: blue, asn: 64513, accept: any, vrf: blue}\n"


def test_two_gateways_may_use_the_same_addresses_in_vrfs_of_their_own(router: Router) -> None:
    text = order(TWO, vi("red-a", "f1", 10, 1, gateway="red") + vi("blue-a", "f2", 10, 1, gateway="blue"), VRFS)
    router.apply(text)
    tables = vrf_tables(["red", "blue"])
    for name, port in (("red", "p1"), ("blue", "p2")):
        vrf = router.link(name)
        assert vrf["ifalias"] == f"dcedge:vrf:{name}"
        assert vrf["linkinfo"]["info_data"]["table"] == tables[name]
        assert router.link(f"{port}.10")["master"] == name
        router.cloud.ip(
            f"link add link {port} name c{port} type vlan id 10",
            *([f"link add v{port} type vrf table 9{port[1]}", f"link set dev v{port} up"]),
            f"link set dev c{port} master v{port} up",
            f"address add 10.255.1.1/30 dev c{port}",
        )
        answers(router.edge, "-I", name, "10.255.1.1")
    assert router.edge.run("cat", "/proc/sys/net/ipv4/tcp_l3mdev_accept").stdout.strip() == "0"
    for port in ("p1", "p2"):
        router.cloud.ip(f"link del c{port}", f"link del v{port}")


def test_a_virtual_interface_moves_between_vrfs_with_all_that_it_has(router: Router) -> None:
    def text(vrf: str) -> str:
        return order(TWO, vi("a", "f1", 10, 1), f"  prod: {{vpc: prod, asn: 64512, accept: any, vrf: {vrf}}}\n")

    router.apply(text("red"))
    before = router.link("p1.10")
    router.edge.ip("address add 2001:db8:f::1/64 dev p1.10 nodad")  # somebody else's
    moved = next(o for o in router.plan(text("blue")).operations if str(o.key) == "link p1.10")
    assert (moved.action, moved.disruption, moved.affects) == ("change", "link", ("a",))
    router.apply(text("blue"))
    after = router.link("p1.10")
    assert (after["master"], after["ifindex"]) == ("blue", before["ifindex"])
    assert set(router.addresses("p1.10")) == {"10.255.1.2/30", "2001:db8:1::2/126", "2001:db8:f::1/64"}
    assert router.link("red") == {}
    router.edge.ip("link set dev p1.10 nomaster")
    router.apply(text("blue"))
    assert router.link("p1.10")["master"] == "blue"


def test_somebody_elses_vrf_is_used_and_left(router: Router) -> None:
    router.edge.ip("link add red type vrf table 77", "link set dev red up")
    text = order(TWO, vi("a", "f1", 10, 1, "static: [10.20.0.0/16], ", gateway="red"), VRFS.splitlines()[0] + "\n")
    router.apply(text)
    assert router.link("p1.10")["master"] == "red"
    assert [route["table"] for route in router.routes("-4")] == ["77"]
    router.purge()
    assert router.link("red")["linkinfo"]["info_data"]["table"] == 77
    router.edge.ip("link del red")


def test_our_vrf_stays_while_somebody_else_uses_it_and_its_table_is_nobody_elses(router: Router) -> None:
    taken = vrf_tables(["red"])["red"]
    router.edge.ip(f"link add theirs type vrf table {taken}")
    text = order(TWO, vi("a", "f1", 10, 1, gateway="red"), VRFS.splitlines()[0] + "\n")
    router.apply(text)
    assert router.link("red")["linkinfo"]["info_data"]["table"] == taken + 1
    router.edge.ip("link add guest type dummy", "link set dev guest master red")
    router.purge()
    assert router.link("guest")["master"] == "red"
    router.edge.ip("link del guest", "link del theirs")


BOND = "  f1: {{provider: generic, port: {{bond: bond7, members: [{0}], lacp_rate: {1}}}, bandwidth: 1G{2}}}\n"


def test_an_lacp_bond_is_made_from_its_members_and_released(router: Router) -> None:
    router.cloud.ip(
        "link add b7 type bond mode 802.3ad miimon 100 lacp_rate fast",
        *(line for p in ("p1", "p2") for line in (f"link set dev {p} down", f"link set dev {p} master b7")),
        "link set dev b7 up",
        "link add link b7 name b7.10 type vlan id 10",
        "link set dev b7.10 up",
        "address add 10.255.1.1/30 dev b7.10",
    )
    text = order(BOND.format("p1, p2", "fast", ", mtu: 8500"), vi("a", "f1", 10, 1))
    made = next(o for o in router.plan(text).operations if o.key.type == "bond")
    assert (made.disruption, made.affects) == ("link", ("a",))
    router.apply(text)
    bond = router.link("bond7")
    data = bond["linkinfo"]["info_data"]
    assert (data["mode"], data["ad_lacp_rate"], data["min_links"], data["miimon"]) == ("802.3ad", "fast", 1, 100)
    assert (data["xmit_hash_policy"], bond["ifalias"], bond["mtu"]) == ("layer3+4", "dcedge:bond:bond7", 8500)
    answers(router.edge, "10.255.1.1")
    address = json.loads(router.cloud.run("ip", "-j", "link", "show", "dev", "b7").stdout)[0]["address"]
    until(
        "the two bonds to have found each other",
        lambda: router.link("bond7")["linkinfo"]["info_data"]["ad_info"]["partner_mac"],
        accept=address.__eq__,
    )

    router.apply(order(BOND.format("p1", "slow", ""), vi("a", "f1", 10, 1)))
    after = router.link("bond7")
    assert (after["ifindex"], after["linkinfo"]["info_data"]["ad_lacp_rate"]) == (bond["ifindex"], "slow")
    assert "master" not in router.link("p2")
    assert set(router.addresses("bond7.10")) == {"10.255.1.2/30", "2001:db8:1::2/126"}
    router.edge.ip("link set dev p1 nomaster")
    router.apply(order(BOND.format("p1", "slow", ""), vi("a", "f1", 10, 1)))
    assert router.link("p1")["master"] == "bond7"
    for port in ("p1", "p2"):
        router.cloud.ip(f"link set dev {port} nomaster", f"link set dev {port} up")
    router.cloud.ip("link del b7")


def test_a_bond_with_a_member_missing_works_and_says_so(router: Router) -> None:
    done = router.attempt(order(BOND.format("p1, p9", "fast", ""), vi("a", "f1", 10, 1)))
    assert [failure.text for failure in done.failures] == ["no such interface: p9"]
    assert router.link("p1")["master"] == "bond7"
    assert router.addresses("bond7.10")


def test_somebody_elses_bond_is_used_and_its_members_are_complained_of(router: Router) -> None:
    router.edge.ip("link add bond7 type bond mode 802.3ad", "link set dev p1 down", "link set dev p1 master bond7")
    done = router.attempt(order(BOND.format("p1, p2", "fast", ""), vi("a", "f1", 10, 1)))
    assert [failure.text for failure in done.failures] == [
        "bond7 exists and is not dcedge's: its members are p1, those of the order p1 p2"
    ]
    assert router.addresses("bond7.10")
    router.apply(order(BOND.format("p1", "slow", ""), vi("a", "f1", 10, 1)))
    router.purge()
    assert router.link("p1")["master"] == "bond7"
    router.edge.ip("link del bond7", "link set dev p1 up")


HOSTED = """\
  f1: {provider: generic, port: p1, bandwidth: 1G}
  s: {provider: generic, over: f1, outer: 10, protocol: 802.1ad, bandwidth: 100M}
  q: {provider: generic, over: f1, outer: 20, protocol: 802.1Q, bandwidth: 100M}
  plain: {provider: generic, over: f1, bandwidth: 100M}
"""


def test_hosted_connections_wear_their_outer_tag_on_the_wire(router: Router) -> None:
    both = vi("s-a", "s", 100, 1) + vi("s-b", "s", 200, 2)
    text = order(HOSTED, both + vi("q-a", "q", 100, 3) + vi("plain-a", "plain", 30, 4))
    router.apply(text)
    for outer, kind, number in ((10, "802.1ad", 1), (20, "802.1Q", 3)):
        router.cloud.ip(
            f"link add link p1 name o{outer} type vlan protocol {kind} id {outer}",
            f"link add link o{outer} name i{outer} type vlan id 100",
            f"link set dev o{outer} up",
            f"link set dev i{outer} up",
            f"address add 10.255.{number}.1/30 dev i{outer}",
        )
        tags = tags_seen(router, f"10.255.{number}.1")
        assert tags == [(0x88A8 if kind == "802.1ad" else 0x8100, outer), (0x8100, 100)]
        answers(router.edge, f"10.255.{number}.1")
        router.cloud.ip(f"link del o{outer}")
    assert tags_seen(router, "10.255.4.1") == [(0x8100, 30)]
    assert router.link("p1.10")["ifalias"] == "dcedge:connection:s"
    router.apply(order(HOSTED, vi("s-b", "s", 200, 2) + vi("plain-a", "plain", 30, 4)))
    assert router.link("p1.10")
    assert not router.link("p1.20")
    router.apply(order(HOSTED, vi("plain-a", "plain", 30, 4)))
    assert not router.link("p1.10")


def test_names_too_long_for_the_kernel_are_shortened_and_stacked_in_order(router: Router) -> None:
    router.edge.ip("link add enp129s0f0np0 type dummy")
    connections = HOSTED.replace("p1", "enp129s0f0np0").replace("outer: 10,", "outer: 1000,")
    router.apply(order(connections, vi("s-a", "s", 1001, 1)))
    assert router.link("vi-s-a")["ifname"].endswith(".1001")
    assert router.addresses("vi-s-a") == ["10.255.1.2/30", "2001:db8:1::2/126"]
    router.purge()
    router.edge.ip("link del enp129s0f0np0")


def test_links_of_the_cloud_side_take_no_advice_from_it(router: Router) -> None:
    router.apply(order(HOSTED, vi("s-a", "s", 100, 1)))
    for link in ("p1/10", "p1/10/100"):
        # ip-sysctl.txt: with forwarding, router advertisements and redirects are heeded under accept_ra 2 only.
        for setting, values in (("accept_ra", "01"), ("forwarding", "1")):
            path = f"/proc/sys/net/ipv6/conf/{link.replace('/', '.')}/{setting}"
            assert router.edge.run("cat", path).stdout.strip() in values, path
    flags = [a.get("tentative", False) for a in router.link("p1.10.100")["addr_info"] if a["scope"] == "global"]
    assert flags == [False, False]


def test_a_ports_mtu_is_raised_for_who_needs_it_and_put_back_on_purge(router: Router) -> None:
    connections = HOSTED.replace("outer: 10,", "outer: 10, mtu: 8500,")
    router.apply(order(connections, vi("plain-a", "plain", 30, 4)))
    text = order(connections, vi("plain-a", "plain", 30, 4) + vi("s-a", "s", 100, 1))
    raised = next(o for o in router.plan(text).operations if o.key.type == "port")
    assert (raised.disruption, raised.affects) == ("link", ("plain-a", "s-a"))
    router.apply(text)
    assert [router.link(name)["mtu"] for name in ("p1", "p1.10", "p1.10.100", "p1.30")] == [8500, 8500, 8500, 1500]
    router.apply(order(connections, vi("plain-a", "plain", 30, 4)))
    assert router.link("p1")["mtu"] == 8500  # nobody's traffic stops for a lower one
    router.purge()
    assert router.link("p1")["mtu"] == 1500


def test_a_port_that_refuses_an_mtu_fails_only_who_needs_it(router: Router) -> None:
    router.edge.ip("link add link p1 name narrow type vlan id 5")
    connections = HOSTED.replace("p1", "narrow").replace("outer: 10,", "outer: 10, mtu: 8500,")
    done = router.attempt(order(connections, vi("plain-a", "plain", 30, 4) + vi("s-a", "s", 100, 1)))
    assert {name for failure in done.failures for name in failure.operation.affects} == {"s-a"}
    text = next(failure.text for failure in done.failures if str(failure.operation.key) == "link narrow.10")
    assert text.startswith("port narrow does not take MTU 8500")
    assert router.addresses("narrow.30")
    router.purge()
    router.edge.ip("link del narrow")


def static(a: str, b: str, prefixes: str = '10.20.0.0/16, "2001:db8:20::/48"') -> str:
    def one(name: str, fibre: str, number: int, preference: str) -> str:
        return vi(name, fibre, 10, number, f"preference: {preference}, static: [{prefixes}], ")

    return order(TWO, one("a", "f1", 1, a) + (one("b", "f2", 2, b) if b else ""))


def test_equal_static_routes_share_the_traffic_and_a_backup_ranks_behind(router: Router) -> None:
    router.apply(static("equal", "equal"))
    for family, cloud in (("-4", "10.255.{}.1"), ("-6", "2001:db8:{}::1")):
        (route,) = router.routes(family)
        assert [hop["gateway"] for hop in route["nexthops"]] == [cloud.format(1), cloud.format(2)]
        assert route["metric"] >> 24 == 15
    router.apply(static("primary", "backup"))
    found = [(r["gateway"], r["metric"] >> 24) for r in router.routes("-4")]
    assert sorted(found) == [("10.255.1.1", 15), ("10.255.2.1", 210)]
    router.apply(static("equal", "equal"))
    router.apply(static("equal", ""))
    assert [route["gateway"] for route in router.routes("-4") + router.routes("-6")] == ["10.255.1.1", "2001:db8:1::1"]


def test_a_static_route_ranks_behind_bgp_unless_bgp_is_the_backup(router: Router) -> None:
    line = vi("a", "f1", 10, 1, "static: [10.20.0.0/16], ")
    router.apply(order(TWO, line + vi("b", "f2", 10, 2)))
    assert [route["metric"] >> 24 for route in router.routes("-4")] == [205]
    router.apply(order(TWO, line + vi("b", "f2", 10, 2, "preference: backup, ")))
    assert [route["metric"] >> 24 for route in router.routes("-4")] == [15]


def test_a_broken_static_route_is_made_again_and_a_foreign_one_left(router: Router) -> None:
    text = static("primary", "")
    router.apply(text)
    router.edge.ip("route add 10.99.0.0/16 via 10.255.1.1")
    router.edge.ip("route del 10.20.0.0/16")
    assert [str(o.key) for o in router.plan(text).operations] == [f"route 10.20.0.0/16 metric {15 << 24 | 15}"]
    router.apply(text)
    router.edge.ip("link del p1.10")
    router.apply(text)
    assert [route["dst"] for route in router.routes("-4")] == ["10.20.0.0/16"]
    router.edge.ip("route add 10.99.0.0/16 via 10.255.1.1")
    router.apply(order(TWO, vi("a", "f1", 10, 1)))
    assert router.routes("-4") == router.routes("-6") == []
    assert router.shown("route", "show", "10.99.0.0/16")


def test_a_prompt_look_repairs_routes_and_vrfs_too(router: Router) -> None:
    """What the daemon does when the kernel tells it of single links."""
    line = vi("a", "f1", 10, 1, "static: [10.20.0.0/16], ", gateway="red")
    text = order(TWO, line + vi("b", "f2", 10, 2, gateway="blue"), VRFS)
    router.apply(text)
    intent = router.edge.call(lambda: router.reconciler.intent(router.load(text), Runtime()))
    router.edge.call(lambda: router.reconciler.run(intent))
    for broken, expected in (("p1.10", {"link", "address", "route", "shaper"}), ("red", {"vrf", "link", "route"})):
        index = router.link(broken)["ifindex"]
        router.edge.ip(f"link del {broken}")
        others = {router.link("p1.10").get("ifindex", index)}
        dirty = DirtySet(frozenset({index} | others), True)
        done = router.edge.call(router.reconciler.run, intent, PassRequest(dirty))
        assert done.failures == ()
        assert expected <= {operation.key.type for operation in done.done.operations}
        assert all(not set(o.affects) - {"a"} for o in done.done.operations if o.key.type != "firewall"), done.done
        assert [route["dst"] for route in router.routes("-4")] == ["10.20.0.0/16"]
        assert router.addresses("p1.10") == ["10.255.1.2/30", "2001:db8:1::2/126"]
    assert not router.plan(text)


def test_what_fails_for_good_does_not_slow_other_repairs_down(router: Router) -> None:
    """A missing member of a bond fails in every pass; a lost address elsewhere needs no full resync."""
    lines = BOND.format("p1, p9", "fast", "") + "  f2: {provider: generic, port: p2, bandwidth: 1G}\n"
    text = order(lines, vi("a", "f1", 10, 1) + vi("b", "f2", 10, 2))
    intent = router.edge.call(lambda: router.reconciler.intent(router.load(text), Runtime()))
    router.edge.call(router.reconciler.run, intent)
    failures = router.edge.call(router.reconciler.run, intent).failures
    said = [failure.text for failure in failures]
    assert said == ["no such interface: p9"]
    router.edge.ip("address del 10.255.2.2/30 dev p2.10")
    known = router.reconciler.kernel.observed
    dirty = DirtySet(frozenset({router.link("p2.10")["ifindex"]}))
    done = router.edge.call(router.reconciler.run, intent, PassRequest(dirty, failures=failures))
    assert [str(operation.key) for operation in done.done.operations] == ["address 10.255.2.2/30 on p2.10"]
    assert "10.255.2.2/30" in router.addresses("p2.10")
    assert router.reconciler.kernel.observed is known
    assert [failure.text for failure in done.failures] == said


def test_what_goes_during_a_look_at_everything_is_back_with_the_next_prompt_pass(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = order(TWO, vi("a", "f1", 10, 1) + vi("b", "f2", 10, 2))
    router.apply(text)
    index = router.link("p1.10")["ifindex"]
    looked = route_view.our_routes

    def last(sock: RouteSocket) -> list[route_view.RouteView]:
        router.edge.ip("link del p1.10")
        monkeypatch.undo()
        return looked(sock)

    router.edge.run("tc", "qdisc", "del", "dev", "p1.10", "root")
    monkeypatch.setattr(view, "our_routes", last)
    failed = router.attempt(text)
    assert [str(failure.operation.key) for failure in failed.failures] == ["shaper p1.10"]
    done = router.attempt(text, dirty=DirtySet(frozenset({index}), True))
    assert done.failures == ()
    assert router.addresses("p1.10") == ["10.255.1.2/30", "2001:db8:1::2/126"]
    assert not router.plan(text)


def test_the_kernel_sends_only_our_routes(router: Router) -> None:
    router.apply(static("primary", ""))
    router.edge.ip(*(f"route add 10.98.{n}.0/24 via 10.255.1.1" for n in range(50)))
    ours = questions.our_routes(socket.AF_INET)
    sent = router.edge.call(lambda: sum(1 for _ in router.reconciler.sock.dump(ours)))
    assert sent == 1


def test_a_virtual_interface_ordered_down_is_down_and_keeps_what_it_has(router: Router) -> None:
    router.apply(order(TWO, vi("a", "f1", 10, 1)))
    text = order(TWO, vi("a", "f1", 10, 1, "admin: down, "))
    assert [(o.disruption, o.affects) for o in router.plan(text).operations if o.key.type == "link"] == [
        ("link", ("a",))
    ]
    router.apply(text)
    assert "UP" not in router.link("p1.10")["flags"]
    assert router.addresses("p1.10") == ["10.255.1.2/30", "2001:db8:1::2/126"]
    router.apply(order(TWO, vi("a", "f1", 10, 1, "admin: planned, ")))
    assert "UP" in router.link("p1.10")["flags"]
    assert router.addresses("p1.10") == ["10.255.1.2/30", "2001:db8:1::2/126"]


IPV4_ONLY = vi("a", "f1", 10, 1).replace(', {customer: "2001:db8:1::2/126", cloud: "2001:db8:1::1"}', "")


def link_locals(router: Router, name: str) -> list[str]:
    """The IPv6 link-local addresses of a link."""
    return [str(a["local"]) for a in router.link(name).get("addr_info", []) if a["scope"] == "link"]


def test_a_lost_link_local_address_is_made_again_and_nothing_else_is_touched(router: Router) -> None:
    text = order(TWO, vi("a", "f1", 10, 1))
    router.apply(text)
    made = until("the kernel's link-local address", lambda: link_locals(router, "p1.10"), accept=bool)
    router.edge.ip(f"address del {made[0]}/64 dev p1.10")
    assert [(o.action, str(o.key), o.disruption) for o in router.plan(text).operations] == [
        ("create", "link-local p1.10", "none")
    ]
    router.apply(text)
    assert link_locals(router, "p1.10") == made


def test_an_interface_that_gets_ipv6_keeps_the_link_local_address_that_it_has(router: Router) -> None:
    router.apply(order(TWO, IPV4_ONLY))
    made = until("the kernel's link-local address", lambda: link_locals(router, "p1.10"), accept=bool)
    router.edge.ip(f"address del {made[0]}/64 dev p1.10", "address add fe80::77/64 dev p1.10 nodad")
    assert router.plan(order(TWO, IPV4_ONLY)).operations == ()
    done = router.attempt(order(TWO, vi("a", "f1", 10, 1)), dirty=DirtySet())
    created = [str(operation.key) for operation in done.done.operations if operation.action == "create"]
    assert created == ["address 2001:db8:1::2/126 on p1.10"]
    assert link_locals(router, "p1.10") == ["fe80::77"]


@pytest.mark.parametrize("families", ["IPv4", "IPv4 and IPv6"])
def test_a_repair_in_the_kernel_does_not_ask_frr_first(
    router: Router, monkeypatch: pytest.MonkeyPatch, families: str
) -> None:
    text = order(TWO, vi("a", "f1", 10, 1) if "IPv6" in families else IPV4_ONLY)
    router.apply(text)
    until("the kernel's link-local address", lambda: link_locals(router, "p1.10"))
    router.attempt(text)
    router.edge.ip("address del 10.255.1.2/30 dev p1.10")
    asked: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(router.reconciler.frr_sync, "observe", lambda *said: asked.append(said))
        router.attempt(text, dirty=DirtySet(frozenset({router.link("p1.10")["ifindex"]})))
    assert "10.255.1.2/30" in router.addresses("p1.10")
    assert asked == []


def test_ipv6_that_is_switched_off_on_a_link_leaves_its_ipv4_to_be_repaired(router: Router) -> None:
    text = order(TWO, vi("a", "f1", 10, 1))
    router.apply(text)
    router.edge.run("sysctl", "-qw", "net/ipv6/conf/p1.10/disable_ipv6=1")
    router.edge.ip("address del 10.255.1.2/30 dev p1.10")
    done = router.attempt(text)
    assert {str(failure.operation.key) for failure in done.failures} == {
        "address 2001:db8:1::2/126 on p1.10", "link-local p1.10",
    }  # fmt: skip
    assert router.addresses("p1.10") == ["10.255.1.2/30"]
    router.edge.run("sysctl", "-qw", "net/ipv6/conf/p1.10/disable_ipv6=0")
    router.apply(text)
    assert link_locals(router, "p1.10")


def test_an_untagged_interface_leaves_its_port_as_it_was(router: Router) -> None:
    router.edge.ip("address add 198.51.100.1/24 dev p1")
    router.apply(order(TWO, vi("a", "f1", 0, 1, gateway="red"), VRFS.splitlines()[0] + "\n"))
    assert router.link("p1")["master"] == "red"
    assert router.addresses("p1") == ["198.51.100.1/24", "10.255.1.2/30", "2001:db8:1::2/126"]
    router.purge()
    assert "ifalias" not in router.link("p1")
    assert router.addresses("p1") == ["198.51.100.1/24"]
    assert "dce:" not in router.edge.run("tc", "qdisc", "show", "dev", "p1").stdout
    router.edge.ip("address del 198.51.100.1/24 dev p1")


def test_the_operators_own_qdisc_on_an_untagged_port_is_not_replaced(router: Router) -> None:
    router.edge.run(
        "tc",
        "qdisc",
        "add",
        "dev",
        "p1",
        "root",
        "handle",
        "1:",
        "tbf",
        *("rate", "1gbit", "burst", "64k", "limit", "1m"),
    )
    before = router.edge.run("tc", "qdisc", "show", "dev", "p1").stdout
    done = router.attempt(order(TWO, vi("a", "f1", 0, 1) + vi("b", "f2", 10, 2)))
    assert [(f.text, f.operation.affects) for f in done.failures] == [
        ("p1 has somebody else's tbf 1:: remove it, or order without a rate", ("a",))
    ]
    assert router.addresses("p1")
    assert router.addresses("p2.10")
    router.purge()
    assert router.edge.run("tc", "qdisc", "show", "dev", "p1").stdout == before
    router.edge.run("tc", "qdisc", "del", "dev", "p1", "root")


def test_somebody_elses_vlan_is_never_taken_over(router: Router) -> None:
    router.edge.ip("link add link p1 name p1.10 type vlan id 11", "address add 198.51.100.1/24 dev p1.10")
    text = order(TWO, vi("a", "f1", 10, 1) + vi("b", "f2", 10, 2))
    for _ in range(3):
        done = router.attempt(text)
        assert {name for f in done.failures for name in f.operation.affects} == {"a"}
        assert router.link("p1.10")["linkinfo"]["info_data"]["id"] == 11
    router.purge()
    assert router.addresses("p1.10") == ["198.51.100.1/24"]
    router.edge.ip("link del p1.10")


def test_neighbours_say_who_answers(router: Router) -> None:
    router.cloud.ip(
        "link add link p1 name c1 type vlan id 10", "link set dev c1 up", "address add 10.255.1.1/30 dev c1"
    )
    router.apply(order(TWO, vi("a", "f1", 10, 1) + vi("b", "f2", 10, 2)))
    answers(router.edge, "10.255.1.1")
    router.edge.run("ping", "-c1", "-W1", "10.255.2.1", check=False)
    index = {name: router.link(name)["ifindex"] for name in ("p1.10", "p2.10")}
    here = neighbour_key(index["p1.10"], ip_address("10.255.1.1"))
    dead = neighbour_key(index["p2.10"], ip_address("10.255.2.1"))

    def seen() -> tuple[bool | None, bool | None]:
        found = router.edge.call(read_neighbours, router.reconciler.sock)
        return found[here].answers if here in found else None, found[dead].answers if dead in found else None

    until("the silent one to be known as such", seen, accept=lambda states: states == (True, False))
    router.cloud.ip("link del c1")


def test_sessions_of_two_vrfs_come_up_between_the_same_addresses() -> None:
    leave_on_signals()
    text = order(TWO, vi("red-a", "f1", 10, 1, KEY, gateway="red") + vi("blue-a", "f2", 10, 1, gateway="blue"), VRFS)
    peers = (Peer("10.255.1.1/30", "10.255.1.2"), Peer("2001:db8:1::1/126", "2001:db8:1::2"))
    with Workspace() as work:
        edge, exchange = Edge(work, HEAD + text), Exchange(work)
        edge.credential("red-a", "Riederwald-10")
        red: Cloud = BirdCloud(work, "red", 64512, ["10.20.0.0/16"], "10.20.0.1")
        blue: Cloud = BirdCloud(work, "blue", 64513, ["10.20.0.0/16"], "10.30.0.1")
        for cloud, number, secret in ((red, 1, "Riederwald-10"), (blue, 2, None)):
            line = edge.plug(f"p{number}", exchange.port(f"f{number}"))
            cloud.attach(Attachment(f"{cloud.name}-a", line, 10, peers, 65010, secret))
            cloud.start()
        edge.frr.start()
        applied = edge.dcedge("apply")
        assert applied.status == 0, applied.said
        for cloud in (red, blue):
            cloud.wait_established()
        for vrf in ("red", "blue"):
            table = until(
                f"the route in VRF {vrf}",
                partial(edge.frr.json, f"show ip route vrf {vrf} 10.20.0.0/16 json"),
                accept=lambda table: any(route.get("selected") for route in table.get("10.20.0.0/16", [])),
            )
            route = table["10.20.0.0/16"][0]
            assert (route["protocol"], route["vrfName"], route["selected"]) == ("bgp", vrf, True)
        again = edge.dcedge("plan")
        assert again.status == 0, again.said

        red.change("red-a", password="another")
        until(
            "the session with another key to end", lambda: red.state("10.255.1.2"), accept=lambda s: s != "Established"
        )
        red.change("red-a", password="Riederwald-10")
        red.wait_established()

        edge.frr.stop()
        edge.frr.start()
        applied = edge.dcedge("apply")
        assert applied.status == 0, applied.said
        for cloud in (red, blue):
            cloud.wait_established()

        # One of them moves to the other's VRF by a change of the order: both of its sessions come back there.
        edge.order.write_text(HEAD + text.replace("accept: any, vrf: red", "accept: any, vrf: green"))
        moved = edge.dcedge("apply")
        assert moved.status == 0, moved.said
        until(
            "the route in the new VRF",
            lambda: edge.frr.json("show ip route vrf green bgp json"),
            accept=lambda table: "10.20.0.0/16" in table,
        )
        red.wait_established()
        assert edge.dcedge("plan").status == 0
        purged = edge.dcedge("purge")
        assert purged.status == 0, purged.said
        assert not json.loads(edge.namespace.run("ip", "-j", "link", "show", "type", "vrf").stdout)


def tags_seen(router: Router, target: str) -> list[tuple[int, int]]:
    """The tags, outermost first, on an ARP request for `target` as the far end of p1 receives it."""

    def listen() -> socket.socket:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        tap.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        tap.bind(("p1", 0))
        tap.settimeout(5)
        return tap

    wanted = ip_address(target).packed
    with router.cloud.call(listen) as tap:
        router.edge.run("ping", "-c1", "-W1", target, check=False)
        while True:
            data, extra, _, _ = tap.recvmsg(2048, 256)
            tags = []
            for _, _, block in extra:
                status, _, _, _, _, tci, kind = struct.unpack_from("=IIIHHHH", block)
                if status & 0x10:  # TP_STATUS_VLAN_VALID; the outermost tag is kept beside the frame
                    tags.append((kind, tci & 0xFFF))
            at = 12
            while (kind := struct.unpack_from("!H", data, at)[0]) in (0x8100, 0x88A8):
                tags.append((kind, struct.unpack_from("!H", data, at + 2)[0] & 0xFFF))
                at += 4
            if kind == 0x0806 and data[at + 26 : at + 30] == wanted:
                return tags
