"""What an order asks of the kernel beyond the plain VLAN link: VRFs, bonds, ports, static routes."""

from __future__ import annotations

from dcedge.kernel.bond.resource import Bond
from dcedge.kernel.derive import shared_resources
from dcedge.kernel.naming import VRF_TABLE_FIRST, VRF_TABLES, free_table, vrf_tables
from dcedge.kernel.port.resource import Port
from dcedge.kernel.route.derive import (
    DISTANCE_BACKUP,
    DISTANCE_BEFORE_BGP,
    DISTANCE_BEHIND_BGP,
    DISTANCE_DRAINED,
    DISTANCE_PREFERRED,
)
from dcedge.kernel.route.resource import Route
from dcedge.kernel.vrf.resource import Vrf
from dcedge.plan.diff import plan
from tests.unit.kernel.orders import interfaces_of, of_kind, vi

TEN, SIX = "10.20.0.0/16", "2001:db8:20::/48"


def metrics(drained: str = "", **interfaces: dict[str, object]) -> dict[str, int]:
    """The distance of each static route as zebra sees it, by the customer's links."""
    routes = of_kind(shared_resources(interfaces_of(**interfaces), drained=frozenset(drained.split())), Route)
    return {"+".join(hop.link for hop in route.hops): route.metric >> 24 for route in routes}


def test_a_vrf_has_the_same_table_in_every_order_and_none_shares_it() -> None:
    many = vrf_tables(f"vrf-{number}" for number in range(2000))
    assert len(set(many.values())) == 2000
    assert all(VRF_TABLE_FIRST <= table < VRF_TABLE_FIRST + VRF_TABLES for table in many.values())
    assert vrf_tables(["red", "blue"])["red"] == vrf_tables(["red"])["red"]
    last = VRF_TABLE_FIRST + VRF_TABLES - 1
    assert free_table(last, {last}) == VRF_TABLE_FIRST


def test_gateways_of_one_vrf_share_it() -> None:
    gateways = {
        name: {"vpc": name, "asn": 64512, "accept": "any", "vrf": vrf}
        for name, vrf in (("prod", "red"), ("dev", "red"), ("lab", "blue"))
    }
    found = interfaces_of(gateways=gateways, a=vi(1), b=vi(2, gateway="dev"), c=vi(3, gateway="lab"))
    vrfs = of_kind(shared_resources(found), Vrf)
    assert {vrf.name: vrf.affects for vrf in vrfs} == {"red": ("a", "b"), "blue": ("c",)}


def test_a_bond_is_made_only_where_its_members_are_ordered() -> None:
    for members, made in ((("eth3", "eth2"), [("eth2", "eth3")]), ((), [])):
        port = {"bond": "bond0", "members": members}
        connections = {"fra-1": {"provider": "generic", "port": port, "bandwidth": "1G"}}
        resources = list(shared_resources(interfaces_of(connections=connections, a=vi(1))))
        assert [bond.members for bond in of_kind(resources, Bond)] == made
        assert [port.name for port in of_kind(resources, Port)] == ["bond0"]


def test_one_rank_shares_the_traffic_and_a_backup_stands_behind() -> None:
    assert metrics(a=vi(1, static=(TEN,), preference="equal"), b=vi(2, static=(TEN,), preference="equal")) == {
        "eth1.1+eth1.2": DISTANCE_PREFERRED
    }
    assert metrics(a=vi(1, static=(TEN,)), b=vi(2, static=(TEN,), preference="backup")) == {
        "eth1.1": DISTANCE_PREFERRED,
        "eth1.2": DISTANCE_BACKUP,
    }


def test_bgp_wins_unless_it_is_the_backup() -> None:
    assert metrics(a=vi(1, static=(TEN,)), b=vi(2)) == {"eth1.1": DISTANCE_BEHIND_BGP}
    assert metrics(a=vi(1, static=(TEN,)), b=vi(2, preference="backup")) == {"eth1.1": DISTANCE_PREFERRED}
    assert metrics(a=vi(1, static=(TEN,)), b=vi(2, admin="down")) == {"eth1.1": DISTANCE_PREFERRED}


def test_a_drained_static_path_ranks_last_and_its_siblings_take_the_traffic() -> None:
    one, other = vi(1, static=(TEN,), preference="equal"), vi(2, static=(TEN,), preference="equal")
    assert metrics("a", a=one, b=other) == {"eth1.1": DISTANCE_DRAINED, "eth1.2": DISTANCE_PREFERRED}
    assert metrics("a b", a=one, b=other) == {"eth1.1+eth1.2": DISTANCE_DRAINED}


def test_a_static_path_goes_before_bgp_that_is_drained() -> None:
    for preference, otherwise in (("primary", DISTANCE_BEHIND_BGP), ("backup", DISTANCE_BACKUP)):
        static = vi(1, static=(TEN,), preference=preference)
        assert metrics("", a=static, b=vi(2)) == {"eth1.1": otherwise}
        assert metrics("b", a=static, b=vi(2), c=vi(3, preference="backup"))["eth1.1"] in {
            DISTANCE_PREFERRED,
            DISTANCE_BACKUP,
        }
        assert metrics("b", a=static, b=vi(2))["eth1.1"] <= DISTANCE_BEFORE_BGP


def test_a_static_route_goes_only_when_what_takes_its_place_is_there() -> None:
    both = interfaces_of(a=vi(1, static=(TEN,)), b=vi(2, static=(TEN,), preference="backup"))
    before, after = (
        {route.key: route for route in of_kind(shared_resources(both, drained=frozenset(drained)), Route)}
        for drained in ((), ("a",))
    )
    assert [operation.action for operation in plan(after, before).operations] == ["create", "delete"]
    assert [operation.action for operation in plan(before, after).operations] == ["create", "delete"]


def test_each_family_goes_by_its_own_address() -> None:
    routes = of_kind(shared_resources(interfaces_of(a=vi(1, static=(TEN, SIX)))), Route)
    assert {str(route.prefix): str(route.hops[0].gateway) for route in routes} == {
        TEN: "10.255.1.1",
        SIX: "2001:db8:1::1",
    }


def test_a_withdrawn_or_downed_interface_has_no_static_route() -> None:
    pair = interfaces_of(a=vi(1, static=(TEN,), preference="equal"), b=vi(2, static=(TEN,), preference="equal"))
    (route,) = of_kind(shared_resources(pair, withdrawn=frozenset({"a"})), Route)
    assert [hop.link for hop in route.hops] == ["eth1.2"]
    assert metrics(a=vi(1, static=(TEN,), admin="down")) == {}


def test_a_port_is_raised_for_those_alone_who_need_it() -> None:
    connections = {
        "fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G"},
        "big": {"provider": "generic", "over": "fra-1", "bandwidth": "1G", "mtu": 8500},
    }
    found = interfaces_of(connections=connections, a=vi(1), b=vi(2, connection="big"))
    (port,) = of_kind(shared_resources(found), Port)
    assert (port.mtu_min, port.needy, port.affects) == (8500, ("b",), ("a", "b"))
