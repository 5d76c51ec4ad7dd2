"""The Vagrant lab as far as it can be judged without running it; tests/system runs its scripts."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from dcedge.order.load import parse_order

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "vagrant"


@pytest.mark.parametrize(
    "script", [*sorted(FOLDER.glob("provision/*.sh")), FOLDER / "make-box"], ids=lambda path: path.name
)
def test_scripts_are_bash_and_named_where_somebody_finds_them(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert script.stat().st_mode & 0o111
    others = [path for path in FOLDER.rglob("*") if path.is_file() and path != script]
    assert any(f"{script.parent.name}/{script.name}" in path.read_text() for path in others)


def test_the_edges_order_is_good() -> None:
    script = (FOLDER / "provision/edge.sh").read_text()
    found = re.search(r"echo '(agent: .*)'\n\s+cat (\S+)", script)
    assert found
    loaded = parse_order(f"{found[1]}\n{(ROOT / found[2]).read_text()}", "order.yaml")
    assert [warning.path for warning in loaded.warnings] == ["agent.listen"]  # open to the lab's network
    assert loaded.ended


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


# One setting of each provider's, misspelt: proof that it is the provider's own plugin that judges.
SLIPS = {"libvirt": ("box.driver", "box.drivr"), "virtualbox": ("box.customize", "box.custmize")}


def validate(provider: str, vagrantfile: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have Vagrant validate a Vagrantfile for a provider, with all that it keeps in a folder of its own."""
    project, programs = folder / "project", folder / "bin"
    project.mkdir()
    programs.mkdir()
    (project / "Vagrantfile").write_text(vagrantfile)
    (project / "provision").symlink_to(FOLDER / "provision")
    # VirtualBox is not in Debian. Vagrant asks it for no more than its version before it judges what is written for it.
    stand_in = programs / "VBoxManage"
    stand_in.write_text("#!/bin/sh\necho 6.1.40r154048\n")
    stand_in.chmod(0o755)
    return subprocess.run(
        ["vagrant", "validate"],
        cwd=project,
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "VAGRANT_HOME": str(folder / "home"),
            "VAGRANT_DEFAULT_PROVIDER": provider,
            "VAGRANT_CHECKPOINT_DISABLE": "1",  # it would ask the network for its newest version
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("provider", SLIPS)
def test_vagrant_finds_the_vagrantfile_valid_for_each_provider(provider: str, tmp_path: Path) -> None:
    done = validate(provider, (FOLDER / "Vagrantfile").read_text(), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


@pytest.mark.parametrize("provider", SLIPS)
def test_a_setting_that_the_provider_does_not_have_is_refused(provider: str, tmp_path: Path) -> None:
    right, wrong = SLIPS[provider]
    done = validate(provider, (FOLDER / "Vagrantfile").read_text().replace(right, wrong), tmp_path)
    assert done.returncode != 0
    assert wrong.removeprefix("box.") in done.stderr
