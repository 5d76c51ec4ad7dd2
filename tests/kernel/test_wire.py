"""A port whose wire its virtual interfaces can fill: what waits, waits here, and control packets pass it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest

from tests.lab.netns import Workspace, end, leave_on_signals
from tests.lab.traffic import udp_stream
from tests.lab.wait import until
from tests.lab.wired_line import WiredLine

pytestmark = pytest.mark.timeout(300)

MBPS, SLOWER, FASTER = 10, 5, 100
PAYLOAD = 200  # bytes: so small that the wire needs a tenth more than is ordered
AT_ONCE = 10  # of them: long enough to be cut into frames
HOST = "10.20.0.10"


def lines(tags: int) -> Iterator[WiredLine]:
    leave_on_signals()
    with Workspace() as work:
        line = WiredLine(work, MBPS, tags)
        line.start()
        yield line
        line.edge.stop_daemon()


@pytest.fixture
def untagged() -> Iterator[WiredLine]:
    """A virtual interface that has its port for itself."""
    yield from lines(0)


@pytest.fixture
def tagged() -> Iterator[WiredLine]:
    """One that is tagged, on a port of its own tree."""
    yield from lines(1)


def root_bps(line: WiredLine) -> int:
    """The rate of the class that holds the whole on the port; 0 without one."""
    said = line.edge.namespace.run("tc", "class", "show", "dev", "eth1", "classid", "dce:1").stdout
    found = re.search(r" rate (\d+)(bit|Kbit|Mbit|Gbit)", said)
    units = {"bit": 1, "Kbit": 1_000, "Mbit": 1_000_000, "Gbit": 1_000_000_000}
    return int(found[1]) * units[found[2]] if found is not None else 0


def bfd_failures(line: WiredLine) -> int:
    """How often BFD went down at either end."""
    peers = [frr.json("show bfd peers counters json") for frr in (line.edge.frr, line.cloud.frr)]
    return sum(peer["session-down"] for end_ in peers for peer in end_)


def nothing_waits_in_the_card(line: WiredLine) -> None:
    """At full load what is too much is dropped by the edge, BFD and BGP stay, and the wire is in use."""
    numbers = map(str, (PAYLOAD, 2 * MBPS * 1_000_000, AT_ONCE))
    words = (sys.executable, "-m", "tests.bench.datagrams", HOST, "5999", *numbers)
    before, failures = line.sent(), bfd_failures(line)
    sender = line.edge.host.popen(*words)
    try:
        until("some seconds of load", lambda: line.sent().frames - before.frames, accept=lambda count: count > 5_000)
    finally:
        end(sender)
    assert line.sent().dropped == before.dropped
    assert line.edge.verdict("prod-a")[0] == "up"
    assert bfd_failures(line) == failures
    dropped = line.edge.namespace.run("tc", "-s", "qdisc", "show", "dev", "eth1").stdout
    assert sum(map(int, re.findall(r"dropped (\d+)", dropped))) > 0, dropped


@pytest.mark.everywhere
def test_an_untagged_one_stays_below_its_wire(untagged: WiredLine) -> None:
    assert root_bps(untagged) == MBPS * 995_000
    nothing_waits_in_the_card(untagged)
    assert untagged.edge.dcedge("plan").status == 0


def test_a_tagged_one_stays_below_the_ports_wire(tagged: WiredLine) -> None:
    assert root_bps(tagged) == MBPS * 995_000
    nothing_waits_in_the_card(tagged)
    assert tagged.edge.dcedge("plan").status == 0
    status = tagged.edge.virtual_interfaces()["prod-a"]
    assert status["shaper"]["dropped_packets"] > 0, status["shaper"]


@pytest.mark.everywhere
def test_another_speed_moves_the_tree_in_place_and_loses_nothing(untagged: WiredLine) -> None:
    line = untagged
    with udp_stream(line.edge.host, line.cloud.host, HOST, packets_per_second=200) as stream:
        for mbps in (SLOWER, MBPS):
            line.set_speed(mbps)
            line.edge.namespace.ip("link set eth1 alias looked-at-anew")
            until("the new rate", lambda: root_bps(line), accept=lambda bps, now=mbps: bps == now * 995_000)  # type: ignore[misc]
        # Faster than all that is ordered could fill: there is nothing to hold but the ordered rate.
        line.set_speed(FASTER)
        line.edge.namespace.ip("link set eth1 alias looked-at-again")
        until("the ordered rate", lambda: root_bps(line), accept=lambda bps: bps == MBPS * 1_000_000)
    assert (stream.lost, stream.reordered, stream.duplicated) == (0, 0, 0)
