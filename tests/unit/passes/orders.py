"""Orders for whole passes, as maps."""

from __future__ import annotations

from collections.abc import Mapping

from dcedge.order.model import Order
from tests.unit.kernel.orders import vi
from tests.unit.order.tree import order_of_tree

CONNECTIONS: Mapping[str, object] = {
    "fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G"},
    "fra-2": {"provider": "generic", "port": "eth2", "bandwidth": "1G"},
}


def order(
    interfaces: Mapping[str, Mapping[str, object]],
    *,
    connections: Mapping[str, object] | None = None,
    gateway: Mapping[str, object] | None = None,
) -> Order:
    """An order with these virtual interfaces, on two ports."""
    return order_of_tree(
        {
            "router": {"asn": 65010, "router_id": "10.255.0.1", "advertise": ("192.0.2.0/24",)},
            "connections": CONNECTIONS if connections is None else connections,
            "virtual_gateways": {"prod": {"vpc": "prod", "asn": 64512, "accept": ("10.20.0.0/16",), **(gateway or {})}},
            "virtual_interfaces": interfaces,
        }
    )


STATIC = ("10.20.0.0/16",)
ONE = order({"a": vi(1)})
TWO = order({"a": vi(1), "b": vi(2, connection="fra-2")})
FASTER = order({"a": vi(1, bandwidth="80M"), "b": vi(2, connection="fra-2")})
# All that an order may ask of a kernel, a kind at a time.
KINDS = {
    "both families": ONE,
    "two ports": TWO,
    "untagged, alone on its port": order({"a": vi(1, vlan=0)}),
    "a VRF": order({"a": vi(1), "b": vi(2)}, gateway={"vrf": "blue"}),
    "static routes that share": order({"a": vi(1, static=STATIC), "b": vi(2, connection="fra-2", static=STATIC)}),
    "static routes in a VRF": order({"a": vi(1, static=STATIC)}, gateway={"vrf": "blue"}),
    "what comes in shaped": order({"a": vi(1, shaping={"ingress": True})}),
    "overhead": order({"a": vi(1, shaping={"overhead": 24})}),
    "cake": order({"a": vi(1, shaping={"queue": "cake"})}),
    "pfifo": order({"a": vi(1, shaping={"queue": "pfifo"})}),
    "set down": order({"a": vi(1, admin="down")}),
    "beyond 4 GB/s": order(
        {"a": vi(1, bandwidth="100G")},
        connections={"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "100G"}},
    ),
    "a smaller MTU": order(
        {"a": vi(1)},
        connections={"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G", "mtu": 1400}},
    ),
    "jumbo frames": order(
        {"a": vi(1)},
        connections={"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G", "mtu": 8500}},
    ),
    "two tags": order(
        {"a": vi(1, connection="er-1", bandwidth="50M")},
        connections={
            "fra-1": {"provider": "azure", "port": "eth1", "bandwidth": "10G"},
            "er-1": {"provider": "azure", "over": "fra-1", "outer": 10, "protocol": "802.1ad", "bandwidth": "1G"},
        },
    ),
    "a rate that several share": order(
        {"a": vi(1, bandwidth="600M"), "b": vi(2, bandwidth="800M")},
        connections={"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G", "oversubscribe": True}},
    ),
    "a bond": order(
        {"a": vi(1)},
        connections={
            "fra-1": {
                "provider": "generic",
                "port": {"bond": "bond0", "members": ("eth1", "eth2"), "lacp_rate": "fast", "min_links": 1},
                "bandwidth": "2G",
            }
        },
    ),
}
