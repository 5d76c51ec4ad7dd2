"""What comes from the cloud is shaped too, where that is ordered, and nothing of it remains where it no longer is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.lab import traffic
from tests.lab.edge import COMMAND
from tests.lab.netns import Port, Workspace, connect_host, end, fibre, received
from tests.lab.wait import until

pytestmark = pytest.mark.everywhere

ORDER = """\
router: {{asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}}
connections: {{fra-1: {{provider: generic, port: eth1, bandwidth: 10G}}}}
virtual_gateways: {{prod: {{vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}}}}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 0
    bandwidth: 20M
    shaping: {{ingress: {ingress}}}
    addresses: [{{customer: 10.255.101.2/30, cloud: 10.255.101.1}}]
    static: [10.20.0.0/16]
"""


class Line:
    """A LAN's host, the edge, a fibre, a host in the cloud."""

    def __init__(self, work: Workspace, folder: Path) -> None:
        self.folder = folder
        self.edge, self.host, self.cloud = (work.namespace(name) for name in ("edge", "host", "cloud"))
        fibre(Port(self.edge, "eth1"), Port(self.cloud, "fra-1"))
        connect_host(self.edge, "lan0", self.host, [ip_network("192.0.2.0/24")])
        self.cloud.ip(
            "address add 10.255.101.1/30 dev fra-1",
            "address add 10.20.0.10/32 dev lo",
            "route add default via 10.255.101.2",
        )

    def run(self, verb: str, *, ingress: bool = True) -> subprocess.CompletedProcess[str]:
        order = self.folder / "order.yaml"
        order.write_text(ORDER.format(ingress=str(ingress).lower()))
        places = {"ORDER": order, "STATE_DIR": self.folder / "state", "SOCKET": self.folder / "control.sock"}
        environment = os.environ | {f"DCEDGE_{name}": str(place) for name, place in places.items()}
        environment["DCEDGE_FRR_PATHSPACE"] = "dcedge-none"
        return self.edge.run(str(COMMAND), verb, check=False, environment=environment)

    def apply(self, *, ingress: bool = True) -> None:
        """Have it applied; there is no FRR."""
        done = self.run("apply", ingress=ingress)
        assert "failed:" not in done.stdout + done.stderr, done.stdout + done.stderr

    def remains(self) -> str:
        """What there is of devices and filters for what comes in."""
        links = self.edge.run("ip", "-o", "link", "show", "type", "ifb").stdout
        return links + self.edge.run("tc", "qdisc", "show", "dev", "eth1", "ingress").stdout

    def arriving(self) -> float:
        """What TCP brings from the cloud to the LAN's host, in Mbit/s."""
        self.host.popen("iperf3", "--server", "--one-off")
        until("the server", lambda: ":5201" in self.host.run("ss", "-Hltn").stdout)
        words = ("--bind", "10.20.0.10", "--parallel", "2", "--time", "30")
        sender = self.cloud.popen("iperf3", "--client", "192.0.2.10", *words)
        port = Port(self.host, "eth0")
        before = received(port).bytes
        try:
            until("traffic", lambda: received(port).bytes - before, accept=lambda count: count > 2_000_000)
            return traffic.rate_during(port, 1.5, tags=0).bps / 1e6
        finally:
            end(sender)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with Workspace() as work:
        made = Line(work, tmp_path)
        made.apply()
        until("the cloud to answer", lambda: traffic.reaches(made.host, "10.20.0.10"))
        yield made


def test_what_comes_in_is_held_to_the_rate_and_a_broken_way_in_is_repaired(line: Line) -> None:
    assert line.arriving() < 22
    line.edge.run("tc", "filter", "del", "dev", "eth1", "ingress")
    assert "unshaped" in line.run("plan").stdout
    line.apply()
    device = line.edge.run("ip", "-o", "link", "show", "type", "ifb").stdout.split()[1].rstrip(":")
    line.edge.ip(f"link del {device}")
    line.apply()
    until("an answer", lambda: traffic.reaches(line.host, "10.20.0.10"))
    assert line.arriving() < 22


def test_nothing_remains_where_it_is_no_longer_ordered(line: Line) -> None:
    assert line.remains()
    line.apply(ingress=False)
    assert line.remains() == ""
    line.apply()
    assert line.remains()
    line.run("purge")
    assert line.remains() == ""


def test_somebody_elses_filter_stays(line: Line) -> None:
    line.apply(ingress=False)
    line.edge.run("tc", "qdisc", "add", "dev", "eth1", "ingress")
    foreign = "filter add dev eth1 parent ffff: prio 7 protocol ip u32 match ip dport 9 0xffff action gact drop"
    done = line.edge.run("tc", *foreign.replace("action gact drop", "flowid 1:1").split(), check=False)
    assert done.returncode == 0, done.stderr
    line.apply()
    line.apply(ingress=False)
    assert "pref 7" in line.edge.run("tc", "filter", "show", "dev", "eth1", "ingress").stdout
