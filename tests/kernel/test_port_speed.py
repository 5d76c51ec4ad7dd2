"""Ports whose two ends agreed on less than is ordered: drivers tell it (veth: always 10G; tap: what it is given).

The lines are untagged and static, so that this runs wherever there are network namespaces.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifinfmsg.tuntap import IFT_NO_PI, IFT_TAP, TUNSETIFF

from tests.lab.edge import UNTAGGED_STATIC, Edge
from tests.lab.netns import Port, Workspace, leave_on_signals
from tests.lab.wait import until

pytestmark = [pytest.mark.everywhere, pytest.mark.timeout(300)]

TWO = """\
connections:
  fra-1: {provider: generic, port: eth1, bandwidth: 40G}
  fra-2: {provider: generic, port: tap0, bandwidth: 1G}
"""
ORDER = UNTAGGED_STATIC.replace("connections: {fra-1: {provider: generic, port: eth1, bandwidth: 1G}}\n", TWO)
SAID = "port eth1 runs at 10G; 40G are ordered on fra-1"


def tap(name: str) -> int:
    """A tap device, for as long as the descriptor is open."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    assert TUNSETIFF is not None
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFT_TAP | IFT_NO_PI))
    return descriptor


@pytest.fixture
def edge() -> Iterator[Edge]:
    """An edge with two lines: one over a veth to a cloud that answers, one over a tap."""
    leave_on_signals()
    with Workspace() as work:
        edge = Edge(work, ORDER)
        cloud = work.namespace("cloud")
        edge.plug("eth1", Port(cloud, "far"))
        cloud.ip("address add 198.51.100.1/30 dev far", "link set far up")
        descriptor = edge.namespace.call(tap, "tap0")
        work.at_end(lambda: os.close(descriptor))
        edge.namespace.run("ethtool", "-s", "tap0", "speed", "1000", "duplex", "full")
        edge.namespace.ip("link set tap0 up")
        edge.frr.start()
        edge.start_daemon()
        yield edge
        edge.stop_daemon()


def connection(edge: Edge, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in edge.status()["connections"] if one["name"] == name)
    return found


def test_a_port_slower_than_ordered_is_degraded_until_less_is_ordered(edge: Edge) -> None:
    wrong = ("degraded", "carrier", "unknown", SAID)
    until("the port to be found too slow", lambda: edge.verdict("prod-a"), accept=lambda seen: seen == wrong)
    finding = edge.dcedge("explain", "prod-a", "--json").json()["finding"]
    assert (finding["layer"], finding["side"], finding["text"]) == wrong[1:]
    edge.order.write_text(ORDER.replace("40G", "10G"))
    applied = edge.dcedge("apply")
    assert applied.status == 0, applied.said
    until("the port to be fast enough", lambda: edge.verdict("prod-a"), accept=lambda seen: seen[0] == "up")


def test_what_a_port_negotiates_anew_is_seen_at_once(edge: Edge) -> None:
    def seen() -> tuple[Any, Any]:
        now = connection(edge, "fra-2")
        return now["speed_mbps"], now["duplex"]

    until("the tap's first speed", seen, accept=lambda now: now == (1000, "full"))
    edge.namespace.run("ethtool", "-s", "tap0", "speed", "100", "duplex", "half")
    edge.namespace.ip("link set tap0 down", "link set tap0 up")
    until("the speed that it comes back with", seen, accept=lambda now: now == (100, "half"), timeout=30)


def test_a_port_that_sums_no_checksums_is_said_before_it_hurts(edge: Edge) -> None:
    def told() -> str:
        return " ".join(edge.dcedge("check", "--host").stdout.split())

    edge.namespace.run("ethtool", "-K", "eth1", "tx", "off")
    found = edge.dcedge("check", "--host").stdout
    assert "port eth1 sends without checksum offload" in told(), found
    (mend,) = (line.split("->")[1] for line in found.splitlines() if "ethtool -K eth1 tx" in line)
    edge.namespace.run(*mend.split())
    assert "port eth1 sends without" not in told()
