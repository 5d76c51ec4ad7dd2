"""Small orders for the tests of FRR's side, and what they derive to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dcedge.frr.render import derive_frr
from dcedge.frr.resources import FrrBlock
from dcedge.order.credentials import Secret
from dcedge.order.model import Credential, Router
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.plan.resource import Key
from tests.unit.order.tree import order_of_tree

SECRET = "s3cret"
ADVERTISE = ("192.0.2.0/24", "2001:db8:10::/48")


def pair(number: int, family: int = 4) -> dict[str, object]:
    """The two ends of the session with that number: the customer is .2, the cloud .1."""
    if family == 4:
        return {"customer": f"10.255.{number}.2/30", "cloud": f"10.255.{number}.1"}
    return {"customer": f"2001:db8:{number}::2/126", "cloud": f"2001:db8:{number}::1"}


def vi(number: int, *, gateway: str = "prod", connection: str = "fra-1", **settings: object) -> dict[str, object]:
    """A virtual interface with one IPv4 session unless `addresses` says otherwise."""
    return {
        "connection": connection,
        "virtual_gateway": gateway,
        "vlan": number,
        "bandwidth": "50M",
        "addresses": (pair(number),),
        **settings,
    }


@dataclass(frozen=True)
class Derived:
    """An order taken through to FRR's blocks."""

    router: Router
    interfaces: tuple[ResolvedInterface, ...]
    secrets: Mapping[Credential, Secret]
    drained: frozenset[str] = field(default=frozenset())

    def __repr__(self) -> str:
        return f"Derived({sorted(line for block in self.blocks.values() for line in block.lines)})"

    @property
    def blocks(self) -> dict[Key, FrrBlock]:
        return derive_frr(self.interfaces, self.router, self.secrets, self.drained)

    @property
    def texts(self) -> set[str]:
        """Every line without its context."""
        return {line.text for block in self.blocks.values() for line in block.lines}


def derived(
    interfaces: Mapping[str, Mapping[str, object]],
    *,
    provider: str = "generic",
    gateways: Mapping[str, Mapping[str, object]] | None = None,
    asn: int = 65010,
    router_id: str = "10.255.0.1",
    advertise: tuple[str, ...] = ADVERTISE,
    secret: str = SECRET,
    drained: frozenset[str] = frozenset(),
) -> Derived:
    """Resolve the interfaces; every credential that they name holds `secret`."""
    order = order_of_tree(
        {
            "router": {"asn": asn, "router_id": router_id, "advertise": advertise},
            "connections": {
                "fra-1": {"provider": provider, "port": "eth1", "bandwidth": "10G"},
                "fra-2": {"provider": provider, "port": "eth2", "bandwidth": "10G"},
            },
            "virtual_gateways": {
                "prod": {"vpc": "vpc-prod", "asn": 64512, "accept": ("10.20.0.0/16", "2001:db8:20::/48")},
                **(gateways or {}),
            },
            "virtual_interfaces": interfaces,
        }
    )
    resolved = tuple(resolve_interface(order, name) for name in order.virtual_interfaces)
    named = {session.password for one in resolved for session in one.sessions if session.password}
    return Derived(order.router, resolved, {credential: Secret(secret) for credential in named}, drained)


def keyed(name: str = "prod-a", /, **bgp: object) -> dict[str, object]:
    """BGP settings with a password."""
    return {"password": {"credential": name}, **bgp}
