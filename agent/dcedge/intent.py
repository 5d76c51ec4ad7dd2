"""The intent: all that should exist for an order and a runtime. Pure; the credentials come in as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dcedge.bgp.render import derive_frr
from dcedge.credentials import CredentialError, Secret
from dcedge.kernel.derive import derive_kernel
from dcedge.order.model import Credential, Order
from dcedge.order.resolve import ResolvedInterface, resolve_interface
from dcedge.resource import State
from dcedge.store import Runtime


@dataclass(frozen=True, slots=True)
class Intent:
    """What should be in the kernel and in FRR.

    The virtual interfaces in `withheld` lack a usable credential: a session of theirs that runs stays as it is, a new
    one is shut.
    """

    interfaces: tuple[ResolvedInterface, ...]
    kernel: State
    frr: State
    withheld: Mapping[str, CredentialError]


def credentials_of(order: Order) -> Iterable[Credential]:
    """Every credential the order refers to."""
    for vi in order.virtual_interfaces.values():
        if vi.bgp is not None and vi.bgp.password is not None:
            yield vi.bgp.password
        for pair in vi.addresses:
            if pair.password is not None:
                yield pair.password


def derive(
    order: Order,
    runtime: Runtime,
    secrets: Mapping[Credential, Secret],
    problems: Mapping[Credential, CredentialError],
    *,
    fq_codel: bool,
) -> Intent:
    """The intent for an order and a runtime."""
    interfaces = tuple(resolve_interface(order, name) for name in order.virtual_interfaces)
    withheld = {
        interface.name: problems[session.password]
        for interface in interfaces
        for session in interface.sessions
        if session.password is not None and session.password in problems
    }
    return Intent(
        interfaces=interfaces,
        kernel=derive_kernel(interfaces, fq_codel=fq_codel),
        frr=derive_frr(interfaces, order.router, secrets, runtime.drained),
        withheld=withheld,
    )
