"""A shaped virtual interface with a cloud behind it whose policer is known, for `dcedge measure` to find."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab.edge import COMMAND
from tests.lab.netns import Port, Workspace, fibre
from tests.lab.wait import until

POLICED_BPS, POLICED_BURST_BYTES = 19_000_000, 20_000
HOST = "10.20.0.10"
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


class PolicedLine:
    """The edge with one virtual interface shaped to 20 Mbit/s, and a cloud that polices it a little lower."""

    def __init__(self, work: Workspace, folder: Path) -> None:
        self.folder = folder
        self.edge, self.cloud = work.namespace("edge"), work.namespace("cloud")
        self.trunk = fibre(Port(self.edge, "eth1"), Port(self.cloud, "fra-1")).cloud
        self.cloud.ip(
            "link add link fra-1 name c101 type vlan id 101",
            "link set c101 up",
            "address add 10.255.101.1/30 dev c101",
            f"address add {HOST}/32 dev lo",
        )
        # A filter sees the frame without its header of 14 bytes.
        police = f"u32 match u32 0 0 police rate {POLICED_BPS}bit burst {POLICED_BURST_BYTES} overhead 14 drop"
        self.cloud.run("tc", "qdisc", "add", "dev", "fra-1", "ingress")
        self.cloud.run(*f"tc filter add dev fra-1 parent ffff: protocol all {police}".split())
        (folder / "order.yaml").write_text(ORDER)
        self.run("apply")
        until("ARP", lambda: self.edge.run("ping", "-c", "1", "-W", "1", "10.255.101.1", check=False).returncode == 0)

    def consent(self, seconds: int) -> str:
        """Have the cloud's host answer for so long; returns the token that it wants to see."""
        log = self.folder / "answer.log"
        self.cloud.popen(str(COMMAND), "measure", "--answer", HOST, "--for", str(seconds), log=log)
        told = until("the token", lambda: re.findall(r"token is (\w+)", log.read_text() if log.exists() else ""))
        return str(told[0])

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `dcedge` on the edge, to its end."""
        places = {"ORDER": "order.yaml", "STATE_DIR": "state", "SOCKET": "control.sock"}
        environment = os.environ | {f"DCEDGE_{name}": str(self.folder / place) for name, place in places.items()}
        environment["DCEDGE_FRR_PATHSPACE"] = "dcedge-none"
        return self.edge.run(str(COMMAND), *words, check=False, environment=environment)


def found(said: str) -> Sequence[float]:
    """Rate in bits a second and burst in bytes, from what `measure --json` printed."""
    figures = re.search(r'"rate_bps": ([\d.]+),\s*"burst_bytes": ([\d.]+)', said)
    assert figures is not None, said
    return [float(figure) for figure in figures.groups()]
