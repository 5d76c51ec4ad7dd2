"""A provider that marks priorities on an untagged line: its frames have a tag with VLAN ID 0 (IEEE 802.1Q, 9.6).

They are untagged traffic with a priority, and nothing to complain of.
"""

from __future__ import annotations

import pytest

from tests.lab.edge import UNTAGGED_STATIC, Edge
from tests.lab.netns import Port, Workspace, leave_on_signals
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(300)


def test_priority_tags_on_an_untagged_line_are_no_fault() -> None:
    leave_on_signals()
    with Workspace() as work:
        edge = Edge(work, UNTAGGED_STATIC)
        cloud = work.namespace("cloud")
        edge.plug("eth1", Port(cloud, "far"))
        cloud.ip(
            "link set far up",
            "link add link far name far.0 type vlan id 0 egress-qos-map 0:5",
            "link set far.0 up",
            "address add 198.51.100.1/30 dev far.0",
        )
        edge.frr.start()
        edge.start_daemon()
        customer = edge.namespace.run("cat", "/sys/class/net/eth1/address").stdout.strip()
        # What comes back has no tag and so is heard on `far`: the way there is not to be asked for on `far.0`.
        cloud.ip(f"neigh replace 198.51.100.2 lladdr {customer} dev far.0 nud permanent")

        until(
            "the line to be well", lambda: edge.verdict("prod-a"), accept=lambda seen: seen[::3] == ("up", "as ordered")
        )
        explained = edge.dcedge("explain", "prod-a", "--json")
        assert explained.json()["finding"] is None, explained.said
        tagged = cloud.run("cat", "/sys/class/net/far.0/statistics/tx_packets").stdout
        assert int(tagged) > 0
        edge.stop_daemon()
