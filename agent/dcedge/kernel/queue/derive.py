"""What an order asks of queues: a virtual interface's own shapers, and those of the rates that several share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dcedge.kernel.capabilities import Capabilities
from dcedge.kernel.naming import ingress_device
from dcedge.kernel.ordered import Ordered, OrderedInterface
from dcedge.kernel.queue.classify import Classifier, control_classifier
from dcedge.kernel.queue.handles import CONTROL_HANDLE
from dcedge.kernel.queue.resource import Ingress, Shaper
from dcedge.kernel.queue.shaping import interface_tree, interface_tree_on_wire
from dcedge.kernel.queue.sharing import shared_shapers
from dcedge.kernel.queue.wire import wire_to_hold
from dcedge.order.resolve import ResolvedInterface


def derive_shared(ordered: Ordered) -> Iterator[Shaper]:
    """The trees of shared rates."""
    return shared_shapers(ordered.interfaces, ordered.kernel, ordered.host.speeds)


def derive_interface(ordered: OrderedInterface) -> Iterator[Shaper | Ingress]:
    """What shapes a virtual interface's way out, and its way in where that is ordered."""
    interface, kernel = ordered.interface, ordered.kernel
    wanted = interface.shaped_bps, interface.mtu, interface.overhead, kernel.queue(interface.queue)
    classifier = _classifier(interface, kernel)
    tree = interface_tree(*wanted, classifier)
    wire = None
    if not interface.tags:  # it has its port for itself
        wire = wire_to_hold((interface,), ordered.host.speeds.get(interface.port), crowded=False)
    on_link = interface_tree_on_wire(*wanted, classifier, wire) if wire is not None else tree
    yield Shaper(ordered.link, on_link, ordered.affects)
    if interface.ingress:
        theirs = control_classifier((pair.cloud for pair in interface.addresses), CONTROL_HANDLE, 0)
        shaped = replace(tree, classifier=theirs)
        yield Ingress(ordered.link, ingress_device(ordered.link), shaped, True, ordered.affects)


def _classifier(interface: ResolvedInterface, kernel: Capabilities) -> Classifier:
    """What sorts out a virtual interface's control packets, and marks them for the devices below."""
    mark = CONTROL_HANDLE if kernel.skbedit and interface.tags else 0
    return control_classifier((pair.customer.ip for pair in interface.addresses), CONTROL_HANDLE, mark)
