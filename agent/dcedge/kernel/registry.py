"""The resource types of the kernel, a slice each, from the bottom up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dcedge.kernel.address import apply as address_apply
from dcedge.kernel.address import derive as address_derive
from dcedge.kernel.address import observe as address_observe
from dcedge.kernel.address.resource import IpAddress, LinkLocal
from dcedge.kernel.bond import apply as bond_apply
from dcedge.kernel.bond import derive as bond_derive
from dcedge.kernel.bond import observe as bond_observe
from dcedge.kernel.bond.resource import Bond, Member
from dcedge.kernel.context import Context, Failure, Step
from dcedge.kernel.link import apply as link_apply
from dcedge.kernel.link import derive as link_derive
from dcedge.kernel.link import observe as link_observe
from dcedge.kernel.link.resource import Link
from dcedge.kernel.observe_context import ObserveContext
from dcedge.kernel.ordered import Ordered, OrderedInterface
from dcedge.kernel.port import apply as port_apply
from dcedge.kernel.port import derive as port_derive
from dcedge.kernel.port import observe as port_observe
from dcedge.kernel.port.resource import Port
from dcedge.kernel.queue import apply as queue_apply
from dcedge.kernel.queue import derive as queue_derive
from dcedge.kernel.queue import observe as queue_observe
from dcedge.kernel.queue.resource import Ingress, Shaper
from dcedge.kernel.route import apply as route_apply
from dcedge.kernel.route import derive as route_derive
from dcedge.kernel.route import observe as route_observe
from dcedge.kernel.route.resource import Route
from dcedge.kernel.sysctl import apply as sysctl_apply
from dcedge.kernel.sysctl import derive as sysctl_derive
from dcedge.kernel.sysctl.resource import Sysctl
from dcedge.kernel.vrf import apply as vrf_apply
from dcedge.kernel.vrf import derive as vrf_derive
from dcedge.kernel.vrf import observe as vrf_observe
from dcedge.kernel.vrf.resource import Unreachable, Vrf, VrfRule
from dcedge.netlink.socket import Answer
from dcedge.plan.diff import Operation
from dcedge.plan.resource import Key, Resource

Steps = Callable[[Context, Operation, Any, Any], Iterator[Step]]
First = Callable[[Context, Sequence[Operation]], Iterator[Step]]
Refused = Callable[[Context, Operation, Answer], Failure | None]


@dataclass(frozen=True, slots=True)
class Slice:
    """One resource type of the kernel, or a few that belong together.

    `steps` carry out an operation on a resource of the class that stands beside; before and after are of it, and one of
    them may be None. What follows from an order: `derive_shared` for all virtual interfaces together,
    `derive_interface` for one by itself. `observe`: what of the kernel's is ours or stands where ours should.
    `first`: what has to be done, or noted, before any step of the operations.
    `refused`: what an operation of these is told to have failed for, where that is not the kernel's own word.
    """

    steps: Mapping[type, Steps]
    derive_shared: Callable[[Ordered], Iterable[Resource]] | None = None
    derive_interface: Callable[[OrderedInterface], Iterable[Resource]] | None = None
    observe: Callable[[ObserveContext], Iterable[tuple[Key, Resource]]] | None = None
    first: First | None = None
    refused: Refused | None = None


SLICES = (
    Slice(
        steps={Sysctl: sysctl_apply.steps},
        derive_shared=sysctl_derive.derive_shared,  # and observed by itself, since it is in files
    ),
    Slice(
        steps={Vrf: vrf_apply.vrf_steps, VrfRule: vrf_apply.way_steps, Unreachable: vrf_apply.way_steps},
        derive_shared=vrf_derive.derive_shared,
        observe=vrf_observe.observe,
    ),
    Slice(
        steps={Member: bond_apply.member_steps, Bond: bond_apply.steps},
        derive_shared=bond_derive.derive_shared,
        observe=bond_observe.observe,
        first=bond_apply.released_members,
    ),
    Slice(
        steps={Port: port_apply.steps},
        derive_shared=port_derive.derive_shared,
        observe=port_observe.observe,
        refused=port_apply.refused,
    ),
    Slice(
        steps={Link: link_apply.steps},
        derive_shared=link_derive.derive_shared,
        derive_interface=link_derive.derive_interface,
        observe=link_observe.observe,
        first=link_apply.freed_altnames,
        refused=link_apply.refused,
    ),
    Slice(
        steps={IpAddress: address_apply.steps, LinkLocal: address_apply.steps},
        derive_interface=address_derive.derive_interface,
        observe=address_observe.observe,
        first=address_apply.note_leaving,
    ),
    Slice(
        steps={Route: route_apply.steps},
        derive_shared=route_derive.derive_shared,
        observe=route_observe.observe,
    ),
    Slice(
        steps={Shaper: queue_apply.shaper_steps, Ingress: queue_apply.ingress_steps},
        derive_shared=queue_derive.derive_shared,
        derive_interface=queue_derive.derive_interface,
        observe=queue_observe.observe,
    ),
)
STEPS: Mapping[type, Steps] = {resource: steps for slice_ in SLICES for resource, steps in slice_.steps.items()}
FIRST = [slice_.first for slice_ in SLICES if slice_.first is not None]
REFUSED = [slice_.refused for slice_ in SLICES if slice_.refused is not None]
