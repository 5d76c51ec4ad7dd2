"""The kernel's part of the intent: what each kind of kernel object is asked for by an order. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dcedge.kernel.capabilities import EVERYTHING, Capabilities
from dcedge.kernel.host import PLAIN_HOST, Host
from dcedge.kernel.ordered import Ordered, OrderedInterface
from dcedge.kernel.registry import SLICES
from dcedge.order.resolve import ResolvedInterface
from dcedge.plan.resource import Resource

_SHARED = [slice_.derive_shared for slice_ in SLICES if slice_.derive_shared is not None]
_OWN = [slice_.derive_interface for slice_ in SLICES if slice_.derive_interface is not None]


def shared_resources(
    interfaces: Collection[ResolvedInterface],
    kernel: Capabilities = EVERYTHING,
    host: Host = PLAIN_HOST,
    *,
    withdrawn: frozenset[str] = frozenset(),
    drained: frozenset[str] = frozenset(),
) -> Iterator[Resource]:
    """What virtual interfaces have in common; `withdrawn`, `drained`: as `Ordered` has it."""
    ordered = Ordered(interfaces, kernel, host, withdrawn, drained)
    for derive in _SHARED:
        yield from derive(ordered)


def interface_resources(
    interface: ResolvedInterface, kernel: Capabilities, host: Host = PLAIN_HOST
) -> Iterator[Resource]:
    """The objects that one virtual interface has for itself."""
    ordered = OrderedInterface.of(interface, kernel, host)
    for derive in _OWN:
        yield from derive(ordered)
