"""A port that somebody had set up becomes an untagged virtual interface's, and is as it was afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from dcedge.order.model import Order
from dcedge.reconcile.result import DirtySet
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import order
from tests.unit.passes.test_orders import told

UNTAGGED = order({"a": vi(1, vlan=0)})
OTHERS = order({"b": vi(2, connection="fra-2")})
NONE = order({})


@pytest.fixture
def router(router: FakeRouter) -> FakeRouter:
    """Its first port has a description, jumbo frames and settings of somebody's."""
    router.kernel.set_link("eth1", alias="uplink to the carrier", mtu=9000)
    router.kernel.link("eth1").conf4.update(rp_filter=2, arp_ignore=0)
    router.kernel.set_sysctl("net/ipv6/conf/eth1/accept_ra", 2)
    return router


def settings(router: FakeRouter) -> tuple[object, ...]:
    port = router.kernel.link("eth1")
    return port.alias, port.mtu, dict(port.conf4), router.kernel.sysctl("net/ipv6/conf/eth1/accept_ra")


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("end", ["purge", "another order"])
def test_a_port_is_given_back_as_it_was_found(router: FakeRouter, end: str, restarted: bool) -> None:
    before = settings(router)
    result = router.run(UNTAGGED)
    assert result.complete, told(result)
    assert settings(router)[:2] == ("dcedge:a", 1500)
    assert told(router.run(UNTAGGED)) == []
    if restarted:
        router.start()
    if end == "purge":
        router.purge()
    else:
        assert router.run(OTHERS, DirtySet()).complete
    assert settings(router) == before


def test_a_second_order_does_not_take_its_own_settings_for_those_that_were_found(router: FakeRouter) -> None:
    before = settings(router)
    router.run(UNTAGGED)
    router.run(order({"renamed": vi(1, vlan=0)}))
    router.purge()
    assert settings(router) == before


JUMBO = order(
    {"a": vi(1)}, connections={"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G", "mtu": 8500}}
)


@pytest.mark.parametrize("mtu", [1500, 9000])
@pytest.mark.parametrize("orders", [(JUMBO, UNTAGGED), (UNTAGGED, JUMBO), (JUMBO, UNTAGGED, JUMBO)])
def test_the_mtu_that_was_found_is_put_back_whatever_was_ordered_in_between(
    router: FakeRouter, orders: tuple[Order, ...], mtu: int
) -> None:
    router.kernel.set_link("eth1", mtu=mtu)
    before = settings(router)
    for ordered in orders:
        result = router.run(ordered)
        assert result.complete, told(result)
        assert told(router.run(ordered)) == []
    router.purge()
    assert settings(router) == before


@pytest.mark.parametrize("found", [{"mtu": 1500}, {"up": False}])
def test_a_port_that_gets_tags_instead_keeps_what_they_need(router: FakeRouter, found: dict[str, Any]) -> None:
    router.kernel.set_link("eth1", **found)
    port: dict[str, object] = {"provider": "generic", "port": "eth1", "bandwidth": "1G", "mtu": 8500}
    router.run(order({"a": vi(1, vlan=0)}, connections={"fra-1": port}))
    result = router.run(JUMBO)
    assert result.complete, told(result)
    assert router.kernel.link("eth1").up
    assert told(router.run(JUMBO)) == []


def test_the_mtu_that_somebodys_vlan_needs_stays_and_is_said(router: FakeRouter) -> None:
    router.kernel.add_link("eth1.77", below="eth1", up=True, vlan=77, mtu=9000)
    result = router.run(UNTAGGED)
    assert result.complete, told(result)
    assert (router.kernel.link("eth1").mtu, router.kernel.link("eth1.77").mtu) == (9000, 9000)
    assert [text for text in result.warnings if "eth1 keeps MTU 9000" in text and text.endswith("to a may be lost")]
    assert told(router.run(UNTAGGED)) == []
    router.kernel.remove_link("eth1.77")
    assert "MTU 9000 -> 1500" in [operation.describe() for operation in router.run(UNTAGGED).done.operations]


def test_lowering_a_ports_mtu_is_said_to_interrupt_it(router: FakeRouter) -> None:
    (lowered,) = (o for o in router.run(UNTAGGED).done.operations if "MTU 9000 -> 1500" in o.describe())
    assert lowered.disruption == "link"


DOWN = order({"a": vi(1, vlan=0, admin="down")})


@pytest.mark.parametrize("restarted", [False, True])
def test_a_port_whose_virtual_interface_is_down_is_down_and_comes_up_afterwards(
    router: FakeRouter, restarted: bool
) -> None:
    assert router.run(DOWN).complete
    assert not router.kernel.link("eth1").up
    assert told(router.run(DOWN)) == []
    if restarted:
        router.start()
    router.purge()
    assert router.kernel.link("eth1").up


def test_a_port_that_was_down_is_down_again_afterwards(router: FakeRouter) -> None:
    router.kernel.set_link("eth1", up=False)
    assert router.run(UNTAGGED).complete
    assert router.kernel.link("eth1").up
    router.purge()
    assert not router.kernel.link("eth1").up


def test_a_port_that_somebodys_vlan_is_on_is_not_set_down(router: FakeRouter) -> None:
    router.kernel.add_link("eth1.77", below="eth1", up=True, vlan=77)
    result = router.run(DOWN)
    assert result.complete
    assert router.kernel.link("eth1").up
    assert [text for text in result.warnings if "eth1 stays up" in text and "a is down for BGP and routes only" in text]
    assert told(router.run(DOWN)) == []


MACSEC = order({"a": vi(1)}, connections={"fra-1": {"provider": "generic", "port": "macsec0", "bandwidth": "1G"}})


def test_on_macsec_the_tags_four_bytes_are_asked_of_the_port(router: FakeRouter) -> None:
    router.kernel.add_link("macsec0", kind="macsec", below="eth1", up=True, mtu=1500, mtu_max=1504)
    result = router.run(MACSEC)
    assert result.complete, told(result)
    assert (router.kernel.link("macsec0").mtu, router.kernel.link("macsec0.1").mtu) == (1504, 1500)
    assert told(router.run(MACSEC)) == []
    router.purge()
    assert router.kernel.link("macsec0").mtu == 1500


def test_what_a_macsec_port_lacks_is_said(router: FakeRouter) -> None:
    router.kernel.add_link("macsec0", kind="macsec", below="eth1", up=True, mtu=1500, mtu_max=1500)
    result = router.run(MACSEC)
    said = {failure.text for failure in result.failures}
    assert any("macsec0 does not take MTU 1504 (1500, and 4 for the VLAN tag" in text for text in said), said


def test_macsec_on_a_port_without_a_tag_needs_no_more(router: FakeRouter) -> None:
    router.kernel.add_link("macsec0", kind="macsec", below="eth1", up=True, mtu=1500, mtu_max=1500)
    untagged = order(
        {"a": vi(1, vlan=0)}, connections={"fra-1": {"provider": "generic", "port": "macsec0", "bandwidth": "1G"}}
    )
    assert router.run(untagged).complete
