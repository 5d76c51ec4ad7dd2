"""A line whose wire is as fast as a port says, with the card that sends on it: what comes too fast waits and is lost.

LAN host ── edge ═ eth1 ═ card: a short queue, at the wire's rate ═ cloud (FRR) ── host
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.lab import port_speeds
from tests.lab.clouds import Attachment, FrrCloud, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Fibre, Port, Workspace, fibre

FRAMING_BYTES, TAG_BYTES = 24, 4  # preamble and start, FCS, gap (IEEE 802.3); a tag (802.1Q)
FRAME_BYTES = 1514  # the longest, without tags
TBF_SECONDS = 0.001  # of its rate, which a TBF needs to keep up
CUSTOMER_ASN = 65010
OUTER, INNER = 10, 101
CARD_PACKETS = 200  # fewer than a card's ring has
ORDER = """\
router: {{asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}}
connections:
  fra-1: {{provider: generic, port: eth1, bandwidth: {mbps}M}}
{circuit}virtual_gateways: {{prod: {{vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}}}}
virtual_interfaces:
  prod-a:
    connection: {connection}
    virtual_gateway: prod
    vlan: {vlan}
    bandwidth: {mbps}M
    addresses: [{{customer: 10.255.101.2/30, cloud: 10.255.101.1}}]
    bgp: {{bfd: {{interval: 300ms, multiplier: 3}}}}
"""
CIRCUIT = "  er-1: {{provider: generic, over: fra-1, outer: {outer}, protocol: 802.1ad, bandwidth: {mbps}M}}\n"


@dataclass(frozen=True)
class Sent:
    """What a card has sent, in bytes that the wire took and in frames, and what it had to drop."""

    wire_bytes: int
    frames: int
    dropped: int


class WiredLine:
    """One virtual interface, ordered at all that its port has; `tags` of its frames: 0, 1 or 2."""

    def __init__(self, work: Workspace, mbps: int, tags: int) -> None:
        self.mbps, self.tags = mbps, tags
        circuit = CIRCUIT.format(mbps=mbps, outer=OUTER) if tags == 2 else ""
        connection = "er-1" if tags == 2 else "fra-1"
        vlan = INNER if tags else 0
        self.edge = Edge(work, ORDER.format(mbps=mbps, circuit=circuit, connection=connection, vlan=vlan))
        self.set_speed(mbps)
        self.cloud = FrrCloud(work, "prod", 64512, ["10.20.0.0/16"], "10.20.0.1")
        self.card = work.namespace("card")
        site = self.cloud.router if tags == 0 else work.namespace("site")
        near = fibre(Port(self.edge.namespace, "eth1"), Port(self.card, "near"))
        far = fibre(Port(self.card, "far"), Port(site, "fra-1"))
        self._lay_card()
        trunk = None
        if tags == 2:
            trunk = "circuit"
            site.ip(
                f"link add link fra-1 name {trunk} type vlan proto 802.1ad id {OUTER}",
                f"link set dev {trunk} up",
            )
        self.cloud.attach(
            Attachment(
                "prod-a",
                Fibre(near.customer, far.cloud),
                vlan,
                (Peer("10.255.101.1/30", "10.255.101.2"),),
                CUSTOMER_ASN,
                bfd=True,
                trunk=trunk,
                outer_tags=max(0, tags - 1),
            )
        )

    @property
    def overhead(self) -> int:
        """What a frame takes on the wire beyond what the card's queue counts: the outermost tag is beside the frame."""
        return FRAMING_BYTES + (TAG_BYTES if self.tags else 0)

    def set_speed(self, mbps: int) -> None:
        """Have the port's driver tell this speed."""
        port_speeds.put_speed(self.edge.speeds, "eth1", mbps)

    def _lay_card(self) -> None:
        for port, other in (("near", "far"), ("far", "near")):
            self.card.run("tc", "qdisc", "add", "dev", port, "handle", "ffff:", "ingress")
            way = f"u32 match u32 0 0 action mirred egress redirect dev {other}"
            self.card.run("tc", *f"filter add dev {port} parent ffff: protocol all {way}".split())
        netem = f"root netem limit {CARD_PACKETS} rate {self.mbps}mbit {self.overhead}"
        if self.card.run("tc", *f"qdisc add dev far {netem}".split(), check=False).returncode == 0:
            return
        # A kernel without netem: a TBF sends a frame or two at once besides.
        burst = max(2 * (FRAME_BYTES + self.overhead), int(self.mbps * 1e6 / 8 * TBF_SECONDS))
        tbf = f"rate {self.mbps}mbit burst {burst} limit 100mb overhead {self.overhead}"
        self.card.run("tc", *f"qdisc add dev far root handle 1: tbf {tbf}".split())
        self.card.run("tc", *f"qdisc add dev far parent 1:1 pfifo limit {CARD_PACKETS}".split())

    def start(self) -> None:
        """Have both ends speak, dcedge running and the virtual interface up."""
        self.cloud.start()
        self.edge.frr.start()
        self.edge.start_daemon()
        self.cloud.wait_established("prod-a")
        self.edge.wait_up("prod-a")

    def sent(self) -> Sent:
        """What the card has sent until now."""
        said = self.card.run("tc", "-s", "qdisc", "show", "dev", "far", "root").stdout
        found = re.search(r"Sent (\d+) bytes (\d+) pkt \(dropped (\d+)", said)
        assert found is not None, said
        size, frames, dropped = map(int, found.groups())
        return Sent(size + frames * self.overhead, frames, dropped)

    def bfd_packets(self) -> tuple[int, int]:
        """BFD control packets that the edge has sent, and those that the cloud has received."""
        (out,) = (peer["control-packet-output"] for peer in self.edge.frr.json("show bfd peers counters json"))
        (received,) = (peer["control-packet-input"] for peer in self.cloud.frr.json("show bfd peers counters json"))
        return out, received
