"""Small orders for the tests of the kernel's side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.plan.resource import Resource
from tests.unit.order.tree import order_of_tree

R = TypeVar("R", bound=Resource)


def vi(number: int, *, connection: str = "fra-1", gateway: str = "prod", **settings: object) -> dict[str, object]:
    """A virtual interface with both families; the customer is .2, the cloud .1."""
    return {
        "connection": connection,
        "virtual_gateway": gateway,
        "vlan": number,
        "bandwidth": "50M",
        "addresses": (
            {"customer": f"10.255.{number}.2/30", "cloud": f"10.255.{number}.1"},
            {"customer": f"2001:db8:{number}::2/126", "cloud": f"2001:db8:{number}::1"},
        ),
        **settings,
    }


def interfaces_of(
    connections: Mapping[str, object] | None = None,
    gateways: Mapping[str, object] | None = None,
    **interfaces: Mapping[str, object],
) -> list[ResolvedInterface]:
    """The virtual interfaces, resolved; without the checks of whole orders."""
    order = order_of_tree(
        {
            "router": {"asn": 65010, "router_id": "10.255.0.1"},
            "connections": connections or {"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G"}},
            "virtual_gateways": gateways or {"prod": {"vpc": "prod", "asn": 64512, "accept": "any"}},
            "virtual_interfaces": interfaces,
        }
    )
    return [resolve_interface(order, name) for name in order.virtual_interfaces]


def of_kind(resources: Iterable[Resource], kind: type[R]) -> list[R]:
    """Those of one class."""
    return [resource for resource in resources if isinstance(resource, kind)]
