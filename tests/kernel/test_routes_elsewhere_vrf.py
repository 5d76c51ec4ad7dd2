"""The same in a VRF as in the main table (test_routes_elsewhere.py): what takes the traffic away is seen there too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.test_routes_elsewhere import CLOUD, ORDER, PREFIX, Line
from tests.lab.clouds import Attachment, FrrCloud, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Port, Workspace, leave_on_signals
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def line() -> Iterator[Line]:
    """The line, its virtual interface in a VRF; up."""
    leave_on_signals()
    with Workspace() as work:
        edge = Edge(
            work, ORDER.replace("accept: [10.20.0.0/16, 10.21.0.0/16]", f"accept: [{PREFIX}], advertise: [], vrf: blue")
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
        before = line.edge.status()["router"]["taken_at"]
        until("some looks", line.edge.status, accept=lambda seen: seen["router"]["taken_at"] > before + 8)
        assert line.status()[0] == "up"
    line.edge.namespace.ip(f"route add blackhole {PREFIX} vrf blue")
    line.degraded("customer", f"traffic for {PREFIX} has no route instead of eth1: a static route of others")
