"""The systemd units, as far as they can be judged without being run; tests/system runs them."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SERVICES = ("dcedge.service", "dcedge-rollback.service")
EXPOSURE_MAX = 2.2
# What only the daemon has: its state of life, its socket, its passwords.
DAEMONS_OWN = {
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "TimeoutStartSec", "TimeoutStopSec", "WatchdogSec",
    "WatchdogSignal", "Restart", "RestartSec", "RestartPreventExitStatus", "RuntimeDirectory", "RuntimeDirectoryMode",
    "ConfigurationDirectory", "ConfigurationDirectoryMode", "LoadCredential", "LimitNOFILE",
    "AmbientCapabilities", "CapabilityBoundingSet",
}  # fmt: skip


def section(unit: str, name: str) -> list[tuple[str, str]]:
    """A section's settings in their order; the same may come twice."""
    text = (UNITS / unit).read_text().partition(f"[{name}]\n")[2].partition("\n[")[0]
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze judges")
@pytest.mark.parametrize("unit", SERVICES)
def test_the_sandbox_is_as_tight_as_the_work_allows(unit: str) -> None:
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / unit)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", said)
    assert found, said
    assert float(found[1]) <= EXPOSURE_MAX


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze judges")
def test_systemd_has_nothing_to_say_against_any_unit(tmp_path: Path) -> None:
    """What the package installs is not here: the programs are stood in for."""
    units = [path for path in UNITS.iterdir() if path.suffix in {".service", ".path"}]
    for unit in units:
        (tmp_path / unit.name).write_text(re.sub(r"/usr/bin/dcedge|/usr/lib/dcedge/\S+", "/bin/true", unit.read_text()))
    words = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit.name) for unit in units)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_whoever_rolls_back_is_confined_as_the_daemon_is() -> None:
    daemon, guard = (
        [(key, value) for key, value in section(unit, "Service") if key not in DAEMONS_OWN] for unit in SERVICES
    )
    assert guard == daemon


def test_only_who_sends_probes_may_send_raw_packets_and_nobody_speaks_ethernet() -> None:
    daemon, guard = (dict(section(unit, "Service")) for unit in SERVICES)
    for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert (daemon[key], guard[key]) == ("CAP_NET_ADMIN CAP_NET_RAW", "CAP_NET_ADMIN")
    assert "AF_PACKET" not in daemon["RestrictAddressFamilies"].split()


@pytest.mark.parametrize("unit", SERVICES)
def test_bgpd_outlives_the_agent_where_memory_runs_out_and_no_password_gets_into_a_core(unit: str) -> None:
    said = dict(section(unit, "Service"))
    assert int(said["OOMScoreAdjust"]) > 0, "bgpd's"
    assert said["MemoryMax"].endswith("M")
    assert said["LimitCORE"] == "0"


def test_every_unit_can_be_read() -> None:
    for path in UNITS.rglob("*.*"):
        if path.is_file() and path.suffix in {".service", ".path"}:
            parser = configparser.ConfigParser(strict=False, interpolation=None)
            parser.optionxform = str  # type: ignore[assignment,method-assign]
            parser.read(path)
            assert "Description" in parser["Unit"], path
