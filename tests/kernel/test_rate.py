"""What is ordered is what arrives, on this machine's own kernel; to the per cent is the benchmark's to say."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.lab import traffic
from tests.lab.edge import COMMAND
from tests.lab.netns import Fibre, Namespace, Port, Workspace, connect_host, fibre
from tests.lab.wait import until

pytestmark = pytest.mark.native

HOST_IN_THE_CLOUD = "10.20.0.10"
ORDER = """\
router: {{asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}}
connections: {{fra-1: {{provider: generic, port: eth1, bandwidth: 10G}}}}
virtual_gateways: {{prod: {{vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}}}}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 0
    bandwidth: {rate}
    addresses: [{{customer: 10.255.101.2/30, cloud: 10.255.101.1}}]
    static: [10.20.0.0/16]
"""


class Line:
    """A LAN's host, the edge, a fibre, the cloud with a host's address on it; all untagged."""

    def __init__(self, work: Workspace, folder: Path) -> None:
        self.edge, self.host, self.cloud = (work.namespace(name) for name in ("edge", "host", "cloud"))
        self.folder = folder
        self.fibre: Fibre = fibre(Port(self.edge, "eth1"), Port(self.cloud, "fra-1"))
        connect_host(self.edge, "lan0", self.host, [ip_network("192.0.2.0/24")])
        self.cloud.ip(
            "address add 10.255.101.1/30 dev fra-1",
            f"address add {HOST_IN_THE_CLOUD}/32 dev lo",
            "route add default via 10.255.101.2",
        )
        self.cloud.popen("iperf3", "--server")

    def apply(self, rate: str) -> None:
        """Order this rate and have it applied; there is no FRR, whose part stays undone."""
        order = self.folder / "order.yaml"
        order.write_text(ORDER.format(rate=rate))
        places = {"ORDER": order, "STATE_DIR": self.folder / "state", "SOCKET": self.folder / "control.sock"}
        done = run(
            self.edge,
            "apply",
            {f"DCEDGE_{name}": str(path) for name, path in places.items()} | {"DCEDGE_FRR_PATHSPACE": "dcedge-none"},
        )
        assert "failed:" not in done.stdout + done.stderr, done.stdout + done.stderr


def run(namespace: Namespace, verb: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return namespace.run(str(COMMAND), verb, check=False, environment=os.environ | environment)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with Workspace() as work:
        made = Line(work, tmp_path_factory.mktemp("rate"))
        made.apply("50M")
        until("the cloud to answer", lambda: traffic.reaches(made.host, HOST_IN_THE_CLOUD))
        yield made


@pytest.mark.parametrize(("rate", "bits"), [("10M", 10e6), ("50M", 50e6), ("200M", 200e6)])
def test_tcp_gets_the_ordered_rate_and_no_more(line: Line, rate: str, bits: float) -> None:
    line.apply(rate)

    def measured() -> float:
        bps = traffic.saturate(line.host, [HOST_IN_THE_CLOUD], line.fibre.cloud, tags=0).bps
        assert bps < 1.01 * bits
        return bps

    # The tests that run beside may hold a sender up.
    until("the ordered rate", measured, 60, accept=lambda bps: bps > 0.9 * bits)
