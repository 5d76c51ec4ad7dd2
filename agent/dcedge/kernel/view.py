"""What the kernel says: links, addresses and queues, each table dumped once and indexed.

Only the attributes that are used are read; a link costs some 20 µs, of which the kernel has a part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from pyroute2.netlink.rtnl import TC_H_INGRESS

from dcedge.kernel.address.view import AddressView, addresses_among, addresses_on
from dcedge.kernel.link.view import LinkView, dump_links, link_at
from dcedge.kernel.queue.classify import Classifier
from dcedge.kernel.queue.shaping import HtbClass
from dcedge.kernel.queue.view import Qdiscs, QdiscView, classes_of, classifier_of, has_tree, ingress_filters, qdiscs_of
from dcedge.kernel.route.view import RouteView, our_routes
from dcedge.kernel.vrf.resource import Version
from dcedge.netlink.socket import RouteSocket
from dcedge.order.field_types import Interface


@dataclass(slots=True)
class KernelView:
    """One network namespace's links, addresses and queues, indexed."""

    links: dict[int, LinkView] = field(default_factory=dict)
    by_name: dict[str, LinkView] = field(default_factory=dict)
    addresses: dict[int, list[AddressView]] = field(default_factory=dict)
    link_locals: set[int] = field(default_factory=set)  # the links that have an IPv6 link-local address
    qdiscs: dict[int, tuple[QdiscView, ...]] = field(default_factory=dict)
    classes: dict[int, tuple[HtbClass, ...]] = field(default_factory=dict)  # of our own trees
    classifiers: dict[int, Classifier] = field(default_factory=dict)
    redirects: dict[int, int] = field(default_factory=dict)  # where what comes in by a link is sent by a filter of ours
    routes: list[RouteView] = field(default_factory=list)
    vrf_rules: set[Version] = field(default_factory=set)  # by IP version, where they were asked for

    def include(self, other: KernelView) -> None:
        """Enter the links of another view with all that is on them; what is known already is taken from there."""
        self.links |= other.links
        self.by_name |= other.by_name
        self.addresses |= other.addresses
        self.link_locals |= other.link_locals
        self.qdiscs |= other.qdiscs
        self.classes |= other.classes
        self.classifiers |= other.classifiers
        self.redirects |= other.redirects


def observe_link(sock: RouteSocket, index: int, qdiscs: Qdiscs | None = None) -> KernelView:
    """One link with its children, the links below it, and its VRF; an empty view where it is gone.

    With the `qdiscs` (of `qdiscs_of`) its queues are looked into, too.
    """
    view = KernelView()
    wanted = index
    while wanted:
        link = link_at(sock, wanted)
        if link is None:
            break
        view.links[link.index] = link
        view.by_name[link.name] = link
        wanted = link.below if link.kind == "vlan" else 0
    if index not in view.links:
        return view
    if view.links[index].master:
        master = link_at(sock, view.links[index].master)
        if master is not None:
            view.links[master.index] = master
            view.by_name[master.name] = master
    view.addresses[index] = addresses_on(sock, index)
    if any(address.interface.ip.is_link_local for address in view.addresses[index] if address.interface.version == 6):
        view.link_locals.add(index)
    if qdiscs is not None and index in qdiscs:
        view.qdiscs[index] = qdiscs[index]
        _look_into_tree(sock, view, index)
    return view


def _look_into_tree(sock: RouteSocket, view: KernelView, index: int) -> None:
    """Classes and filter of our tree on a link, where there is one."""
    if has_tree(view.qdiscs.get(index, ())):
        view.classes[index] = classes_of(sock, index)
        found = classifier_of(sock, index)
        if found is not None:
            view.classifiers[index] = found
    if any(qdisc.parent == TC_H_INGRESS for qdisc in view.qdiscs.get(index, ())):
        ours = [to for to, _ in ingress_filters(sock, index) if to is not None]
        if len(ours) == 1:
            view.redirects[index] = ours[0]


def observe_kernel(
    sock: RouteSocket, wanted: Iterable[Interface], give_way: Callable[[], Collection[int]] = tuple
) -> KernelView:
    """Dump links, addresses, qdiscs, the HTB classes of our own trees, and our routes.

    Of the addresses only those that are ours by their protocol number, or are among the `wanted` ones. Trees take a
    question each, of which thousands take seconds: between questions it gives way to what cannot wait, which returns
    the links that have been changed and observed there, by index; they are for `observe_again`.
    Raises KernelError.
    """
    view = KernelView()
    for link in dump_links(sock):
        view.links[link.index] = link
        view.by_name[link.name] = link
    give_way()
    view.addresses, view.link_locals = addresses_among(sock, wanted)
    give_way()
    view.qdiscs = qdiscs_of(sock)
    for index in view.qdiscs:
        if index not in give_way():
            _look_into_tree(sock, view, index)
    view.routes = our_routes(sock)
    return view


def observe_again(sock: RouteSocket, view: KernelView, indices: Collection[int]) -> None:
    """Take the links in as they are now that changed while others were observed."""
    qdiscs = qdiscs_of(sock, indices) if indices else {}
    for index in indices:
        if (before := view.links.pop(index, None)) is not None and view.by_name.get(before.name) is before:
            del view.by_name[before.name]
        for by_index in (view.addresses, view.qdiscs, view.classes, view.classifiers, view.redirects):
            by_index.pop(index, None)
        view.link_locals.discard(index)
    for index in indices:
        view.include(observe_link(sock, index, qdiscs))
