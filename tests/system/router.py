"""The testbed with the installed package as its edge: this machine is the router, systemd runs what runs on it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.lab import traffic
from tests.lab.bed import ORDER, Bed
from tests.lab.edge import LAN, Edge, Outcome, written
from tests.lab.netns import Fibre, Namespace, Port, Workspace, connect_host, execute, fibre
from tests.lab.wait import until

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build/deb"
DEPOT = "10.40.0.1"
EVERY = ("prod-a", "prod-b", "dev-a", "depot-a")  # what `order()` orders; the depot's needs no FRR


class ThisMachine(Namespace):
    """The network namespace that this machine itself is in, under a name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes = []
        self._thread = None
        execute("ip", "netns", "attach", name, "1")

    def delete(self) -> None:
        """Take the name away again."""
        if self._thread is not None:
            self._thread.shutdown()
        execute("ip", "netns", "delete", self.name)


class SystemFrr:
    """The machine's own FRR."""

    name = ""

    def stop(self) -> None:
        """Nothing: systemd sees to it."""

    def vtysh(self, *commands: str) -> str:
        """What vtysh prints for the commands."""
        return execute("vtysh", *(part for command in commands for part in ("-c", command))).stdout

    def json(self, command: str) -> Any:
        """The JSON that FRR answers to a `show … json`."""
        return json.loads(self.vtysh(command))


class InstalledEdge(Edge):
    """What the package installs, at the places where it looks."""

    def __init__(self, work: Workspace) -> None:
        self.folder = work.folder / "edge"
        self.folder.mkdir()
        self.state_dir = Path("/var/lib/dcedge")
        self.credentials = Path("/etc/dcedge/credentials")
        self.order = Path("/etc/dcedge/order.yaml")
        self.socket = Path("/run/dcedge/control.sock")
        self.log = Path("/dev/null")
        self.namespace = work.enter(ThisMachine(f"{work.token}-this"))
        self.host = work.namespace("edge-host")
        self.frr = SystemFrr()  # type: ignore[assignment]  # as much of it as is asked for here
        self._daemon = None
        connect_host(self.namespace, "lan0", self.host, networks())

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("DCEDGE_")}

    def dcedge(self, *words: str, timeout: float = 60, environment: Mapping[str, str] | None = None) -> Outcome:
        """Run the installed `dcedge` with these words, to its end."""
        told = {**self.environment, **(environment or {})}
        done = execute("/usr/bin/dcedge", *words, check=False, timeout=timeout, environment=told)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def credential(self, name: str, secret: str) -> None:
        """Nothing before the package is there: the folder is its."""
        if self.credentials.exists():
            super().credential(name, secret)

    def log_end(self, lines: int = 40) -> str:
        return journal("-n", str(lines))

    def stop_daemon(self) -> int:
        return systemctl("stop", "dcedge.service", check=False).returncode  # which may be gone with the package


class Router(Bed):
    """The standard testbed around this machine, and a depot behind a static virtual interface on a port of its own."""

    def __init__(self) -> None:
        super().__init__(edge_frr=False)
        execute(str(ROOT / "vagrant/provision/frr.sh"))
        # All of FRR may take longer to start here than the 20 s after which watchfrr would start it once more.
        with Path("/etc/frr/daemons").open("a") as daemons:
            daemons.write('watchfrr_options="--restart-timeout 90"\n')
        # The story starts it more often than a router does, which systemd would take for a fault.
        often = Path("/run/systemd/system/frr.service.d/often.conf")
        often.parent.mkdir(parents=True)
        often.write_text("[Unit]\nStartLimitIntervalSec=0\n")
        systemctl("daemon-reload")
        self.depot = self.work.namespace("depot")
        self.depot.ip(f"address add {DEPOT}/32 dev lo")
        self.plug_depot()

    def _make_edge(self) -> Edge:
        return InstalledEdge(self.work)

    def plug_depot(self) -> Fibre:
        """Lay the fibre to the depot: the port appears."""
        laid = fibre(Port(self.edge.namespace, "eth3"), Port(self.depot, "trunk"))
        self.depot.ip(
            "link add link trunk name depot type vlan id 203",
            "link set dev depot up",
            "address add 10.255.203.1/30 dev depot",
            "route add 192.0.2.0/24 via 10.255.203.2",
        )
        return laid

    def unplug_depot(self) -> None:
        """Take the port away."""
        self.depot.ip("link delete dev trunk")


def networks() -> tuple[Any, ...]:
    """The LAN's."""
    from ipaddress import ip_network

    return tuple(map(ip_network, LAN))


def order(**changes: dict[str, Any]) -> str:
    """The standard order with the depot; `changes` to virtual interfaces, by name with `_` for `-`."""
    data: dict[str, Any] = yaml.safe_load(ORDER.read_text())
    data["virtual_interfaces"]["prod-a"]["bgp"]["graceful_restart"] = True
    data["connections"]["fra-3"] = {"provider": "otc", "port": "eth3", "bandwidth": "1G"}
    data["virtual_gateways"]["depot"] = {"vpc": "vpc-depot", "asn": 64515, "accept": ["10.40.0.0/16"]}
    data["virtual_interfaces"]["depot-a"] = {
        "connection": "fra-3",
        "virtual_gateway": "depot",
        "vlan": 203,
        "bandwidth": "100M",
        "addresses": [{"customer": "10.255.203.2/30", "cloud": "10.255.203.1"}],
        "static": ["10.40.0.0/16"],
    }
    for name, change in changes.items():
        data["virtual_interfaces"][name.replace("_", "-")] |= change
    return written(data)


def systemctl(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run systemctl; what failed is shown with the unit's journal."""
    done = execute("systemctl", *words, check=False, timeout=120)
    if check and done.returncode:
        raise AssertionError(f"systemctl {' '.join(words)}: {done.stdout}{done.stderr}\n{journal('-n', '40')}")
    return done


def show(name: str, unit: str = "dcedge.service") -> str:
    """One of a unit's properties."""
    return systemctl("show", "--value", "-p", name, unit).stdout.strip()


def journal(*words: str, unit: str = "dcedge.service") -> str:
    """What the journal has of a unit."""
    return execute("journalctl", "-q", "--no-pager", "-o", "cat", "-u", unit, *words).stdout


def cursor() -> str:
    """The journal's end, to read on from."""
    said = execute("journalctl", "-q", "--no-pager", "-n", "1", "--show-cursor").stdout
    return said.rpartition("-- cursor: ")[2].strip()


def wait_for_new_process(before: str) -> str:
    """Wait until the service is active in another process than `before`, whose ID is returned."""
    states = until(
        "the agent to be started again",
        lambda: (show("ActiveState"), show("MainPID")),
        60,
        accept=lambda seen: seen[0] == "active" and seen[1] not in {"0", before},
    )
    return states[1]


@contextlib.contextmanager
def nothing_lost(
    router: Router, target: str, host: Namespace, *, source: Namespace | None = None, port: int = 5301
) -> Iterator[None]:
    """A thousand packets a second through a virtual interface, of which none may be missing.

    From the LAN unless `source` says otherwise; streams at the same time need a `port` each.
    """
    source = source or router.edge.host
    until(f"an answer from {target}", lambda: traffic.reaches(source, target))
    with traffic.udp_stream(source, host, target, packets_per_second=1000, port=port) as stream:
        yield
    assert stream.sent > 200
    assert (stream.lost, stream.reordered, stream.duplicated) == (0, 0, 0), stream


def uptimes(router: Router) -> dict[str, int]:
    """How often each of the clouds' sessions has been established, as the edge's bgpd counts."""
    neighbours = router.edge.frr.json("show bgp neighbors json")
    return {peer: facts["connectionsEstablished"] for peer, facts in neighbours.items() if "." in peer or ":" in peer}


def package(*, newer: bool = False) -> Path:
    """The package that was built for this Debian, or the same with a higher version number."""
    release = platform.freedesktop_os_release()["VERSION_ID"]
    (built,) = (BUILT / "next" if newer else BUILT).glob(f"dcedge_*~deb{release}_*.deb")
    return built


def install(path: Path) -> None:
    """Install a package as an operator does, but for what the agent never opens: each file takes the lab 10 ms."""
    left_out = [f"--path-exclude=/usr/lib/dcedge/lib/*/site-packages/{name}/*" for name in ("scapy", "pygments/lexers")]
    execute("dpkg", "--force-unsafe-io", *left_out, "-i", str(path), timeout=180)
