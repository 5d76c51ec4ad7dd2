"""The lab of vagrant/: its machines are provisioned by their own scripts, then its README's five things are tried.

One story: each test goes on from the last. What the README says that a command prints is what it has to print here, but
for figures that are another every time.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.lab.wait import until
from tests.system.machines import Machines, Said, Step, transcript
from tests.system.router import ROOT

pytestmark = pytest.mark.timeout(400)

README = (ROOT / "vagrant/README.md").read_text()
QUESTIONS = (
    "dcedge status",
    "dcedge explain",
    "dcedge plan",
    "ip route get",
    "birdc show",
    "promtool query",
    "tc ",
    "ip -br",
)
PATIENCE_SECONDS = 120.0
# What the lab kernel's missing nftables adds.
UNGUARDED = "isolation and guard are not in force"
VARYING = (  # what is another every time, or in this kernel, and what stands for it
    (rf"^not as ordered: {UNGUARDED}$", "everything as ordered"),
    (rf" {UNGUARDED};", ""),
    (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
    (r"\b\d+(\.\d+)? (ms|s)\b|\b(\d+[dhm])+(\d+s)?\b|@\[[\d.]+\]|\b\d\d:\d\d:\d\d(\.\d+)?\b", "TIME"),
    (r"(\d+M) \S+ \S+ TIME \S+%", r"\1 IN OUT TIME LOSS"),
    (r"TIME \d+(\.\d+)?%", "TIME LOSS"),
    (r"dcedge \d\S*", "dcedge VERSION"),
    (r"changed \d+ times", "changed TIMES"),
)


def shape(text: str) -> list[str]:
    """A command's output without what is another every time."""
    lines = [" ".join(line.split()) for line in text.splitlines() if not line.startswith("NOT ISOLATED: ")]
    for pattern, instead in VARYING:
        lines = [re.sub(pattern, instead, line) for line in lines]
    return lines


def tried(machines: Machines, heading: str) -> Mapping[str, str]:
    """Try one of the README's sections; returns what each of its commands printed last.

    A question is asked until the answer is the README's: whoever types takes a while, too.
    """
    text = re.search(rf"^### {heading}$(.*?)(^### |\Z)", README, re.MULTILINE | re.DOTALL)
    assert text, heading
    printed: dict[str, str] = {}
    with Path(os.environ["LAB_OUT"], "README.transcript").open("a") as record:
        for step in transcript(text[1]):
            said = answer(machines, step) if step.script.startswith(QUESTIONS) else done(machines, step)
            more = step.script.replace("\n", "\n> ")
            record.write(f"{step.machine}# {more}\n{said.text}")
            printed[step.script] = said.text
    return printed


def done(machines: Machines, step: Step) -> Said:
    """Do something, once."""
    said = machines.on(step.machine, step.script)
    assert said.status == 0, f"{step.script}: status {said.status}\n{said.text}"
    assert shape(said.text) == shape("\n".join(step.recorded)), said.text
    return said


def answer(machines: Machines, step: Step) -> Said:
    """Ask until the answer has the recorded shape."""
    return until(
        f"`{step.script}` to print what the README has",
        lambda: machines.on(step.machine, step.script),
        PATIENCE_SECONDS,
        accept=lambda said: shape(said.text) == shape("\n".join(step.recorded)),
    )


def everything_is_up(machines: Machines) -> bool:
    """Whether every virtual interface is up."""
    said = machines.on("edge", "dcedge status --json")
    interfaces = json.loads(said.text)["virtual_interfaces"] if said.status == 0 else []
    return len(interfaces) >= 3 and all(interface["verdict"] == "up" for interface in interfaces)


def established(machines: Machines) -> dict[str, int]:
    """How often each session has been established, as the edge's bgpd counts."""
    neighbours = json.loads(machines.on("edge", "vtysh -c 'show bgp neighbors json'").text)
    return {peer: facts["connectionsEstablished"] for peer, facts in neighbours.items() if "." in peer or ":" in peer}


def test_each_machine_is_provisioned_by_its_own_script(machines: Machines) -> None:
    """Some twice, as by `vagrant provision`.

    The cloud's stops an FRR that is not its own: on one systemd with the edge it has to come first, both times.
    """
    for name in ("cloud", "cloud", "edge", "monitor", "monitor"):
        machines.provision(name)
    until("everything to be up", lambda: everything_is_up(machines), PATIENCE_SECONDS)
    assert machines.on("edge", "dcedge plan").status == 0


def test_look(machines: Machines) -> None:
    tried(machines, "Look")


def test_cut_the_fibre(machines: Machines) -> None:
    tried(machines, "Cut the fibre")
    until("everything to be up", lambda: everything_is_up(machines), PATIENCE_SECONDS)


def test_drain_a_line(machines: Machines) -> None:
    before = established(machines)
    tried(machines, "Drain a line")
    assert established(machines) == before
    assert "dev would be left without a path" in machines.on("edge", "dcedge drain fra-2").text


def test_resize(machines: Machines) -> None:
    before = established(machines)
    printed = tried(machines, "Resize")
    assert "1 operation (1 to change); disruption: none." in printed["dcedge plan"]
    assert established(machines) == before
    assert machines.on("edge", "dcedge plan").status == 0


def test_add_a_virtual_interface(machines: Machines) -> None:
    before = established(machines)
    tried(machines, "Add a virtual interface")
    after = established(machines)
    assert {peer: after[peer] for peer in before} == before
    assert after.keys() - before.keys() == {"10.255.202.1"}
