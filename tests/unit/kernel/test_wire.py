"""When a port's wire is what bounds, and how the tree on it counts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from dcedge.kernel.capabilities import EVERYTHING
from dcedge.kernel.host import Host
from dcedge.kernel.ordered import Ordered, OrderedInterface
from dcedge.kernel.queue.derive import derive_interface, derive_shared
from dcedge.kernel.queue.resource import Ingress, Shaper
from dcedge.kernel.queue.shaping import CONTROL, DATA, LENT_RATE_BYTES, SHARED_MINORS, WHOLE, HtbClass
from tests.unit.kernel.orders import interfaces_of, vi

FULL = {"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G"}}
HOSTED = FULL | {"h-1": {"provider": "generic", "over": "fra-1", "bandwidth": "400M"}}
CROWDED = {"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "800M", "oversubscribe": True}}


def trees(connections: Mapping[str, object], speed_bps: int, **interfaces: dict[str, object]) -> dict[str, Shaper]:
    """The shapers on ports and links where eth1 runs at that speed, by device."""
    ordered = interfaces_of(connections=connections, **interfaces)
    host = Host(speeds={"eth1": speed_bps})
    found = list(derive_shared(Ordered(ordered, EVERYTHING, host, frozenset(), frozenset())))
    for one in ordered:
        own = derive_interface(OrderedInterface.of(one, EVERYTHING, host))
        found += [shaper for shaper in own if isinstance(shaper, Shaper)]
    return {shaper.link: shaper for shaper in found}


def classes(shaper: Shaper) -> dict[int, HtbClass]:
    assert shaper.tree is not None
    return {htb.minor: htb for htb in shaper.tree.classes}


def test_virtual_interfaces_that_fill_the_wire_are_held_just_below_it_frame_by_frame() -> None:
    found = trees(FULL, 10**9, a=vi(101, bandwidth="600M"), b=vi(102, bandwidth="400M"))
    port = classes(found["eth1"])
    assert port[WHOLE].rate_bytes == port[WHOLE].ceil_bytes == 995_000_000 // 8
    assert {(htb.overhead, htb.mpu) for htb in port.values()} == {(28, 88)}
    a, b = port[SHARED_MINORS + 101], port[SHARED_MINORS + 102]
    assert a.ceil_bytes == port[WHOLE].ceil_bytes  # its own shaper holds its own rate
    assert a.rate_bytes * 4 == pytest.approx(b.rate_bytes * 6)
    assert port[CONTROL].rate_bytes + a.rate_bytes + b.rate_bytes <= port[WHOLE].rate_bytes
    tree = found["eth1"].tree
    assert tree is not None
    assert {leaf.cut_bytes for leaf in tree.leaves} == {1500 + 14 + 8}
    assert found["eth1"].describe() == "995M on the wire of eth1, fq_codel"
    assert classes(found["eth1.101"])[WHOLE].rate_bytes == 75_000_000


@pytest.mark.parametrize(("rate", "held"), [("678M", False), ("679M", True)])
def test_the_smallest_frames_tell_whether_a_wire_can_be_filled(rate: str, held: bool) -> None:
    # 60 bytes are counted, and 88 sent: 995M of wire are 678.4M.
    assert ("eth1" in trees(FULL, 10**9, a=vi(101, bandwidth=rate))) is held


def test_where_the_speed_is_not_told_nothing_is_held() -> None:
    ordered = interfaces_of(connections=FULL, a=vi(101, bandwidth="1G"))
    assert list(derive_shared(Ordered(ordered, EVERYTHING, Host(), frozenset(), frozenset()))) == []


def test_one_that_has_its_port_for_itself_is_held_below_the_wire_and_within_its_rate() -> None:
    found = trees(FULL, 10**9, a=vi(0, bandwidth="900M"))
    port = classes(found["eth1"])
    assert (port[WHOLE].rate_bytes, port[WHOLE].overhead, port[WHOLE].mpu) == (995_000_000 // 8, 24, 84)
    assert (port[DATA].ceil_bytes, port[DATA].overhead, port[DATA].mpu) == (900_000_000 // 8, 0, 0)


def test_what_comes_in_is_held_to_the_ordered_rate_alone() -> None:
    (one,) = interfaces_of(connections=FULL, a=vi(0, bandwidth="900M", shaping={"ingress": True}))
    host = Host(speeds={"eth1": 10**9})
    (ingress,) = (
        found for found in derive_interface(OrderedInterface.of(one, EVERYTHING, host)) if isinstance(found, Ingress)
    )
    assert ingress.tree is not None
    assert not ingress.tree.on_wire
    assert ingress.tree.classes[0].rate_bytes == 900_000_000 // 8


def test_a_hosted_connection_keeps_its_rate_within_the_wire() -> None:
    two = {"a": vi(101, connection="h-1", bandwidth="400M"), "b": vi(102, bandwidth="600M")}
    port = classes(trees(HOSTED, 10**9, **two)["eth1"])
    group = port[port[SHARED_MINORS + 101].parent]
    assert (group.rate_bytes, group.ceil_bytes, group.overhead) == (LENT_RATE_BYTES, 50_000_000, 0)
    assert port[SHARED_MINORS + 102].parent == WHOLE


def test_an_oversubscribed_connection_is_held_to_what_full_frames_of_its_rate_take() -> None:
    two = {"a": vi(101, bandwidth="600M"), "b": vi(102, bandwidth="600M")}
    port = classes(trees(CROWDED, 10**9, **two)["eth1"])
    assert port[WHOLE].rate_bytes == 800_000_000 * (1514 + 28) // 1514 // 8
