"""What of the kernel's objects is ours, or stands where ours should: the observed state for the plan. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import filterfalse
from types import MappingProxyType

from dcedge.kernel.link.observe import needed_on, our_links
from dcedge.kernel.link.resource import Found
from dcedge.kernel.link.view import is_ingress_device
from dcedge.kernel.observe_context import ObserveContext
from dcedge.kernel.registry import SLICES
from dcedge.kernel.view import KernelView
from dcedge.plan.resource import Key, Resource, State

_OBSERVE = [slice_.observe for slice_ in SLICES if slice_.observe is not None]


def owned_resources(
    view: KernelView, intent: State, owned_links: Collection[str], found: Mapping[str, Found] = MappingProxyType({})
) -> Iterator[tuple[Key, Resource]]:
    """Our objects, and foreign ones that occupy a place the intent needs (marked so); the later of two counts.

    A link is ours by its ifalias, or because the state file names it; an address on it by its protocol number; the
    root qdisc by its handle. `found`: what ports were like before they became a virtual interface's, by name.
    """
    links = tuple(filterfalse(is_ingress_device, view.links.values()))
    needed = needed_on(view)
    ours = our_links(view, links, intent, owned_links, found, needed)
    vrfs = {link.table: link.name for link in view.links.values() if link.table}
    context = ObserveContext(view, intent, links, ours, needed, vrfs)
    for observe in _OBSERVE:
        yield from observe(context)
