"""`dcedge measure` against a cloud whose policer is known."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.edge import COMMAND
from tests.lab.netns import Port, Workspace, fibre, received
from tests.lab.wait import until

ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1}
connections: {fra-1: {provider: generic, port: eth1, bandwidth: 1G}}
virtual_gateways: {prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 101
    bandwidth: 20M
    addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}]
    static: [10.20.0.0/16]
"""
VOLUME = 3_000_000


class Line:
    """The edge with one shaped virtual interface, and a cloud that polices it at 19 Mbit/s with 20,000 bytes."""

    def __init__(self, work: Workspace, folder: Path) -> None:
        self.folder = folder
        self.edge, self.cloud = work.namespace("edge"), work.namespace("cloud")
        self.trunk = fibre(Port(self.edge, "eth1"), Port(self.cloud, "fra-1")).cloud
        self.cloud.ip(
            "link add link fra-1 name c101 type vlan id 101",
            "link set c101 up",
            "address add 10.255.101.1/30 dev c101",
            "address add 10.20.0.10/32 dev lo",
        )
        # A filter sees the frame without its header of 14 bytes.
        police = "u32 match u32 0 0 police rate 19mbit burst 20000 overhead 14 drop"
        self.cloud.run("tc", "qdisc", "add", "dev", "fra-1", "ingress")
        self.cloud.run(*f"tc filter add dev fra-1 parent ffff: protocol all {police}".split())
        (folder / "order.yaml").write_text(ORDER)
        self.run("apply")
        until("ARP", lambda: self.edge.run("ping", "-c", "1", "-W", "1", "10.255.101.1", check=False).returncode == 0)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        places = {"ORDER": "order.yaml", "STATE_DIR": "state", "SOCKET": "control.sock"}
        environment = os.environ | {f"DCEDGE_{name}": str(self.folder / place) for name, place in places.items()}
        environment["DCEDGE_FRR_PATHSPACE"] = "dcedge-none"
        return self.edge.run(str(COMMAND), *words, check=False, environment=environment)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with Workspace() as work:
        yield Line(work, tmp_path_factory.mktemp("measure"))


def test_the_policer_is_found_with_consent_and_within_the_volume(line: Line) -> None:
    log = line.folder / "answer.log"
    line.cloud.popen(str(COMMAND), "measure", "--answer", "10.20.0.10", "--for", "60", log=log)
    token = until("the token", lambda: re.findall(r"token is (\w+)", log.read_text() if log.exists() else ""))[0]
    words = ("measure", "prod-a", "--to", "10.20.0.10", "--volume", "3M")
    before = received(line.trunk)
    for refused in ((*words, "--token", token), (*words, "--yes"), (*words, "--token", "00" * 8, "--yes")):
        assert line.run(*refused).returncode == 1
    assert received(line.trunk).bytes - before.bytes < 10_000, "something was sent without --yes or consent"
    before = received(line.trunk)
    done = line.run(*words, "--token", token, "--yes", "--json")
    sent = received(line.trunk)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r'"rate_bps": ([\d.]+),\s*"burst_bytes": ([\d.]+)', done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) == pytest.approx(19e6, rel=0.02)
    # A sender that other tests hold up loses of the burst what the bucket gets back meanwhile.
    assert 10_000 < float(found[2]) < 23_000
    assert sent.bytes - before.bytes < VOLUME * 1.01
    assert "less than what is ordered" in line.run(*words, "--token", token, "--yes").stdout
