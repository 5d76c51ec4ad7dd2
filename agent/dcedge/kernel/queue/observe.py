"""What shapes on the links, as far as it is ours or stands where ours should."""

from __future__ import annotations

from collections.abc import Iterator

from pyroute2.netlink.rtnl import TC_H_ROOT

from dcedge.kernel.link.view import LinkView, is_ingress_device
from dcedge.kernel.naming import INGRESS_ALIAS
from dcedge.kernel.observe_context import ObserveContext
from dcedge.kernel.queue.handles import ROOT_HANDLE, SEGMENTER_RATE_BYTES, leaf_handle, segmenter_handle
from dcedge.kernel.queue.resource import Ingress, Shaper
from dcedge.kernel.queue.shaping import UNKNOWN, Leaf, QueueParameters, Tree
from dcedge.kernel.queue.view import QdiscView, has_tree
from dcedge.kernel.view import KernelView
from dcedge.plan.resource import Key, State


def observe(context: ObserveContext) -> Iterator[tuple[Key, Shaper | Ingress]]:
    """First the trees on no link of ours: those of shared rates, on ports, and those for what comes in."""
    for link in context.view.links.values():
        if is_ingress_device(link):
            ingress = ingress_of(context.view, link, context.intent)
            yield ingress.key, ingress
        elif link.kind != "vlan" and (shaper := _port_shaper(context.view, link, context.intent)) is not None:
            yield shaper.key, shaper
    for index, ours in context.ours.items():
        if ours.foreign:
            continue
        shaper = _shaper(context.view, context.view.links[index], ours.affects)
        if shaper is not None and (shaper.foreign is None or (ours.tag is None and shaper.key in context.intent)):
            yield shaper.key, shaper


def ingress_of(view: KernelView, device: LinkView, intent: State) -> Ingress:
    """What shapes the way in by a link, from its device's mark."""
    name = device.alias.removeprefix(INGRESS_ALIAS)
    link = view.by_name.get(name)
    wanted = intent.get(Key("ingress", name))
    return Ingress(
        link=name,
        device=device.name,
        tree=tree_of(view, device.index) if has_tree(view.qdiscs.get(device.index, ())) else None,
        redirected=link is not None and view.redirects.get(link.index) == device.index and device.up,
        affects=wanted.affects if wanted is not None else (),
    )


def _port_shaper(view: KernelView, link: LinkView, intent: State) -> Shaper | None:
    """The tree of a shared rate on a port, or what somebody else has put where the intent wants one."""
    wanted = intent.get(Key("shaper", link.name))
    shaper = _shaper(view, link, wanted.affects if wanted is not None else ())
    return shaper if shaper is not None and (shaper.foreign is None or wanted is not None) else None


def _shaper(view: KernelView, link: LinkView, affects: tuple[str, ...]) -> Shaper | None:
    qdiscs = view.qdiscs.get(link.index, ())
    if has_tree(qdiscs):
        return Shaper(link.name, tree_of(view, link.index), affects)
    root = next((q for q in qdiscs if q.parent == TC_H_ROOT and q.handle), None)
    if root is None:
        return None
    return Shaper(link.name, None, affects, f"somebody else's {root.kind} {root.handle >> 16:x}:")


def tree_of(view: KernelView, index: int) -> Tree:
    """Our tree on a link, as far as it is there."""
    by_parent = {qdisc.parent: qdisc for qdisc in view.qdiscs.get(index, ())}
    classes = view.classes.get(index, ())
    inner = {htb.parent for htb in classes}
    root = by_parent.get(TC_H_ROOT)
    return Tree(
        default=dict(root.settings).get("default", 0) if root is not None else 0,
        classes=classes,
        leaves=tuple(
            leaf for htb in classes if htb.minor not in inner and (leaf := _leaf(by_parent, htb.minor)) is not None
        ),
        classifier=view.classifiers.get(index),
    )


def _leaf(by_parent: dict[int, QdiscView], minor: int) -> Leaf | None:
    """What a class holds; None for the nameless queue that the kernel gives it."""
    qdisc, cut = by_parent.get(ROOT_HANDLE | minor), 0
    if qdisc is not None and qdisc.handle == segmenter_handle(minor) and qdisc.kind == "tbf":
        settings = dict(qdisc.settings)
        cut = settings["cut"] if settings.get("rate") == SEGMENTER_RATE_BYTES else -1
        qdisc = by_parent.get(qdisc.handle | 1)
    if qdisc is None or not qdisc.handle:
        return Leaf(minor, None, cut) if cut else None
    known = qdisc.handle == leaf_handle(minor)
    return Leaf(minor, QueueParameters(qdisc.kind if known else UNKNOWN, qdisc.settings), cut)
