"""The standard testbed, used by the demo and by the kernel tests: what `demo-order.yaml` orders, as hardware.

LAN host ── edge ═ eth1 ═ fra-1 ═ exchange ─ VLAN 101 ─ prod (BIRD, AS 64512) ── host in vpc-prod
                 ═ eth2 ═ fra-2 ═          ─ VLAN 102 ─ prod
                                           ─ VLAN 201 ─ dev (FRR, AS 64513) ── host in vpc-dev
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.clouds import Attachment, BirdCloud, Cloud, Exchange, FrrCloud, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Fibre, Port, Workspace

ORDER = Path(__file__).with_name("demo-order.yaml")
CUSTOMER_ASN = 65010
PASSWORDS = {"prod-a": "Kaiserlei-101", "dev-a": "Griesheim-201"}
HOLD_SECONDS = 30  # the clouds': less than the 90 s of most, so that who waits for it does not wait for long
RECOVERY_SECONDS = 50.0  # without BFD a cloud may keep a dead session for its hold time
ORDERED_BPS = {"prod-a": 50e6, "prod-b": 100e6, "dev-a": 200e6}


class Bed:
    """Edge, exchange, two fibres, two clouds. Left, it leaves nothing behind.

    Built, the clouds speak and the edge has an FRR without configuration; dcedge is up to the caller.
    """

    def __init__(self, *, edge_frr: bool = True) -> None:
        self.work = Workspace()
        try:
            self._build()
            if edge_frr:
                self.edge.frr.start()
        except BaseException:
            self.work.close()
            raise

    def _make_edge(self) -> Edge:
        return Edge(self.work, ORDER.read_text())

    def _build(self) -> None:
        self.edge = self._make_edge()
        for name, secret in PASSWORDS.items():
            self.edge.credential(name, secret)
        self.exchange = Exchange(self.work)
        self.fibres: Mapping[str, Fibre] = {
            "fra-1": self.edge.plug("eth1", self.exchange.port("fra-1")),
            "fra-2": self.edge.plug("eth2", self.exchange.port("fra-2")),
        }
        prod = BirdCloud(self.work, "prod", 64512, ["10.20.0.0/16", "2001:db8:20::/48"], "10.20.0.1")
        prod.attach(
            Attachment(
                "prod-a",
                self.fibres["fra-1"],
                101,
                (Peer("10.255.101.1/30", "10.255.101.2"),),
                CUSTOMER_ASN,
                PASSWORDS["prod-a"],
                keepalive=HOLD_SECONDS // 3,
                hold=HOLD_SECONDS,
            )
        )
        prod.attach(
            Attachment(
                "prod-b",
                self.fibres["fra-2"],
                102,
                (Peer("10.255.102.1/30", "10.255.102.2"), Peer("2001:db8:102::1/126", "2001:db8:102::2")),
                CUSTOMER_ASN,
                bfd=True,
                keepalive=HOLD_SECONDS // 3,
                hold=HOLD_SECONDS,
            )
        )
        dev = FrrCloud(self.work, "dev", 64513, ["10.30.0.0/16"], "10.30.0.1")
        dev.attach(
            Attachment(
                "dev-a",
                self.fibres["fra-2"],
                201,
                (Peer("10.255.201.1/30", "10.255.201.2"),),
                CUSTOMER_ASN,
                PASSWORDS["dev-a"],
                bfd=True,
                keepalive=HOLD_SECONDS // 3,
                hold=HOLD_SECONDS,
            )
        )
        self.prod = prod
        self.dev = dev
        for cloud in self.clouds:
            cloud.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything and remove it."""
        self.edge.stop_daemon()
        self.work.close()

    def wait_up(self, *names: str) -> None:
        """Wait until the named virtual interfaces are up, as the clouds and as dcedge see it."""
        for name in names:
            self.cloud_of(name).wait_established(name, timeout=RECOVERY_SECONDS)
        self.edge.wait_up(*names, timeout=RECOVERY_SECONDS)

    def report(self) -> str:
        """For whoever looks for the reason of a failure: the daemon's log (its end), FRR's and the clouds' view."""
        parts = [f"--- dcedge's log\n{self.edge.log_end()}"]
        with contextlib.suppress(AssertionError):
            parts.append(f"--- the edge's addresses\n{self.edge.namespace.run('ip', '-br', 'address').stdout}")
        with contextlib.suppress(AssertionError):
            looks = ("show bgp summary", "show bfd peers", "show interface brief")
            parts.append(f"--- the edge's FRR\n{self.edge.frr.vtysh(*looks)}")
        for cloud in self.clouds:
            with contextlib.suppress(AssertionError):
                states = {
                    f"{name} {peer.customer}": cloud.state(peer.customer)
                    for name, attachment in cloud.attachments.items()
                    for peer in attachment.peers
                }
                parts.append(f"--- {cloud.name}\n{states}")
        return "\n".join(parts)

    @property
    def clouds(self) -> tuple[Cloud, ...]:
        """Both clouds."""
        return (self.prod, self.dev)

    def attachment(self, virtual_interface: str) -> Attachment:
        """The cloud's end of a virtual interface."""
        return self.cloud_of(virtual_interface).attachments[virtual_interface]

    def cloud_of(self, virtual_interface: str) -> Cloud:
        """The cloud that a virtual interface leads to."""
        return next(cloud for cloud in self.clouds if virtual_interface in cloud.attachments)

    def trunk(self, virtual_interface: str) -> Port:
        """The cloud end of the fibre that carries a virtual interface."""
        return self.attachment(virtual_interface).fibre.cloud

    def targets(self, virtual_interface: str) -> tuple[str, ...]:
        """Addresses in the cloud that the LAN's host reaches through just this virtual interface.

        The IPv4 of `prod-b` is the backup's: its own address at the cloud is what still goes that way.
        """
        cloud = self.cloud_of(virtual_interface)
        if virtual_interface == "prod-b":
            return (cloud.host_address(6), self.attachment("prod-b").peers[0].address)
        return (cloud.host_address(4),)
