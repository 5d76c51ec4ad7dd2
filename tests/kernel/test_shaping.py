"""Every shaper that can be ordered, as the kernel takes it and reads it back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcedge.kernel.capabilities import Capabilities, capabilities
from dcedge.kernel.link.view import dump_links
from dcedge.kernel.queue import messages as q
from dcedge.kernel.queue.classify import control_classifier
from dcedge.kernel.queue.handles import CONTROL_HANDLE
from dcedge.kernel.queue.observe import tree_of
from dcedge.kernel.queue.shaping import Tree, interface_tree
from dcedge.kernel.queue.tree import tree_requests
from dcedge.kernel.queue.view import qdiscs_of
from dcedge.kernel.view import observe_link
from dcedge.netlink.socket import RouteSocket
from tests.lab.netns import Namespace, Workspace

pytestmark = pytest.mark.everywhere

CUSTOMER = [ip_address("10.255.101.2"), ip_address("2001:db8:101::2")]
RATES = st.one_of(st.integers(2_000_000, 100_000_000_000), st.sampled_from([2_000_000, 524_288_000, 100_000_000_000]))


@dataclass
class Device:
    """A device, and what its kernel can do."""

    sock: RouteSocket
    namespace: Namespace
    index: int
    can: Capabilities

    def tree(self, rate: int, mtu: int, overhead: int, queue: str) -> Tree:
        mark = CONTROL_HANDLE if self.can.skbedit else 0
        return interface_tree(
            rate, mtu, overhead, self.can.queue(queue), control_classifier(CUSTOMER, CONTROL_HANDLE, mark)
        )

    def put(self, before: Tree | None, after: Tree) -> Tree:
        """Take the device from one tree to another; what is read back."""
        answers = self.sock.execute(list(tree_requests(self.index, before, after)))
        assert not [str(answer) for answer in answers if answer.errno]
        return tree_of(observe_link(self.sock, self.index, qdiscs_of(self.sock)), self.index)

    def tc(self, *words: str) -> None:
        self.namespace.run("tc", *words)

    def clear(self) -> None:
        self.sock.execute([q.delete_root(self.index)])


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with Workspace() as work:
        namespace = work.namespace("edge")
        namespace.ip("link add name eth1 type veth peer name far1", "link set eth1 up", "link set far1 up")
        with namespace.call(RouteSocket) as sock:
            index = next(link.index for link in dump_links(sock) if link.name == "eth1")
            yield Device(sock, namespace, index, capabilities(sock))


ORDERS = st.tuples(RATES, st.integers(68, 9216), st.integers(0, 256), st.sampled_from(["fq_codel", "cake", "pfifo"]))


@settings(max_examples=60, deadline=None)
@given(first=ORDERS, then=ORDERS)
def test_every_rate_mtu_and_queue_reads_back_as_ordered(
    device: Device, first: tuple[int, int, int, str], then: tuple[int, int, int, str]
) -> None:
    wanted, changed = device.tree(*first), device.tree(*then)
    try:
        assert device.put(None, wanted) == wanted
        assert device.put(wanted, changed) == changed
        assert list(tree_requests(device.index, changed, changed)) == []
    finally:
        device.clear()


def test_a_tree_of_an_earlier_make_is_replaced_whole(device: Device) -> None:
    """One class that was the default: with children it would be none, and everything would pass unshaped."""
    earlier = (
        "qdisc replace dev eth1 root handle dce: htb default 1",
        "class add dev eth1 parent dce: classid dce:1 htb rate 50mbit",
        "qdisc add dev eth1 parent dce:1 handle dc1: pfifo limit 40",
    )
    for line in earlier:
        device.tc(*line.split())
    found = tree_of(observe_link(device.sock, device.index, qdiscs_of(device.sock)), device.index)
    wanted = device.tree(50_000_000, 1500, 0, "pfifo")
    assert device.put(found, wanted) == wanted
    device.clear()


def test_what_a_hand_changes_in_a_tree_is_seen_and_put_right(device: Device) -> None:
    wanted = device.tree(50_000_000, 1500, 24, "fq_codel")
    device.put(None, wanted)
    for line in (
        "class change dev eth1 classid dce:1 htb rate 10mbit",
        "class change dev eth1 classid dce:2 parent dce:1 htb rate 10mbit prio 3",
        "qdisc change dev eth1 parent dce:3 handle dc2: tbf rate 1gbit burst 64k limit 1m",
        "qdisc del dev eth1 parent dce:3",
        "qdisc replace dev eth1 parent dc2:1 handle 77: pfifo limit 5",
        "filter del dev eth1 parent dce:",
        "filter add dev eth1 parent dce: prio 9 protocol all u32 match u32 0 0 classid dce:2",
    ):
        device.tc(*line.split())
        found = tree_of(observe_link(device.sock, device.index, qdiscs_of(device.sock)), device.index)
        assert found != wanted, line
        assert device.put(found, wanted) == wanted, line
    device.clear()


def test_what_the_kernel_can_do_is_told_as_tc_finds_it(device: Device) -> None:
    def works(*words: str) -> bool:
        return device.namespace.run("tc", *words, check=False).returncode == 0

    found = Capabilities(
        fq_codel=works("qdisc", "replace", "dev", "far1", "root", "fq_codel"),
        cake=works("qdisc", "replace", "dev", "far1", "root", "cake"),
        skbedit=works("actions", "add", "action", "skbedit", "priority", "1", "index", "1"),
    )
    assert device.can == found
    shown = device.namespace.run("tc", "qdisc", "show", "dev", "lo").stdout
    assert shown.split()[1] == "noqueue", "asking has left something behind"
