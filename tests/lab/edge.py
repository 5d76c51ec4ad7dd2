"""The customer's edge router in the testbed: a namespace, a real FRR, a LAN with a host, and dcedge."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml

from dcedge.api.control.client import ControlClient
from dcedge.errors import NotRunningError
from tests.lab.frr import Frr
from tests.lab.netns import Fibre, Port, Workspace, connect_host, end, fibre
from tests.lab.prefork import Forked, Prefork
from tests.lab.wait import PATIENCE_SECONDS, until

COMMAND = Path(sys.executable).with_name("dcedge")
UNTAGGED_STATIC = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections: {fra-1: {provider: generic, port: eth1, bandwidth: 1G}}
virtual_gateways: {prod: {vpc: v, asn: 64512, accept: [10.20.0.0/16]}}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 0
    bandwidth: 50M
    addresses: [{customer: 198.51.100.2/30, cloud: 198.51.100.1}]
    static: [10.20.0.0/16]
"""  # the least that needs neither a tag nor BGP
LAN = ("192.0.2.0/24", "2001:db8:10::/48")


@cache
def prefork() -> Prefork:
    """The process that runs `dcedge` for this one."""
    return Prefork()


def written(order: Mapping[str, Any]) -> str:
    """An order as a file has it, with the end that the lab's other orders have: without it, it would count as cut."""
    return yaml.safe_dump(order, sort_keys=False, explicit_end=True)


@dataclass(frozen=True)
class Outcome:
    """How a run of the command line ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.stdout + self.stderr

    def json(self) -> Any:
        """What it printed under `--json`."""
        return json.loads(self.stdout)


class Edge:
    """The edge: `namespace` is the router, `host` a machine on its LAN."""

    def __init__(self, work: Workspace, order: str = "") -> None:
        self.folder = work.folder / "edge"
        self.state_dir = self.folder / "state"
        self.credentials = self.folder / "credentials"
        self.order = self.folder / "order.yaml"
        self.socket = self.folder / "control.sock"
        self.log = self.folder / "dcedge.log"
        self.transceivers = self.folder / "transceivers"
        self.speeds = self.folder / "speeds"
        self.folder.mkdir()
        self.credentials.mkdir(mode=0o700)
        self.order.write_text(order)
        self.namespace = work.namespace("edge")
        self.host = work.namespace("edge-host")
        self.frr = Frr(f"{work.token}-edge", self.namespace.name)
        work.at_end(self.frr.stop)
        self._daemon: subprocess.Popen[bytes] | Forked | None = None
        connect_host(self.namespace, "lan0", self.host, tuple(map(ip_network, LAN)))

    def host_address(self, version: int) -> str:
        """The address of the LAN's host, of IP version 4 or 6."""
        return next(str(ip_network(network)[10]) for network in LAN if ip_network(network).version == version)

    def plug(self, port: str, far_end: Port, mtu: int = 1500) -> Fibre:
        """Give the edge an optical port, its fibre ending at `far_end`."""
        return fibre(Port(self.namespace, port), far_end, mtu)

    def credential(self, name: str, secret: str) -> None:
        """Keep a secret where the order can name it."""
        path = self.credentials / name
        path.touch(mode=0o600)
        path.write_text(secret + "\n")

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which `dcedge` works on this edge and nothing else."""
        return {
            **os.environ,
            "PATH": f"{COMMAND.parent}:{os.environ.get('PATH', os.defpath)}",
            "DCEDGE_ORDER": str(self.order),
            "DCEDGE_SOCKET": str(self.socket),
            "DCEDGE_STATE_DIR": str(self.state_dir),
            "DCEDGE_CREDENTIALS": str(self.credentials),
            "DCEDGE_LISTEN": "127.0.0.1:9478",
            "DCEDGE_FRR_PATHSPACE": self.frr.name,
            "LAB_TRANSCEIVERS": str(self.transceivers),
            "LAB_SPEEDS": str(self.speeds),
        }

    def dcedge(self, *words: str, timeout: float = 180, environment: Mapping[str, str] | None = None) -> Outcome:
        """Run `dcedge` with these words on the edge, to its end."""
        done = prefork().run(self.namespace.path, words, {**self.environment, **(environment or {})}, timeout)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def apply_whatever_goes(self) -> Outcome:
        """`dcedge apply`, having counted how many virtual interfaces of those that `status` shows will go."""
        left = yaml.safe_load(self.order.read_text())["virtual_interfaces"]
        return self.dcedge("apply", "--allow-removal", str(len(self.virtual_interfaces().keys() - left.keys())))

    def status(self) -> dict[str, Any]:
        """What `dcedge status --json` prints, without the second that the command takes in the lab kernel.

        Empty while the daemon does not answer.
        """
        try:
            return dict(ControlClient(self.socket).status())
        except NotRunningError:
            return {}

    def virtual_interfaces(self) -> dict[str, dict[str, Any]]:
        """The virtual interfaces of `status`, by name."""
        return {vi["name"]: vi for vi in self.status().get("virtual_interfaces", [])}

    def verdict(self, name: str) -> tuple[str, str, str, str]:
        """State, layer, side and reason of the verdict on a virtual interface; empty while there is none."""
        vi = self.virtual_interfaces().get(name, {})
        return vi.get("verdict", ""), vi.get("layer", ""), vi.get("side", ""), vi.get("reason", "")

    def wait_up(self, *names: str, timeout: float = PATIENCE_SECONDS) -> dict[str, dict[str, Any]]:
        """Wait until the named virtual interfaces are `up` and all their sessions established."""

        def seen() -> dict[str, tuple[str, str, list[str]]]:
            self.raise_if_ended()
            return {
                name: (vi["verdict"], vi["reason"], [session["state"] for session in vi["bgp"]])
                for name, vi in self.virtual_interfaces().items()
            }

        def up(states: dict[str, tuple[str, str, list[str]]]) -> bool:
            return all(
                name in states and states[name][0] == "up" and set(states[name][2]) <= {"Established"} for name in names
            )

        until(f"{', '.join(names)} to be up", seen, timeout, accept=up)
        return self.virtual_interfaces()

    @property
    def running(self) -> bool:
        """Whether the daemon that `start_daemon` started still runs."""
        return self._daemon is not None and self._daemon.poll() is None

    def raise_if_ended(self) -> None:
        """Fail where the daemon has ended by itself."""
        if self._daemon is not None and self._daemon.poll() is not None:
            raise AssertionError(f"dcedge run ended by itself with status {self._daemon.returncode}")

    def log_end(self, lines: int = 40) -> str:
        """The last lines of the daemon's log."""
        if not self.log.exists():
            return "(none)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def start_daemon(self, *, forked: bool = True) -> None:
        """Start `dcedge run` and wait until it answers `status`. Not `forked`: as a service manager starts it."""
        if forked:
            with self.log.open("ab") as output:
                self._daemon = prefork().start(self.namespace.path, ("run",), self.environment, output, output)
        else:
            self._daemon = self.namespace.popen(str(COMMAND), "run", log=self.log, environment=self.environment)

        def answers() -> dict[str, Any]:
            self.raise_if_ended()
            return self.status()

        until("the daemon to answer", answers)

    def stop_daemon(self) -> int:
        """Stop the daemon as a service manager does; returns its exit status. Fine when it does not run."""
        return self._end_daemon(signal.SIGTERM)

    def kill_daemon(self) -> None:
        """SIGKILL the daemon."""
        self._end_daemon(signal.SIGKILL)

    def reload_daemon(self) -> None:
        """Have the daemon read its order again (SIGHUP)."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGHUP)

    def signal_daemon(self, number: signal.Signals) -> None:
        """Send the daemon a signal: SIGSTOP keeps it from everything, SIGCONT has it go on."""
        assert self._daemon is not None
        self._daemon.send_signal(number)

    def forget(self) -> None:
        """Remove the daemon's memory: state folder and log."""
        shutil.rmtree(self.state_dir, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def _end_daemon(self, how: signal.Signals) -> int:
        process, self._daemon = self._daemon, None
        return 0 if process is None else end(process, how)
