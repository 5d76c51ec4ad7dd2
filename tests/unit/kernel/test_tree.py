"""From one tree of queues to another: what stays in place keeps what it holds."""

from __future__ import annotations

from itertools import permutations

import pytest
from pyroute2.netlink import rtnl

from dcedge.kernel.queue.classify import Classifier
from dcedge.kernel.queue.shaping import Tree, interface_tree
from dcedge.kernel.queue.tree import tree_requests

NEW = {rtnl.RTM_NEWQDISC, rtnl.RTM_NEWTCLASS, rtnl.RTM_NEWTFILTER}


def tree(rate: int, queue: str = "fq_codel", overhead: int = 0) -> Tree:
    return interface_tree(rate, 1500, overhead, queue, Classifier(b"\6\0\0\0\0\0\0\0", 0))


def kinds(before: Tree | None, after: Tree) -> list[int]:
    return [request.message_type for request in tree_requests(7, before, after)]


@pytest.mark.parametrize(("before", "after"), [(200, 500), (500, 20), (20, 600), (600, 10_000), (10_000, 2)])
def test_a_change_of_the_rate_changes_the_classes_and_takes_nothing_away(before: int, after: int) -> None:
    sent = kinds(tree(before * 1_000_000), tree(after * 1_000_000))
    assert set(sent) <= NEW
    assert sent.count(rtnl.RTM_NEWTCLASS) == 3, "the whole, control packets, and the rest"


def test_overhead_comes_and_goes_without_taking_anything_away() -> None:
    for before, after in ((0, 24), (24, 0)):
        sent = kinds(tree(10**9, overhead=before), tree(10**9, overhead=after))
        assert set(sent) <= NEW
        assert sent.count(rtnl.RTM_NEWTCLASS) == 3, "each class counts it"
        assert rtnl.RTM_NEWQDISC in sent, "and packets are cut into frames, for it is counted once a packet"


def test_another_kind_of_queue_takes_the_old_ones_place_without_a_moment_between() -> None:
    for before, after in permutations(("fq_codel", "pfifo", "cake"), 2):
        assert set(kinds(tree(10**7, before), tree(10**7, after))) == {rtnl.RTM_NEWQDISC}


def test_a_tree_as_it_should_be_is_left_alone() -> None:
    assert kinds(tree(10**7), tree(10**7)) == []
    assert kinds(None, tree(10**7)) == [
        *(rtnl.RTM_NEWQDISC, rtnl.RTM_NEWTCLASS, rtnl.RTM_NEWTCLASS, rtnl.RTM_NEWTCLASS),
        *(rtnl.RTM_NEWQDISC, rtnl.RTM_NEWQDISC, rtnl.RTM_NEWTFILTER),
    ]
