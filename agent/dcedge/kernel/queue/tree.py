"""What takes one tree of queues on a device to another, in place wherever the kernel can. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dcedge.kernel.queue import messages as q
from dcedge.kernel.queue.shaping import UNKNOWN, Leaf, QueueParameters, Tree
from dcedge.netlink.socket import Request


def tree_requests(index: int, before: Tree | None, after: Tree) -> Iterator[Request]:
    """The messages, in order; `before` None: there is no tree of ours yet.

    A class that stays keeps its queue and what is in it, whatever changes about its rate.
    """
    if before is not None and before.default != after.default:
        # HTB takes its default class at birth only.
        yield q.delete_root(index)
        before = None
    if before is None:
        yield q.htb_root(index, after.default)
        before = Tree(after.default, (), (), None)
    classes = {htb.minor: htb for htb in after.classes}
    was = {htb.minor: htb for htb in before.classes}
    moved = {minor for minor, htb in was.items() if minor not in classes or classes[minor].parent != htb.parent}
    for minor in sorted(moved, reverse=True):
        yield q.delete_class(index, minor)
    for htb in after.classes:
        if htb.minor in moved or was.get(htb.minor) != htb:
            yield q.htb_class(index, htb)
    leaves = {leaf.minor: leaf for leaf in before.leaves if leaf.minor not in moved}
    for leaf in after.leaves:
        yield from _leaf_requests(index, leaves.get(leaf.minor), leaf)
    if before.classifier != after.classifier:
        if before.classifier is not None:
            yield q.delete_classifiers(index)
        if after.classifier is not None:
            yield q.classifier(index, after.classifier)


def _leaf_requests(index: int, before: Leaf | None, after: Leaf) -> Iterator[Request]:
    """At no moment is a class without a queue: a new one takes the old one's place, and only what that held is lost.

    The kernel takes another kind, or other flows, under another handle only. So where the handle is taken, the new
    queue comes under a spare one first.
    """
    queue = after.queue
    if before == after or queue is None:
        return
    cut = bool(after.cut_bytes)
    old, cut_at = (before.queue, before.cut_bytes) if before is not None else (None, None)
    stays = cut_at is not None and bool(cut_at) == cut
    known = old is not None and old.kind != UNKNOWN
    if cut and not stays and old is not None and not known:
        yield q.spare_leaf(index, after.minor, queue, cut=False)  # it may have the segmenter's handle
    if cut and cut_at != after.cut_bytes:
        yield q.segmenter(index, after.minor, after.cut_bytes, old if stays and known else None)
    if stays and old == queue:
        return
    in_place = stays and old is not None and old.kind == queue.kind and _flows(old) == _flows(queue)
    replaced_already = cut and not stays
    if known and not in_place and not replaced_already:
        yield q.spare_leaf(index, after.minor, queue, cut=cut)
    yield q.leaf(index, after.minor, queue, cut=cut, change=in_place)


def _flows(queue: QueueParameters) -> int | None:
    """How many flows a queue tells apart, which fq_codel settles at birth."""
    return dict(queue.settings).get("flows") if queue.kind == "fq_codel" else None
