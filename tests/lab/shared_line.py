"""A fibre whose rate several virtual interfaces share: orders for it, and the line itself."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network

from tests.lab import traffic
from tests.lab.edge import COMMAND
from tests.lab.netns import Port, Workspace, connect_host, end, fibre, received
from tests.lab.wait import until

HEAD = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
virtual_gateways: {prod: {vpc: vpc-prod, asn: 64512, accept: [{prefix: 10.20.0.0/16, le: 24}]}}
"""
CIRCUIT = HEAD + (
    "connections:\n"
    "  fra-3: {provider: generic, port: eth1, bandwidth: 10G}\n"
    "  er-1: {provider: generic, over: fra-3, outer: 10, protocol: 802.1ad, bandwidth: 20M}\n"
    "virtual_interfaces:\n"
)
OVERSUBSCRIBED = HEAD + (
    "connections:\n  fra-1: {provider: generic, port: eth1, bandwidth: 20M, oversubscribe: true}\nvirtual_interfaces:\n"
)
PORT = "connections: {fra-1: {provider: generic, port: eth1, bandwidth: 1G}}\nvirtual_interfaces:\n"


def interface(name: str, connection: str, vlan: int, extra: str = "") -> str:
    """A virtual interface, to go behind one of the orders above; `extra` ends with a comma."""
    return (
        f"  {name}: {{connection: {connection}, virtual_gateway: prod, vlan: {vlan}, {extra}"
        f"addresses: [{{customer: 10.255.{vlan}.1/30, cloud: 10.255.{vlan}.2}}], static: [10.20.{vlan}.0/24]}}\n"
    )


class SharedLine:
    """A LAN's host, the edge, one fibre, the cloud with a host behind each virtual interface."""

    def __init__(self, work: Workspace) -> None:
        self.folder = work.folder
        self.edge, self.host, self.cloud = (work.namespace(name) for name in ("edge", "host", "cloud"))
        self.trunk = fibre(Port(self.edge, "eth1"), Port(self.cloud, "trunk")).cloud
        connect_host(self.edge, "lan0", self.host, [ip_network("192.0.2.0/24")])
        self.cloud.ip("link add link trunk name c10 type vlan proto 802.1ad id 10", "link set c10 up")
        for below, vlans in (("c10", (101, 102)), ("trunk", (201, 202))):
            for vlan in vlans:
                self.cloud.ip(
                    f"link add link {below} name c{vlan} type vlan id {vlan}",
                    f"link set c{vlan} up",
                    f"address add 10.255.{vlan}.2/30 dev c{vlan}",
                    f"address add 10.20.{vlan}.10/32 dev c{vlan}",
                )

    def apply(self, order: str) -> None:
        """Have an order applied; there is no FRR. It gets YAML's end, as it may be the beginning of the one before."""
        path = self.folder / "order.yaml"
        path.write_text(order + "...\n")
        places = {"ORDER": path, "STATE_DIR": self.folder / "state", "SOCKET": self.folder / "control.sock"}
        environment = os.environ | {f"DCEDGE_{name}": str(place) for name, place in places.items()}
        environment["DCEDGE_FRR_PATHSPACE"] = "dcedge-none"
        done = self.edge.run(str(COMMAND), "apply", check=False, environment=environment)
        assert done.returncode != 3, done.stderr
        assert "failed:" not in done.stdout + done.stderr, done.stdout + done.stderr
        for vlan in (101, 102, 201, 202):
            if f"vlan: {vlan}," in order:
                self.cloud.ip(f"route replace 192.0.2.0/24 via 10.255.{vlan}.1 dev c{vlan}")
                target = f"10.20.{vlan}.10"
                until(target, lambda to=target: traffic.reaches(self.edge, to))  # type: ignore[misc]

    @contextmanager
    def sending(self, *vlans: int) -> Iterator[None]:
        """All that TCP can send from the edge through each virtual interface, by VLAN, while the body runs."""
        processes = []
        for vlan in vlans:
            target = f"10.20.{vlan}.10"
            processes.append(self.cloud.popen("iperf3", "--server", "--bind", target))
            until("the server", lambda to=target: f"{to}:5201" in self.cloud.run("ss", "-Hltn").stdout)  # type: ignore[misc]
            words = ["iperf3", "--client", target, "--parallel", "4", "--time", "120"]
            processes.append(self.edge.popen(*words))
        try:
            for vlan in vlans:
                before = received(Port(self.cloud, f"c{vlan}")).bytes
                until(
                    "traffic",
                    lambda v=vlan, b=before: received(Port(self.cloud, f"c{v}")).bytes - b,  # type: ignore[misc]
                    accept=lambda count: count > 1_000_000,
                )
            yield
        finally:
            for process in reversed(processes):
                end(process)

    def rates(self, vlans: Sequence[int], seconds: float = 2.0) -> list[float]:
        """What arrives by each virtual interface, in Mbit/s."""
        ports = [Port(self.cloud, f"c{vlan}") for vlan in vlans]
        # The span covers all that is counted: a machine that does other things in between makes no rate too high.
        started, before = time.monotonic(), [received(port) for port in ports]
        time.sleep(seconds)  # the span that is looked at
        after, elapsed = [received(port) for port in ports], time.monotonic() - started
        # A VLAN link counts without the 14 bytes of header.
        return [
            (b.bytes - a.bytes + 14 * (b.packets - a.packets)) * 8 / elapsed / 1e6
            for a, b in zip(before, after, strict=True)
        ]

    def rates_between(self, vlans: Sequence[int], least: float, most: float, seconds: float = 2.0) -> list[float]:
        """What arrives by each virtual interface in a span in which nothing beside holds the senders up, in Mbit/s.

        That is one in which at least so much arrives in all. More than `most` arrives in none.
        """

        def arriving() -> list[float]:
            rates = self.rates(vlans, seconds)
            assert sum(rates) < most, rates
            return rates

        return until(f"{least:g} Mbit/s", arriving, 60, accept=lambda rates: sum(rates) > least)
