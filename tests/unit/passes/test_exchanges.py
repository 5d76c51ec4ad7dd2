"""What one virtual interface had and another is to have: VLANs, names, addresses and VRFs that change hands."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from dcedge.order.model import Order
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.order.tree import order_of_tree
from tests.unit.passes.orders import CONNECTIONS, order
from tests.unit.passes.test_orders import told


def ring(*vlans: int) -> Order:
    """As many virtual interfaces as VLANs, each with the next one's number."""
    return order({f"vi{i}": vi(i, vlan=vlan) for i, vlan in enumerate(vlans, 1)})


def two(first: Mapping[str, object], second: Mapping[str, object], vrfs: tuple[str, str] | None = None) -> Order:
    """Two virtual interfaces, each of a gateway of its own."""
    gateways = {
        name: {"vpc": name, "asn": 64512, "accept": (accepted,), **({"vrf": vrf} if vrf else {})}
        for name, accepted, vrf in zip(
            ("prod", "dev"), ("10.20.0.0/16", "10.30.0.0/16"), vrfs or (None, None), strict=True
        )
    }
    return order_of_tree(
        {
            "router": {"asn": 65010, "router_id": "10.255.0.1", "advertise": ("192.0.2.0/24",)},
            "connections": CONNECTIONS,
            "virtual_gateways": gateways,
            "virtual_interfaces": {"a": first, "b": {**second, "virtual_gateway": "dev"}},
        }
    )


def bonds(vlan: int, **members: tuple[str, ...]) -> Order:
    """Bonds of these members, with a virtual interface on each."""
    connections = {
        f"on-{name}": {"provider": "generic", "port": {"bond": name, "members": ports}, "bandwidth": "1G"}
        for name, ports in members.items()
    }
    on_them = {f"vi-{i}": vi(i, vlan=vlan, connection=f"on-{name}") for i, name in enumerate(members, 1)}
    return order(on_them, connections=connections)


EXCHANGES = {
    "two VLANs": (ring(101, 102), ring(102, 101)),
    "three VLANs in a ring": (ring(101, 102, 103), ring(102, 103, 101)),
    "five VLANs in a ring": (ring(101, 102, 103, 104, 105), ring(105, 101, 102, 103, 104)),
    "the VLANs of one that goes": (ring(101, 102, 103), ring(102, 103)),
    "names": (order({"a": vi(1), "b": vi(2)}), order({"a": vi(2), "b": vi(1)})),
    "addresses": (order({"a": vi(1), "b": vi(2)}), order({"a": vi(2, vlan=1), "b": vi(1, vlan=2)})),
    "VRFs": (two(vi(1), vi(2), ("red", "blue")), two(vi(1), vi(2), ("blue", "red"))),
    "a VRF and none": (
        order({"a": vi(1)}, gateway={"vrf": "red"}),
        order({"a": vi(1)}),
    ),
    "ports": (
        order({"a": vi(1, vlan=7), "b": vi(2, vlan=7, connection="fra-2")}),
        order({"a": vi(1, vlan=7, connection="fra-2"), "b": vi(2, vlan=7)}),
    ),
    "untagged ports": (
        order({"a": vi(1, vlan=0), "b": vi(2, vlan=0, connection="fra-2")}),
        order({"a": vi(1, vlan=0, connection="fra-2"), "b": vi(2, vlan=0)}),
    ),
    **{
        f"{what}, {'untagged' if vlan == 0 else 'tagged'}": (bonds(vlan, **first), bonds(vlan, **second))
        for vlan in (0, 7)
        for what, first, second in (
            ("members", {"bond0": ("eth1",), "bond1": ("eth2",)}, {"bond0": ("eth2",), "bond1": ("eth1",)}),
            (
                "one member",
                {"bond0": ("eth1",), "bond1": ("eth2", "eth3")},
                {"bond0": ("eth1", "eth3"), "bond1": ("eth2",)},
            ),
            ("a bond's name", {"bond0": ("eth1", "eth2")}, {"bond9": ("eth1", "eth2")}),
            ("a member of a new bond", {"bond0": ("eth1", "eth2")}, {"bond0": ("eth1",), "bond1": ("eth2",)}),
        )
    },
}


@pytest.mark.parametrize("what", EXCHANGES)
def test_what_is_exchanged_is_exchanged_in_one_pass_and_back(what: str, router: FakeRouter) -> None:
    first, second = EXCHANGES[what]
    router.kernel.add_link("eth3", up=True)
    router.run(first)
    for wanted in (second, first):
        result = router.run(wanted)
        assert result.complete, told(result)
        assert told(router.run(wanted)) == []
