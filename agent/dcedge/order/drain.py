"""Which virtual interfaces a drain means, which it must not take, and when traffic has left one. Pure.

A drained virtual interface is the last choice and not gone: its sessions stay up and its routes stay known, so that
nothing in flight is lost and traffic that has no other path still has this one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from dcedge.errors import DcedgeError
from dcedge.order.field_types import Family
from dcedge.order.model import Order
from dcedge.order.resolve import ResolvedInterface
from dcedge.order.validate import did_you_mean

Carrying = Mapping[str, Collection[Family]]

# What a virtual interface carries by itself, generously: keepalives, ARP and ND, and a frame each for BFD and probes.
_IDLE_BPS = 10_000.0
_FRAME_BITS = 100 * 8
_WORDS: Mapping[Family, str] = {"ipv4": "IPv4", "ipv6": "IPv6"}


class DrainRefusedError(DcedgeError):
    """A drain that names nothing, or that would leave a virtual gateway without a path."""


def select(order: Order, wish: Mapping[str, Any], also: Collection[str] = ()) -> frozenset[str]:
    """The virtual interfaces behind names of their own or of connections; with `all_but`, all others.

    `wish` is {"names": [...], "all_but": bool}; `also` are names that are known though the order lacks them. Raises
    DrainRefusedError for names that nobody knows (all of them at once), and where nothing is left to choose.
    """
    names = tuple(wish.get("names", ()))
    if not names:
        raise DrainRefusedError("name the virtual interfaces or connections")
    known = {*order.virtual_interfaces, *order.connections, *also}
    unknown = [name for name in names if name not in known]
    if unknown:
        told = "\n".join(
            f"there is no virtual interface or connection {name!r}{did_you_mean(name, known)}" for name in unknown
        )
        raise DrainRefusedError(told)
    chosen = {vi for name in names for vi in _behind(order, name)} | (set(names) & set(also))
    if wish.get("all_but"):
        chosen = order.virtual_interfaces.keys() - chosen
    if not chosen:
        raise DrainRefusedError("that selects no virtual interface")
    return frozenset(chosen)


def _behind(order: Order, name: str) -> Iterator[str]:
    """The virtual interfaces of that name, on a connection of that name, or on one that is hosted on it."""
    for vi, body in order.virtual_interfaces.items():
        connection: str | None = body.connection
        names = {vi}
        while connection is not None:
            names.add(connection)
            connection = order.connections[connection].over
        if name in names:
            yield vi


def refuse_last_paths(order: Order, chosen: Collection[str], drained: Collection[str], carrying: Carrying) -> None:
    """Raise DrainRefusedError where draining `chosen` would leave a virtual gateway without a path to go to.

    `drained` are those that are or will be drained, `carrying` the families of traffic that each virtual interface
    can carry now. Families are looked at one by one: IPv6 may have one path only where IPv4 has two.
    """
    told = []
    for gateway in order.virtual_gateways:
        paths = {name for name, vi in order.virtual_interfaces.items() if vi.virtual_gateway == gateway}
        leaving = paths & set(chosen)
        left: set[Family] = {family for name in paths - set(drained) for family in carrying.get(name, ())}
        # Who carries nothing now may do so in a moment.
        at_stake: set[Family] = {family for name in leaving for family in carrying.get(name, ())}
        at_stake = at_stake or {pair.family for name in leaving for pair in order.virtual_interfaces[name].addresses}
        if lacking := sorted(_WORDS[family] for family in at_stake - left):
            told.append(
                f"{gateway} would be left without a path that carries {' and '.join(lacking)}"
                f" (beside {', '.join(sorted(leaving))})"
            )
    if told:
        raise DrainRefusedError("\n".join([*told, "--force drains anyway"]))


def quiet_bps(interface: ResolvedInterface) -> float:
    """Up to how much a virtual interface carries, in bits a second each way, when traffic has left it."""
    bfd = sum(1 / session.bfd.interval for session in interface.sessions if session.bfd is not None)
    return _IDLE_BPS + _FRAME_BITS * (bfd + len(interface.addresses) / interface.probe_interval)


def undone(
    chosen: Iterable[str],
    interfaces: Mapping[str, ResolvedInterface],
    failing: Collection[str],
    missing_credentials: Collection[str],
    *,
    frr_available: bool,
) -> list[str]:
    """Those of `chosen` for which what was asked for is not in force: FRR does not have it, or something failed."""
    return sorted(
        name
        for name in chosen
        if name in interfaces
        and (name in failing or name in missing_credentials or (interfaces[name].sessions and not frr_available))
    )
