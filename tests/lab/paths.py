"""Two paths to one virtual gateway, so that one can fail or be drained: untagged, so that any kernel will do.

LAN host ── edge ═ eth1 ═ halfway ═ prod-a, primary ─ prod ── host in vpc-prod
                 ═ eth2 ═ halfway ═ prod-b, backup  ─

Streams of 1,000 packets a second each way tell what a failure costs, in packets and in seconds.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Literal, Self

from tests.lab import traffic
from tests.lab.clouds import Attachment, Bird3Cloud, BirdCloud, Cloud, FrrCloud, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Namespace, Port, Span, Workspace, span
from tests.lab.wait import until

PRIMARY, BACKUP = "prod-a", "prod-b"
CUSTOMER_ASN = 65010
DETECTION_SECONDS = 0.9  # RFC 5880, section 6.8.4: 300 ms x 3
_PREFERENCES = {PRIMARY: "primary", BACKUP: "backup"}
_CLOUDS: Mapping[str, type[BirdCloud | FrrCloud]] = {"bird": BirdCloud, "bird3": Bird3Cloud, "frr": FrrCloud}

Streams = Mapping[str, traffic.Stream]


def order_of(preferences: Mapping[str, str], more: Mapping[str, str]) -> str:
    """The order: each virtual interface's preference, and what it has besides (a line of YAML's flow style)."""
    lines = [
        'router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24, "2001:db8:10::/48"]}',
        "connections:",
        "  fra-1: {provider: generic, port: eth1, bandwidth: 1G}",
        "  fra-2: {provider: generic, port: eth2, bandwidth: 1G}",
        'virtual_gateways: {prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16, "2001:db8:20::/48"]}}',
        "virtual_interfaces:",
    ]
    for number, (name, preference) in enumerate(preferences.items(), 1):
        routing = more.get(name, "bgp: {bfd: {interval: 300ms, multiplier: 3}}")
        lines.append(
            f"  {name}: {{connection: fra-{number}, virtual_gateway: prod, vlan: 0, bandwidth: 500M, "
            f"preference: {preference}, {routing}, addresses: ["
            f"{{customer: 10.255.10{number}.2/30, cloud: 10.255.10{number}.1}}, "
            f'{{customer: "2001:db8:10{number}::2/126", cloud: "2001:db8:10{number}::1"}}]}}'
        )
    return "\n".join(lines) + "\n"


class Paths:
    """The testbed; `start` has the daemon running and both paths up. Left, it leaves nothing behind."""

    def __init__(self, cloud: Literal["bird", "bird3", "frr"] = "bird", asn: int = 64512) -> None:
        self.work = Workspace()
        try:
            self.edge = Edge(self.work)
            self.work.at_end(self.edge.stop_daemon)
            networks = ["10.20.0.0/16", "2001:db8:20::/48"]
            self.cloud: Cloud = _CLOUDS[cloud](self.work, "prod", asn, networks, "10.20.0.1")
            halfway = self.work.namespace("halfway")
            self.spans: dict[str, Span] = {}
            for number, name in enumerate((PRIMARY, BACKUP), 1):
                laid = span(Port(self.edge.namespace, f"eth{number}"), Port(self.cloud.router, f"far{number}"), halfway)
                self.spans[name] = laid
                peers = (
                    Peer(f"10.255.10{number}.1/30", f"10.255.10{number}.2"),
                    Peer(f"2001:db8:10{number}::1/126", f"2001:db8:10{number}::2"),
                )
                self.cloud.attach(Attachment(name, laid, 0, peers, CUSTOMER_ASN, bfd=True))
            self.edge.frr.start()
            self.cloud.start()
        except BaseException:
            self.work.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.work.close()

    def order(self, preferences: Mapping[str, str] = _PREFERENCES, more: Mapping[str, str] | None = None) -> None:
        """Put this order in force, the daemon running from then on."""
        self.edge.order.write_text(order_of(preferences, more or {}))
        if self.edge.running:
            assert self.edge.dcedge("apply").status == 0
        else:
            self.edge.start_daemon()

    def wait_up(self, *names: str) -> None:
        """Wait until these virtual interfaces are up at both ends, and the best path is used both ways."""
        self.edge.wait_up(*names)
        until("the primary to be used both ways", self.used, accept=lambda used: used == {PRIMARY})

    def used(self) -> set[str]:
        """The virtual interfaces that the kernels at both ends route over, both families."""
        far = self._routed(self.cloud.router, self.edge.host_address(4), self.edge.host_address(6))
        return self.used_by_edge() | far

    def used_by_edge(self) -> set[str]:
        """The virtual interfaces that the edge's kernel routes over, both families."""
        ports = {laid.customer.name: name for name, laid in self.spans.items()}
        found = self._routed(self.edge.namespace, self.cloud.host_address(4), self.cloud.host_address(6))
        return {ports.get(name, name) for name in found}

    def outage(self, failure: Callable[[], None], repair: Callable[[], None]) -> dict[str, float]:
        """For how many seconds each stream falls silent when the primary fails, until the backup carries both ways."""
        with self.streams() as streams:
            failure()
            until("the backup to be used both ways", self.used, accept=lambda used: used == {BACKUP})
            time.sleep(0.1)  # the first packets over it arrive
        repair()
        return {way: stream.longest_silence for way, stream in streams.items()}

    def _routed(self, namespace: Namespace, *addresses: str) -> set[str]:
        said = [namespace.run("ip", "route", "get", address, check=False).stdout.split() for address in addresses]
        return {words[words.index("dev") + 1] if "dev" in words else "none" for words in said}

    @contextlib.contextmanager
    def streams(self, *versions: int) -> Iterator[Streams]:
        """Streams both ways, of the IP versions (or only IPv4), while the body runs; complete afterwards."""
        made: dict[str, traffic.Stream] = {}
        with contextlib.ExitStack() as stack:
            for version in versions or (4,):
                there, back = (side.host_address(version) for side in (self.cloud, self.edge))
                port = 5300 + version
                for way, source, sink, address in (
                    (f"IPv{version} to the cloud", self.edge.host, self.cloud.host, there),
                    (f"IPv{version} to the customer", self.cloud.host, self.edge.host, back),
                ):
                    made[way] = stack.enter_context(traffic.udp_stream(source, sink, address, port=port))
            yield made
