"""A VRF's packets find their way in, and none out by the main table."""

from __future__ import annotations

from socket import AF_INET, AF_INET6
from typing import Any

import pytest

from tests.unit.fake.objects import UNREACHABLE
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import order
from tests.unit.passes.test_orders import told
from tests.unit.passes.test_repairs import prompt, repaired

BLUE = order({"a": vi(1)}, gateway={"vrf": "blue"})


def ends(router: FakeRouter) -> set[str]:
    """The prefixes that are unreachable in the VRF's table."""
    table = router.kernel.link("blue").data["IFLA_VRF_TABLE"]
    return {
        key.prefix for key, route in router.kernel.routes.items() if (key.table, route.type) == (table, UNREACHABLE)
    }


def test_the_rules_that_lead_into_vrfs_are_put_back_at_once(router: FakeRouter) -> None:
    router.run(BLUE)
    assert router.kernel.vrf_rules == {AF_INET, AF_INET6}
    events = router.kernel.events()
    router.kernel.remove_vrf_rules()
    assert repaired(prompt(router, events, BLUE)) == {"rule"}
    assert router.kernel.vrf_rules == {AF_INET, AF_INET6}
    assert told(router.run(BLUE)) == []


def test_rules_that_were_gone_before_a_second_vrf_came_are_put_back(router: FakeRouter) -> None:
    """The kernel makes them with its first VRF and never again."""
    router.kernel.add_link("red", kind="vrf", up=True, data={"IFLA_VRF_TABLE": 7})
    router.kernel.remove_vrf_rules()
    assert router.run(BLUE).complete
    assert router.kernel.vrf_rules == {AF_INET, AF_INET6}


LEADS = [("FRA_L3MDEV", 1), ("FRA_PRIORITY", 2000)]


@pytest.mark.parametrize(
    ("head", "attrs"),
    [
        ({"action": 7}, LEADS),
        ({"action": 1}, [*LEADS, ("FRA_IIFNAME", "lan0")]),
        ({"action": 1, "src_len": 24}, [*LEADS, ("FRA_SRC", "192.0.2.0")]),
        ({"action": 1}, [*LEADS, ("FRA_FWMARK", 7)]),
        ({"action": 1}, [("FRA_L3MDEV", 1), ("FRA_PRIORITY", 40000)]),
    ],
    ids=["unreachable", "of one link", "from a prefix", "of a mark", "behind main"],
)
def test_somebodys_rule_for_some_packets_is_not_the_one_that_leads_in(
    router: FakeRouter, head: dict[str, int], attrs: list[Any]
) -> None:
    router.kernel.rules.append((head, attrs))
    router.run(BLUE)
    events = router.kernel.events()
    router.kernel.remove_vrf_rules()
    assert repaired(prompt(router, events, BLUE)) == {"rule"}
    assert router.kernel.vrf_rules == {AF_INET, AF_INET6}


def test_without_a_vrf_nobody_asks_for_rules(router: FakeRouter) -> None:
    router.kernel.add_link("red", kind="vrf", up=True, data={"IFLA_VRF_TABLE": 7})
    router.kernel.remove_vrf_rules()
    assert router.run(order({"a": vi(1)})).complete
    assert router.kernel.vrf_rules == set()


def test_what_a_vrf_of_ours_has_no_route_to_is_unreachable(router: FakeRouter) -> None:
    before = router.kernel.picture()
    router.run(BLUE)
    assert ends(router) == {"0.0.0.0/0", "::/0"}
    router.purge()
    assert router.kernel.picture() == before


def test_who_leaned_on_the_leak_is_told(router: FakeRouter) -> None:
    """A router that an earlier dcedge has set up has a VRF without an end."""
    first = {o.key.type: o.disruption for o in router.run(BLUE).done.operations}
    assert first["unreachable"] == "none", "what is made with its VRF disturbs nobody"
    router.kernel.routes = {key: one for key, one in router.kernel.routes.items() if one.type != UNREACHABLE}
    again = [o for o in router.run(BLUE).done.operations if o.key.type == "unreachable"]
    assert [(o.disruption, o.affects) for o in again] == [("link", ("a",))] * 2
    assert ends(router) == {"0.0.0.0/0", "::/0"}


@pytest.mark.parametrize("restarted", [False, True])
def test_the_vrf_of_somebody_else_is_left_open(router: FakeRouter, restarted: bool) -> None:
    router.kernel.add_link("blue", kind="vrf", up=True, data={"IFLA_VRF_TABLE": 7})
    assert router.run(BLUE).complete
    if restarted:
        router.start()
    assert told(router.run(BLUE)) == []
    assert ends(router) == set()


def test_zebra_knows_of_a_vrf_before_its_end_is_made_and_of_its_routes_removal_before_it_goes(
    router: FakeRouter,
) -> None:
    """Else it takes the end for a route of the main table, and crashes when the VRF goes."""
    router.run(BLUE)
    done = list(router.kernel.done)
    made, ended = done.index("RTM_NEWLINK blue"), next(i for i, one in enumerate(done) if "ROUTE" in one)
    assert any(asked.startswith("show interface") and made < at <= ended for asked, at in router.frr.asked)
    router.kernel.done.clear()
    router.frr.asked.clear()
    router.purge()
    done = list(router.kernel.done)
    emptied, gone = max(i for i, one in enumerate(done) if "ROUTE" in one), done.index("RTM_DELLINK blue")
    assert [asked for asked, at in router.frr.asked if emptied < at <= gone] == [
        "show ip route vrf blue summary json", "show ipv6 route vrf blue summary json",
    ]  # fmt: skip
