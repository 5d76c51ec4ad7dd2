"""A provider that marks priorities on an untagged line: its frames have a tag with VLAN ID 0 (IEEE 802.1Q, 9.6).

They are untagged traffic with a priority, and nothing to complain of.
"""

from __future__ import annotations

import pytest

from tests.lab.edge import Edge
from tests.lab.netns import Port, Workspace, leave_on_signals
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(300)

ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections: {fra-1: {provider: generic, port: eth1, bandwidth: 1G}}
virtual_gateways: {prod: {vpc: v, asn: 64512, accept: [10.20.0.0/16]}}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 0
    bandwidth: 50M
    addresses: [{customer: 198.51.100.2/30, cloud: 198.51.100.1}]
    static: [10.20.0.0/16]
"""


def test_priority_tags_on_an_untagged_line_are_no_fault() -> None:
    leave_on_signals()
    with Workspace() as work:
        edge = Edge(work, ORDER)
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

        def verdict() -> tuple[str, str]:
            vi = edge.virtual_interfaces().get("prod-a", {})
            return vi.get("verdict", ""), vi.get("reason", "")

        until("the line to be well", verdict, accept=lambda seen: seen == ("up", "as ordered"))
        explained = edge.dcedge("explain", "prod-a", "--json")
        assert explained.json()["finding"] is None, explained.said
        tagged = cloud.run("cat", "/sys/class/net/far.0/statistics/tx_packets").stdout
        assert int(tagged) > 0
        edge.stop_daemon()
