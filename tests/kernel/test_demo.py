"""The demo does what the README says of it, blames the machine for nothing but its own, and tidies up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.lab.bed import ORDERED_BPS
from tests.lab.demo import Measured, Row
from tests.lab.standstill import Standstill
from tests.lab.wait import until

IN_THE_SHELL = """\
dcedge plan && echo "the plan is empty"
cut_line fra-1
ip -br link show dev eth1
mend_line fra-1
vtysh -c 'show bgp summary'
echo one:two | cut -d: -f2
exit 7
"""
GOOD = Row("prod-a", 50e6, 50e6, Measured(49.8e6, 0.01, 0.4), 0.0001, "up", ("Established",))


def demo(*words: str, **variables: str) -> str:
    """Run the demo with what is typed into its shell, if it has one, to its good end; returns what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab.demo", *words],
        input=IN_THE_SHELL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "150", **variables},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Nothing is left behind" in said
    status = said[said.index("$ dcedge status") :]
    assert "everything as ordered" in status
    assert "not as ordered" not in status
    return said


def judge_shell(said: str) -> None:
    """It had dcedge at hand, its own FRR, and fibres to cut."""
    shell = said[said.index("You are on the edge router.") :]
    assert "the plan is empty" in shell
    assert "LOWERLAYERDOWN" in shell
    assert "10.255.101.1" in shell.split("LOWERLAYERDOWN")[1]
    assert "\ntwo\n" in shell


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_the_demo_shows_what_was_ordered_and_what_arrives_and_keeps_a_shell_where_asked_to() -> None:
    said = demo(KEEP="1")
    for name in ORDERED_BPS:
        rows = [line.split("│") for line in said.splitlines() if line.startswith(f"│ {name} ")]
        assert len(rows) == 1, said
        _, _, ordered, shaper, _, ratio, rtt, bgp, verdict, _ = (cell.strip() for cell in rows[0])
        assert ordered == shaper
        assert float(ratio) >= 0.98 or "The machine was busy" in said
        assert float(ratio) <= 1.02
        assert rtt.endswith(" ms")
        assert set(bgp.split(" + ")) == {"Established"}
        assert verdict == "up"
    assert "Everything is as ordered." in said
    judge_shell(said)


@pytest.mark.alone
@pytest.mark.timeout(240)
def test_the_shell_is_reached_without_measuring_and_leaving_it_is_success() -> None:
    said = demo("--shell")
    assert "measuring" not in said
    judge_shell(said)


BUSY = Measured(40e6, 0.15, 0.4)
AT_WORK = Measured(20e6, 0.01, 0.01)
NOT_THE_MACHINES_DOING: Mapping[str, tuple[Row, str]] = {
    "more came through": (replace(GOOD, measured=Measured(55e6, 0.3, 0.0)), "1.10 of what was ordered came through"),
    "the shaper has another rate": (replace(GOOD, shaper_bps=40e6, measured=BUSY), "shaper is set to 40 Mbit/s"),
    "the shaper has another rate, and there is no idle time": (
        replace(GOOD, shaper_bps=20e6, measured=AT_WORK),
        "shaper is set to 20 Mbit/s",
    ),
    "there is no shaper": (replace(GOOD, shaper_bps=None, measured=BUSY), "nothing in the kernel shapes it"),
    "less came through an idle machine": (replace(GOOD, measured=Measured(40e6, 0.01, 0.4)), "stood still for 1%"),
    "far less came through": (replace(GOOD, measured=Measured(20e6, 0.1, 0.4)), "only 0.40 of what was ordered"),
    "its session does not last": (replace(GOOD, measured=Measured(0.0, 0.6, 0.0)), "its session does not last"),
    "it is down": (replace(GOOD, verdict="down", sessions=("Active",), measured=BUSY), "it is down, BGP Active"),
    "a session is missing": (replace(GOOD, sessions=("Established", "Idle")), "BGP Established + Idle"),
}


@pytest.mark.native
@pytest.mark.parametrize(("row", "fault"), NOT_THE_MACHINES_DOING.values(), ids=NOT_THE_MACHINES_DOING)
def test_what_is_no_machines_doing_is_a_fault_however_busy_it_was(row: Row, fault: str) -> None:
    assert fault in row.fault


@pytest.mark.native
def test_what_is_missing_for_want_of_a_processor_is_no_fault() -> None:
    assert GOOD.fault == ""
    assert not GOOD.short
    for machine in (BUSY, AT_WORK):
        short = replace(GOOD, measured=machine)
        assert short.fault == ""
        assert short.short
    assert "at work for the rest of it" in AT_WORK.busy
    assert "at work" not in BUSY.busy


@pytest.mark.native
def test_a_standstill_is_counted() -> None:
    with Standstill() as standstill:
        standstill.counter.send_signal(signal.SIGSTOP)
        until("the counter to stand still", partial(state, standstill.counter.pid), accept=lambda seen: seen == "T")
        stopped = time.monotonic()
        until("some time to pass", lambda: time.monotonic() - stopped > 0.2)
        standstill.counter.send_signal(signal.SIGCONT)
    assert standstill.seconds > 0.2


def state(process: int) -> str:
    """The state of a process, as proc_pid_stat(5) has it."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
