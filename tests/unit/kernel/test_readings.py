"""What is read for metrics and verdicts: counters and neighbours, off a kernel in miniature."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from dcedge.kernel.counters import FAULTS, ShaperCounters, read_counters
from dcedge.kernel.neighbours import NeighbourState, neighbour_key, read_neighbours
from dcedge.order.resolve import resolve_interface
from tests.unit.fake.queues import Counted
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import ONE, order


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRouter:
    """One that is as ordered."""
    made = FakeRouter(tmp_path, monkeypatch)
    assert made.run(ONE).complete
    return made


def test_a_links_counters_are_read_by_its_name(router: FakeRouter) -> None:
    router.kernel.link("eth1.1").counted = {
        "rx_packets": 10, "tx_packets": 20, "rx_bytes": 1_000, "tx_bytes": 2**40, "rx_errors": 1, "tx_dropped": 2,
    }  # fmt: skip
    found = read_counters(router.kernel.socket()).links["eth1.1"]
    assert (found.receive_packets, found.transmit_packets) == (10, 20)
    assert (found.receive_bytes, found.transmit_bytes) == (1_000, 2**40)
    assert (found.receive_errors, found.transmit_errors, found.transmit_dropped) == (1, 0, 2)
    assert (found.up, found.carrier, found.index) == (True, True, router.kernel.link("eth1.1").index)


def test_what_a_port_lost_is_kept_by_the_kernels_names_without_the_zeroes(router: FakeRouter) -> None:
    lost = {name: number for number, name in enumerate(FAULTS, 1)}
    for counted in (lost, {"rx_crc_errors": 5}, {}):
        router.kernel.link("eth1").counted = {"rx_packets": 900, **counted}
        assert dict(read_counters(router.kernel.socket()).links["eth1"].faults) == counted


def test_a_light_that_went_out_is_counted_on_the_port_and_on_what_stands_on_it(router: FakeRouter) -> None:
    router.kernel.set_carrier("eth1", up=False)
    links = read_counters(router.kernel.socket()).links
    assert [(links[n].carrier, links[n].up, links[n].carrier_changes) for n in ("eth1", "eth1.1")] == [
        (False, True, 2),
        (False, True, 2),
    ]
    assert links["eth2"].carrier


def test_a_shaper_counts_what_its_root_lets_pass_and_its_queue_drops(router: FakeRouter) -> None:
    root, _, leaf = router.kernel.link("eth1.1").queues.qdiscs
    root.counted = Counted(sent_bytes=5_000_000_000, sent_packets=4_000_000, requeues=3)
    leaf.counted = Counted(sent_bytes=1, sent_packets=1, drops=7, waiting=3_000, marked=5)
    assert read_counters(router.kernel.socket()).shapers == {
        "eth1.1": ShaperCounters("fq_codel", 5_000_000_000, 4_000_000, 7, 3_000, 5, 3)
    }


def test_what_waits_on_the_port_counts_for_the_virtual_interface_it_is_of(router: FakeRouter) -> None:
    full = order({"a": vi(1, bandwidth="400M"), "b": vi(2, bandwidth="600M")})
    router.speeds.wires["eth1"] = 10**9
    assert router.run(full).complete
    for device, queue, dropped, waiting in (
        ("eth1.1", 0xDC1, 7, 3_000),
        ("eth1", 0x1001, 2, 500),
        ("eth1", 0x1002, 9, 0),
    ):
        queues = router.kernel.link(device).queues.qdiscs
        (leaf,) = (one for one in queues if one.handle == queue << 16)
        leaf.counted = Counted(drops=dropped, waiting=waiting, marked=1)
    counters = read_counters(router.kernel.socket())
    a, b = (counters.shaper_of(resolve_interface(full, name)) for name in "ab")
    assert a is not None
    assert b is not None
    assert (a.dropped_packets, a.backlog_bytes, a.marked_packets) == (9, 3_500, 2)
    assert (b.dropped_packets, b.backlog_bytes, b.marked_packets) == (9, 0, 1)


def test_who_answers_on_a_link_is_read_and_groups_are_not_hosts(router: FakeRouter) -> None:
    index = router.kernel.link("eth1.1").index
    router.kernel.neighbours = [
        (index, "10.255.1.1", 0x02),
        (index, "2001:db8:1::1", 0x20),
        (index, "224.0.0.5", 0x40),
        (index, "ff02::1", 0x40),
    ]
    assert read_neighbours(router.kernel.socket()) == {
        neighbour_key(index, ip_address("10.255.1.1")): NeighbourState.REACHABLE,
        neighbour_key(index, ip_address("2001:db8:1::1")): NeighbourState.FAILED,
    }
