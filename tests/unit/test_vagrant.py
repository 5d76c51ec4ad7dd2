"""The Vagrant lab as far as it can be judged without virtual machines; tests/system runs what sets FRR up."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dcedge.order.load import parse_order

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "vagrant"


@pytest.mark.parametrize("script", sorted(FOLDER.glob("provision/*.sh")), ids=lambda path: path.name)
def test_provisioning_scripts_are_bash_and_named_in_the_vagrantfile_or_by_another(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert script.stat().st_mode & 0o111
    others = [path for path in FOLDER.rglob("*") if path.is_file() and path != script]
    assert any(f"provision/{script.name}" in path.read_text() for path in others)


def test_the_edges_order_is_good() -> None:
    script = (FOLDER / "provision/edge.sh").read_text()
    found = re.search(r"cat (\S+)\n\s+echo '(agent: .*)'", script)
    assert found
    loaded = parse_order(f"{(ROOT / found[1]).read_text()}{found[2]}\n", "order.yaml")
    assert [warning.path for warning in loaded.warnings] == ["agent.listen"]  # open to the lab's network


def test_the_clouds_ends_fit_the_order() -> None:
    """Each address, VLAN, AS number and password of the order stands in the cloud's script."""
    script = (FOLDER / "provision/cloud.sh").read_text()
    order = parse_order((ROOT / "tests/lab/demo-order.yaml").read_text(), "order.yaml").order
    ports = {connection: order.connections[connection].port for connection in order.connections}
    for interface in order.virtual_interfaces.values():
        assert re.search(rf"{ports[interface.connection]} (name dev\.\d+ type vlan id )?{interface.vlan}\b", script)
        for pair in interface.addresses:
            assert f"{pair.cloud}" in script
            assert re.search(rf"neighbor {re.escape(str(pair.customer).partition('/')[0])} ", script)
        assert str(order.virtual_gateways[interface.virtual_gateway].asn) in script


@pytest.mark.skipif(not shutil.which("ruby"), reason="ruby judges")
def test_the_vagrantfile_is_ruby() -> None:
    assert subprocess.run(["ruby", "-c", FOLDER / "Vagrantfile"], capture_output=True, check=False).returncode == 0
