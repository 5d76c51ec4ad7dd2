"""Small orders for the firewall's tests: untagged virtual interfaces, one a port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcedge.firewall.derive import derive_firewall
from dcedge.order.model import Order
from dcedge.order.resolve import resolve_interface
from dcedge.plan.resource import Key, Resource
from tests.unit.order.tree import order_of_tree


@dataclass(frozen=True)
class Line:
    """A virtual interface with a port of its own, `ethN`; its subnets are numbered by `number`."""

    number: int
    gateway: str
    mtu: int = 1500
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def order(self) -> dict[str, object]:
        pairs = (
            {"customer": f"10.255.{self.number}.2/30", "cloud": f"10.255.{self.number}.1"},
            {"customer": f"2001:db8:{self.number}::2/126", "cloud": f"2001:db8:{self.number}::1"},
        )
        return {
            "connection": f"fra-{self.number}",
            "virtual_gateway": self.gateway,
            "vlan": 0,
            "bandwidth": "1G",
            "addresses": pairs,
            **self.settings,
        }


PROD_A, PROD_B, DEV_A = Line(1, "prod"), Line(3, "prod"), Line(2, "dev")
PROD: Mapping[str, object] = {"accept": ("10.20.0.0/16", "2001:db8:20::/48")}
DEV: Mapping[str, object] = {"accept": ("10.30.0.0/16", "2001:db8:30::/48")}


def order_of(*lines: Line, isolation: bool = True, prod: Mapping[str, object] = PROD, **dev: object) -> Order:
    """An order of these lines; `dev`: what else is said of the gateway dev."""
    gateways = {"prod": dict(prod), "dev": {**DEV, **dev}}
    return order_of_tree(
        {
            "router": {"asn": 65010, "router_id": "10.255.0.1", "isolation": isolation},
            "connections": {
                f"fra-{line.number}": {
                    "provider": "generic",
                    "port": f"eth{line.number}",
                    "bandwidth": "10G",
                    "mtu": line.mtu,
                }
                for line in lines
            },
            "virtual_gateways": {name: {"vpc": name, "asn": 64512, **said} for name, said in gateways.items()},
            "virtual_interfaces": {f"vi-{line.number}": line.order for line in lines},
        }
    )


def firewall_of(order: Order) -> dict[Key, Resource]:
    """The firewall's intent for an order."""
    return derive_firewall([resolve_interface(order, name) for name in order.virtual_interfaces], order)
