"""Where what the clouds announce leads: asked of FRR and the kernel for a few prefixes a look, of however many."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import cast

import pytest

from dcedge.errors import FrrError
from dcedge.frr.state import SessionState
from dcedge.kernel.route.view import OthersRoute
from dcedge.monitor import forwarding_reader, forwarding_targets
from dcedge.monitor.collect_facts import Place
from dcedge.monitor.forwarding_reader import ForwardingReader, astray
from dcedge.monitor.forwarding_targets import contested, named
from dcedge.netlink.socket import RouteSocket
from dcedge.order.resolve import resolve_interface
from dcedge.reconcile.desired import NOTHING, Intent
from dcedge.reconcile.state.formats import Runtime
from tests.unit.kernel.orders import vi
from tests.unit.order.tree import order_of_tree

INDICES = {"blue": 7}
Accept = tuple[object, ...] | str
ANY = "any"


@dataclass
class Router:
    """FRR with what it knows by question, and a kernel that sends every packet by one link."""

    link: str | None = "eth1.1"
    matched: int = 0  # the length of the route that sends it there
    announced: tuple[str, ...] = ("10.20.0.0/16",)
    seconds: float = 0.001  # a question takes
    now: float = 100.0
    questions: list[str] = field(default_factory=list)
    vrfs: list[int] = field(default_factory=list)

    def ask(self, daemon: str, question: str) -> str:
        self.now += self.seconds
        self.questions.append(f"{daemon}: {question}")
        prefix = question.split()[-2]
        if prefix not in self.announced:
            raise FrrError(f"{daemon} refused")
        if daemon == "bgpd":
            return json.dumps({"paths": [{"peer": {"peerId": "10.255.1.1"}, "nexthops": [{"ip": "10.255.1.1"}]}]})
        return json.dumps({prefix: [{"protocol": "bgp", "selected": True, "nexthops": [{"interfaceName": "eth1.1"}]}]})

    def outgoing(self, _: RouteSocket, address: IPv4Address | IPv6Address, vrf: int = 0) -> str | None:
        self.vrfs.append(vrf)
        return self.link

    def reader(self) -> ForwardingReader:
        return ForwardingReader(cast("RouteSocket", None), self.ask, lambda: self.now)


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Router:
    made = Router()
    monkeypatch.setattr(forwarding_reader, "outgoing_link", made.outgoing)
    monkeypatch.setattr(forwarding_reader, "matched_length", lambda *_: made.matched)
    return made


def intent(
    accept: Accept = ("10.20.0.0/16",),
    *,
    gateways: int = 1,
    vrf: str | None = None,
    static: tuple[str, ...] | None = None,
) -> Intent:
    """One virtual interface a gateway."""
    names = [f"gw-{number}" for number in range(1, gateways + 1)]
    order = order_of_tree(
        {
            "router": {"asn": 65010, "router_id": "10.255.0.1", "advertise": ("192.0.2.0/24",)},
            "connections": {"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "400G"}},
            "virtual_gateways": {name: {"vpc": name, "asn": 64512, "accept": accept, "vrf": vrf} for name in names},
            "virtual_interfaces": {
                f"vi-{number}": vi(number, gateway=name, static=static) for number, name in enumerate(names, 1)
            },
        }
    )
    interfaces = {name: resolve_interface(order, name) for name in order.virtual_interfaces}
    return replace(NOTHING, order=order, interfaces=interfaces)


def test_a_prefix_that_leads_to_the_cloud(router: Router) -> None:
    (facts,) = router.reader().observe(intent(), INDICES)["gw-1"]
    assert (facts.prefix, facts.link, facts.expected, facts.instead) == ("10.20.0.0/16", "eth1.1", ("eth1.1",), "")


def test_what_nobody_announces_may_lead_anywhere(router: Router) -> None:
    router.link = "lan0"
    assert router.reader().observe(intent(("10.99.0.0/16", "0.0.0.0/0")), INDICES) == {}


def test_in_a_vrf_frr_and_the_kernel_are_asked_for_that_vrf(router: Router) -> None:
    assert router.reader().observe(intent(vrf="blue"), INDICES)["gw-1"]
    assert router.questions == [
        "bgpd: show bgp vrf blue ipv4 unicast 10.20.0.0/16 json",
        "zebra: show ip route vrf blue 10.20.0.0/16 json",
    ]
    assert router.vrfs == [7]
    assert router.reader().observe(intent(vrf="green"), INDICES) == {}, "a VRF that is not made yet says nothing"


def test_a_static_route_is_the_kernels_business_alone(router: Router) -> None:
    router.link = "lan0"
    static = intent(static=("10.20.0.0/16",))
    (facts,) = router.reader().observe(static, INDICES)["gw-1"]
    assert (facts.link, facts.expected, router.questions) == ("lan0", ("eth1.1",), [])
    moved = replace(static, runtime=Runtime(withdrawn=frozenset({"vi-1"})))
    assert list(named(moved)) == [], "withdrawn, it leads elsewhere as it should"


def test_of_many_gateways_each_has_its_turn_and_no_look_takes_long(router: Router) -> None:
    reader, many = router.reader(), intent(gateways=200)
    looks = 50
    for _ in range(looks):
        before = router.now
        seen = reader.observe(many, INDICES)
        assert router.now - before < 0.05
        router.now += 1.0
    asked = [question for question in router.questions if question.startswith("bgpd")]
    assert 200 <= len(asked) < 600, "all of them, one after the other"
    assert len(router.questions) * router.seconds < 0.03 * looks, "a small share of the time"
    assert set(seen) == {"gw-1"}, "whose peer alone announces something"


def test_nothing_is_asked_again_within_seconds(router: Router) -> None:
    reader, one = router.reader(), intent()
    for _ in range(10):
        reader.observe(one, INDICES)
        router.now += 0.2
    assert len(router.questions) <= 4
    router.announced = ()
    router.now += 10
    assert reader.observe(one, INDICES) == {}


@dataclass
class OthersRoutes:
    """What others have in the kernel: prefixes of a table, by link; and how long it takes to tell."""

    prefixes: tuple[str, ...]
    router: Router
    link: int = 4
    table: int = 254
    seconds: float = 0.0
    dumps: int = 0

    def preferred_to_bgp(self, _: RouteSocket, __: Collection[int]) -> Iterator[OthersRoute]:
        self.router.now += self.seconds
        self.dumps += 1
        return (OthersRoute(ip_network(prefix), self.table, self.link) for prefix in self.prefixes)

    def contested(self, wanted: Intent, indices: Mapping[str, int] = INDICES) -> list[str]:
        return [str(target.prefix) for target in contested(cast("RouteSocket", None), wanted, indices)]


@pytest.fixture
def others(router: Router, monkeypatch: pytest.MonkeyPatch) -> OthersRoutes:
    made = OthersRoutes((), router)
    monkeypatch.setattr(forwarding_targets, "preferred_to_bgp", made.preferred_to_bgp)
    return made


@pytest.mark.parametrize(
    ("accept", "prefixes", "looked_at"),
    [
        (({"prefix": "10.20.0.0/16", "le": 24},), ("10.20.7.0/24", "10.20.7.0/25", "10.0.0.0/8"), ["10.20.7.0/24"]),
        (ANY, ("172.16.0.0/12", "2001:db8::/48", "0.0.0.0/0"), ["172.16.0.0/12", "2001:db8::/48"]),
        (ANY, ("192.0.2.0/24", "192.0.2.128/25", "192.0.0.0/16"), ["192.0.0.0/16"]),
        (("0.0.0.0/0", {"prefix": "10.0.0.0/8", "le": 24}), ("0.0.0.0/0", "10.9.0.0/16"), ["10.9.0.0/16"]),
        (("10.20.0.0/16",), ("10.20.0.0/16",), []),
        (tuple(f"10.{n}.0.0/16" for n in range(9)), ("10.3.0.0/16", "10.4.0.0/16", "10.5.9.0/24"), ["10.4.0.0/16"]),
    ],
    ids=["a length", "any", "our own networks", "the default is named", "exact ones are named", "the fifth is not"],
)
def test_of_others_routes_those_are_looked_at_that_a_cloud_may_announce(
    others: OthersRoutes, accept: Accept, prefixes: tuple[str, ...], looked_at: list[str]
) -> None:
    wanted, others.prefixes = intent(accept), prefixes
    assert others.contested(wanted) == looked_at
    assert others.contested(wanted, {"eth1.1": others.link}) == [], "it leads to the gateway"
    assert others.contested(wanted, {"eth1.2": others.link}) == looked_at
    others.table = 100
    assert others.contested(wanted) == [], "another table's"


def test_without_bgp_nobody_announces_anything(others: OthersRoutes) -> None:
    others.prefixes = ("172.17.0.0/16",)
    assert others.contested(intent(ANY, static=("10.20.0.0/16",))) == []


def test_of_many_gateways_each_has_a_few_of_others_routes(others: OthersRoutes) -> None:
    others.prefixes = tuple(f"10.{number}.0.0/16" for number in range(100))
    assert len(others.contested(intent(ANY))) == 64
    assert len(others.contested(intent(ANY, gateways=50))) == 4 * 50


def test_a_route_of_others_that_goes_is_forgotten(router: Router, others: OthersRoutes) -> None:
    others.prefixes = ("10.20.0.0/16",)
    reader, anything = router.reader(), intent(ANY)
    assert [facts.prefix for facts in reader.observe(anything, INDICES)["gw-1"]] == ["10.20.0.0/16"]
    others.prefixes = ()
    router.now += 10
    assert reader.observe(anything, INDICES) == {}


@pytest.mark.parametrize("prefixes", [(), ("10.20.0.0/16",)], ids=["none", "one"])
def test_a_full_table_is_gone_through_for_a_small_share_of_the_time(
    router: Router, others: OthersRoutes, prefixes: tuple[str, ...]
) -> None:
    others.prefixes, others.seconds = prefixes, 0.5
    reader, anything, began = router.reader(), intent(ANY), router.now
    for _ in range(200):
        seen = reader.observe(anything, INDICES)
        router.now += 1.0
    assert others.dumps > 1
    assert others.dumps * others.seconds < 0.03 * (router.now - began)
    assert bool(seen) == bool(prefixes)


def test_a_network_within_that_has_the_first_address_says_nothing_about_the_whole(router: Router) -> None:
    router.link, router.matched = "lan0", 24
    (facts,) = router.reader().observe(intent(), INDICES)["gw-1"]
    assert (facts.link, facts.expected) == ("eth1.1", ("eth1.1",))
    router.matched = 16
    router.now += 10
    (facts,) = router.reader().observe(intent(), INDICES)["gw-1"]
    assert (facts.link, facts.expected) == ("lan0", ("eth1.1",))


def test_a_default_route_leads_where_zebra_says(router: Router) -> None:
    """No address stands for it: any may have a route of its own."""
    router.announced, router.link = ("0.0.0.0/0",), "lan0"
    (facts,) = router.reader().observe(intent(("0.0.0.0/0",)), INDICES)["gw-1"]
    assert (facts.link, facts.expected) == ("eth1.1", ("eth1.1",))


def test_an_answer_that_is_none_holds_up_no_other_prefix(router: Router) -> None:
    def ask(daemon: str, question: str) -> str:
        return "[]" if "10.19.0.0/16" in question else router.ask(daemon, question)

    reader = ForwardingReader(cast("RouteSocket", None), ask, lambda: router.now)
    (facts,) = reader.observe(intent(("10.19.0.0/16", "10.20.0.0/16")), INDICES)["gw-1"]
    assert facts.prefix == "10.20.0.0/16"


def test_a_pass_is_no_reason_to_begin_anew(router: Router) -> None:
    reader, many = router.reader(), intent(gateways=40)
    for _ in range(12):
        reader.observe(replace(many), INDICES)
        router.now += 1.0
    asked = [question for question in router.questions if question.startswith("bgpd")]
    assert len(asked) >= 40, "each has had its turn, though every look came with an intent of its own"


def state(peer: str, vrf: str, word: str) -> SessionState:
    return SessionState(ip_address(peer), vrf, None, word, False, None, (), None, 0)


def test_only_sessions_that_are_down_are_looked_at_and_told_where_their_packets_leave(router: Router) -> None:
    ordered = order_of_tree(
        {
            "router": {"asn": 65010, "router_id": "10.255.0.1"},
            "connections": {"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G"}},
            "virtual_gateways": {"prod": {"vpc": "prod", "asn": 64512, "accept": "any", "vrf": "blue"}},
            "virtual_interfaces": {"a": vi(1), "b": vi(2)},
        }
    )
    interfaces = [resolve_interface(ordered, name) for name in ("a", "b")]

    def look(*down: str) -> dict[Place, str | None]:
        states = [
            state(str(session.cloud), "blue", "Active" if interface.name in down else "Established")
            for interface in interfaces
            for session in interface.sessions
        ]
        sessions = {(one.vrf, str(one.peer)): one for one in states}
        return astray(cast("RouteSocket", None), interfaces, sessions, INDICES)

    assert look() == {}
    assert router.vrfs == [], "the kernel is not asked for what is up"
    assert look("a") == {}
    assert set(router.vrfs) == {7}
    assert look("b") == {("blue", "10.255.2.1"): "eth1.1", ("blue", "2001:db8:2::1"): "eth1.1"}
    router.link = None
    assert look("a") == {("blue", "10.255.1.1"): None, ("blue", "2001:db8:1::1"): None}
