"""The same in a VRF as in the main table (test_routes_elsewhere.py): what takes the traffic away is seen there too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.test_routes_elsewhere import CLOUD, ORDER, PREFIX, Line
from tests.lab.clouds import Attachment, FrrCloud, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Port, Workspace, leave_on_signals

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def line() -> Iterator[Line]:
    """The line, its virtual interface in a VRF; up."""
    leave_on_signals()
    with Workspace() as work:
        edge = Edge(
            work,
            ORDER.replace(
                "accept: [10.20.0.0/16, 10.21.0.0/16]",
                f"accept: [{{prefix: {PREFIX}, le: 24}}], advertise: [], vrf: blue",
            ),
        )
        cloud = FrrCloud(work, "prod", 64512, [PREFIX], "10.20.0.1")
        fibre = edge.plug("eth1", Port(cloud.router, "far"))
        cloud.attach(Attachment("prod-a", fibre, 0, (Peer(f"{CLOUD}/30", "198.51.100.2"),), 65010))
        edge.frr.start()
        cloud.start()
        edge.start_daemon()
        made = Line(edge, cloud)
        made.wait_up()
        yield made
        edge.stop_daemon()


def test_a_route_of_others_in_the_vrf(line: Line) -> None:
    with line.other_route("blackhole", PREFIX):  # in the main table that is nobody's business
        line.stays_up()
    line.edge.namespace.ip(f"route add blackhole {PREFIX} vrf blue")
    line.degraded("customer", f"traffic for {PREFIX} has no route instead of eth1: a static route of others")


def test_a_route_of_others_in_the_vrf_to_a_part_of_what_may_be_announced(line: Line) -> None:
    part = "10.20.7.0/24"
    line.cloud_announces(part)
    with line.other_route("blackhole", part):
        line.stays_up()
    line.edge.namespace.ip(f"route add blackhole {part} vrf blue")
    line.degraded("customer", f"traffic for {part} has no route instead of eth1: a static route of others")
