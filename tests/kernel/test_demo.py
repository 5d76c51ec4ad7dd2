"""The demo does what the README says of it, and tidies up."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.lab.bed import ORDERED_BPS

IN_THE_SHELL = """\
dcedge plan && echo "the plan is empty"
cut fra-1
ip -br link show dev eth1
splice fra-1
vtysh -c 'show bgp summary'
"""


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_the_demo_shows_what_was_ordered_and_its_shell_has_dcedge_at_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab.demo", "--shell"],
        input=IN_THE_SHELL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "150"},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for name in ORDERED_BPS:
        rows = [line.split("│") for line in said.splitlines() if line.startswith(f"│ {name} ")]
        assert len(rows) == 1, said
        _, _, _, _, ratio, rtt, bgp, verdict, _ = (cell.strip() for cell in rows[0])
        assert abs(float(ratio) - 1) <= 0.02
        assert rtt.endswith(" ms")
        assert set(bgp.split(" + ")) == {"Established"}
        assert verdict == "up"
    assert "the plan is empty" in said
    assert "eth1" in said
    assert "LOWERLAYERDOWN" in said
    assert "10.255.101.1" in said.split("LOWERLAYERDOWN")[1]
    assert "Nothing is left behind" in said
