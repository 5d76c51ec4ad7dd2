"""A port by an alternative name of it: as if the order had its own."""

from __future__ import annotations

from dcedge.order.model import Order
from dcedge.reconcile.state.formats import Runtime
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import order

LONG = "enp129s0f0np0-fibre-to-frankfurt"


def on(port: object, **more: object) -> Order:
    ports = {"fra-1": {"provider": "generic", "port": port, "bandwidth": "1G"}, **more}
    return order({"a": vi(1)}, connections=ports)


def named(router: FakeRouter, name: str, altname: str) -> None:
    router.kernel.link(name).altnames.append(altname)


def test_an_order_by_altname_is_done_on_the_port_and_settles(router: FakeRouter) -> None:
    named(router, "eth1", LONG)
    assert router.run(on(LONG)).complete
    assert router.kernel.link("eth1.1").alias == "dcedge:a"
    assert not router.run(on(LONG)).done, "nothing is left to do"
    assert not router.run(on("eth1")).done, "the two names are one port"


def test_the_name_may_come_later_than_the_order(router: FakeRouter) -> None:
    assert not router.run(on(LONG)).complete
    named(router, "eth1", LONG)
    assert router.run(on(LONG)).complete


def test_members_of_a_bond_may_be_named_so_too(router: FakeRouter) -> None:
    named(router, "eth1", "left")
    named(router, "eth2", "right")
    bond = {"bond": "bond0", "members": ("left", "right"), "lacp_rate": "fast", "min_links": 1}
    assert router.run(on(bond)).complete
    assert not router.run(on(bond)).done
    bond0 = router.kernel.link("bond0").index
    assert [router.kernel.link(name).master for name in ("eth1", "eth2")] == [bond0, bond0]


def test_two_connections_do_not_share_a_port_by_two_names(router: FakeRouter) -> None:
    named(router, "eth1", LONG)
    twice = on("eth1", **{"fra-2": {"provider": "generic", "port": LONG, "bandwidth": "1G"}})
    intent = router.reconciler.intent(twice, Runtime())
    assert intent.ports == {}, "the other name leads nowhere, as that of a port that is not there"
