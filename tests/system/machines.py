"""The three machines of vagrant/ as far as one kernel can be them: each has a network, all share systemd and the files.

This machine itself is the edge; `cloud` and `monitor` are network namespaces, in which run the units that their scripts
start. The scripts are those that Vagrant runs, as they are.

cloud ═ eth1 ═ fra-1 ═ eth1 ═ edge ─ eth3 ─ 192.168.61.0/24 ─ eth1 ─ monitor
      ═ eth2 ═ fra-2 ═ eth2 ═
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.netns import Namespace, Port, Workspace, fibre
from tests.system.router import ROOT, ThisMachine, journal, package, systemctl

SHARED = Path("/dcedge")  # where Vagrant puts the project
OUTSIDE = ip_network("192.168.61.0/24")
UNITS = {"cloud": "bird.service", "monitor": "prometheus.service"}  # what a script starts and has to run over there
PROVISION_SECONDS = 240.0
COMMAND_SECONDS = 120.0


@dataclass(frozen=True)
class Said:
    """A command on one of the machines, and what came of it."""

    status: int
    text: str


class Machines:
    """The machines as Vagrant hands them to their scripts; leaving it takes the networks away."""

    def __init__(self) -> None:
        self.work = Workspace()
        try:
            self._build()
        except BaseException:
            self.work.close()
            raise

    def _build(self) -> None:
        edge = self.work.enter(ThisMachine(f"{self.work.token}-edge"))
        self.machines: dict[str, Namespace] = {
            "edge": edge,
            "cloud": self.work.namespace("cloud"),
            "monitor": self.work.namespace("monitor"),
        }
        for port in ("eth1", "eth2"):
            fibre(Port(edge, port), Port(self.machines["cloud"], port))
        fibre(Port(edge, "eth3"), Port(self.machines["monitor"], "eth1"))
        edge.ip(f"address add {OUTSIDE[2]}/{OUTSIDE.prefixlen} dev eth3")
        self.machines["monitor"].ip(f"address add {OUTSIDE[4]}/{OUTSIDE.prefixlen} dev eth1")
        socket.sethostname("edge")
        for name, unit in UNITS.items():
            drop_in = Path(f"/run/systemd/system/{unit}.d/machine.conf")
            drop_in.parent.mkdir(parents=True)
            drop_in.write_text(f"[Service]\nNetworkNamespacePath={self.machines[name].path}\n")
        systemctl("daemon-reload")
        self._share()
        # Where nothing answers there is no use in asking thrice; and what nothing opens takes the lab 10 ms a file.
        # Nobody reads a manual here; an index of them would have every page opened, and open files are limited.
        Path("/var/lib/man-db/auto-update").unlink(missing_ok=True)
        Path("/etc/apt/apt.conf.d/lab").write_text('Acquire::Retries "0";\n')
        left_out = "path-exclude=/usr/lib/dcedge/lib/*/site-packages/pygments/lexers/*"
        Path("/etc/dpkg/dpkg.cfg.d/lab").write_text(f"force-unsafe-io\n{left_out}\n")

    def _share(self) -> None:
        """The project as Vagrant's rsync would bring it, with the one package that `make deb` builds."""
        (SHARED / "build/deb").mkdir(parents=True)
        for folder in ("config", "tests", "vagrant"):
            (SHARED / folder).symlink_to(ROOT / folder)
        shutil.copy(package(), SHARED / "build/deb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for unit in ("dcedge.service", *UNITS.values(), "frr@dev.service", "frr.service"):
            systemctl("stop", unit, check=False)
        self.work.close()

    def provision(self, name: str) -> str:
        """Run a machine's script as Vagrant does; returns what it printed."""
        said = self.on(name, str(SHARED / f"vagrant/provision/{name}.sh"), timeout=PROVISION_SECONDS)
        assert said.status == 0, f"{name}.sh: status {said.status}\n{said.text}"
        return said.text

    def on(self, name: str, script: str, *, timeout: float = COMMAND_SECONDS) -> Said:
        """Have root's shell on a machine run something, to its end.

        Not by `ip netns exec`: what its commands mount (the name of a namespace, say) nobody else would see.
        """
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DCEDGE_")}
        done = subprocess.run(
            ["nsenter", f"--net={self.machines[name].path}", "bash", "-c", script],
            cwd="/root",
            env={**environment, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )
        return Said(done.returncode, done.stdout)

    def report(self) -> str:
        """For whoever looks for the reason of a failure: the journal of every unit, the sessions at either end."""
        parts = [f"--- {unit}\n{journal('-n', '20', unit=unit)}" for unit in ("dcedge.service", *UNITS.values())]
        for name, asked in (("edge", "vtysh -c 'show bgp summary'"), ("cloud", "birdc show protocols")):
            parts.append(f"--- {name}: {asked}\n{self.on(name, asked).text}")
        return "\n".join(parts)


@dataclass
class Step:
    """A command of the README's, with what the README says that it prints."""

    machine: str
    script: str
    recorded: list[str]


def transcript(text: str) -> list[Step]:
    """The commands in the blocks that show a terminal: `edge# COMMAND`, `> more of it`, what it prints."""
    steps: list[Step] = []
    for block in text.split("```")[1::2]:
        for line in block.splitlines()[1:]:
            machine, prompt, rest = line.partition("# ")
            if prompt and machine.isalpha():
                steps.append(Step(machine, rest, []))
            elif line.startswith("> ") and not steps[-1].recorded:
                steps[-1].script += f"\n{line.removeprefix('> ')}"
            else:
                steps[-1].recorded.append(line)
    return steps
