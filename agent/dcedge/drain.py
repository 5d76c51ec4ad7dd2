"""Which virtual interfaces a drain means, and which it must not take. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dcedge.errors import DcedgeError
from dcedge.order.model import Order

# BGP, BFD at 300 ms, ARP, ND and probes take less; below it traffic has left.
QUIET_BPS = 20_000.0


class DrainRefusedError(DcedgeError):
    """A drain that names nothing, or that would leave a virtual gateway without a path."""


def select(order: Order, wish: Mapping[str, Any]) -> frozenset[str]:
    """The virtual interfaces behind names of their own or of connections; with `all_but`, all others.

    `wish` is {"names": [...], "all_but": bool}. Raises DrainRefusedError for a name that the order does not have.
    """
    chosen: set[str] = set()
    for name in wish.get("names", ()):
        on_it = {vi for vi, body in order.virtual_interfaces.items() if name in (vi, body.connection)}
        on_it |= {
            vi for vi, body in order.virtual_interfaces.items() if order.connections[body.connection].over == name
        }
        if not on_it:
            raise DrainRefusedError(f"the order has no virtual interface or connection {name!r}")
        chosen |= on_it
    if not chosen:
        raise DrainRefusedError("name the virtual interfaces or connections")
    return frozenset(order.virtual_interfaces.keys() - chosen if wish.get("all_but") else chosen)


def refuse_last_paths(order: Order, drained: Collection[str], carrying: Collection[str]) -> None:
    """Raise DrainRefusedError where a virtual gateway would be left without a path that carries traffic now."""
    for gateway in order.virtual_gateways:
        paths = {name for name, vi in order.virtual_interfaces.items() if vi.virtual_gateway == gateway}
        if paths & set(drained) and not (paths - set(drained)) & set(carrying):
            raise DrainRefusedError(
                f"{gateway} would be left without a path that carries traffic (--force does it all the same)"
            )
