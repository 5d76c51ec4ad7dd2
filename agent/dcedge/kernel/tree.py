"""What takes one tree of queues on a device to another, in place wherever the kernel can. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel import messages as m
from dcedge.kernel.netlink import Request
from dcedge.kernel.shaping import Leaf, QueueParameters, Tree


def tree_requests(index: int, before: Tree | None, after: Tree) -> Iterator[Request]:
    """The messages, in order; `before` None: there is no tree of ours yet.

    A class that stays keeps its queue and what is in it, whatever changes about its rate.
    """
    if before is not None and before.default != after.default:
        # HTB takes its default class at birth only.
        yield m.delete_root(index)
        before = None
    if before is None:
        yield m.htb_root(index, after.default)
        before = Tree(after.default, (), (), None)
    classes = {htb.minor: htb for htb in after.classes}
    was = {htb.minor: htb for htb in before.classes}
    moved = {minor for minor, htb in was.items() if minor not in classes or classes[minor].parent != htb.parent}
    for minor in sorted(moved, reverse=True):
        yield m.delete_class(index, minor)
    for htb in after.classes:
        if htb.minor in moved or was.get(htb.minor) != htb:
            yield m.htb_class(index, htb)
    leaves = {leaf.minor: leaf for leaf in before.leaves if leaf.minor not in moved}
    for leaf in after.leaves:
        yield from _leaf_requests(index, leaves.get(leaf.minor), leaf)
    if before.classifier != after.classifier:
        if before.classifier is not None:
            yield m.delete_classifiers(index)
        if after.classifier is not None:
            yield m.classifier(index, after.classifier)


def _leaf_requests(index: int, before: Leaf | None, after: Leaf) -> Iterator[Request]:
    queue = after.queue
    if before == after or queue is None:
        return
    cut = bool(after.cut_bytes)
    if before is not None and bool(before.cut_bytes) != cut:
        yield m.delete_leaf(index, after.minor, cut=False)
        before = None
    if cut and (before is None or before.cut_bytes != after.cut_bytes):
        yield m.segmenter(index, after.minor, after.cut_bytes, queue)
    old = before.queue if before is not None else None
    if old == queue:
        return
    in_place = old is not None and old.kind == queue.kind and _flows(old) == _flows(queue)
    if old is not None and not in_place:
        yield m.delete_leaf(index, after.minor, cut=cut)
    yield m.leaf(index, after.minor, queue, cut=cut, change=in_place)


def _flows(queue: QueueParameters) -> int | None:
    """How many flows a queue tells apart, which fq_codel settles at birth."""
    return dict(queue.settings).get("flows") if queue.kind == "fq_codel" else None
