"""Each provider's edge router, faked: what it demands is written here by hand, from the provider's documents.

Nothing comes from dcedge's profiles, so a wrong figure there fails to meet its twin. One virtual interface to each;
OTC's, Azure's and Google's twins run BIRD, Huawei's and AWS's FRR.

LAN host ── edge ═ eth1 ═ VLAN 101 ─ otc      MD5, 100 prefixes, BFD 1 s x 3
                 ═ eth2 ═ VLAN 102 ─ huawei   MD5, 100 prefixes, BFD 1 s x 3
                 ═ eth3 ═ VLAN 103 ─ aws      MD5, 100 prefixes, BFD 300 ms x 3, 30/90
                 ═ eth4 ═ 10.104   ─ azure    two tags, the customer's address first, BFD 300 ms x 3, 60/180
                 ═ eth5 ═ LACP 105 ─ gcp      a bond even of one link, MTU 1440, four hops, BFD 1 s x 5, 20/60
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from types import TracebackType
from typing import Self

from tests.lab.clouds import Attachment, BirdCloud, Cloud, Exchange, FrrCloud, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Fibre, Workspace

CUSTOMER_ASN = 65010
ADVERTISED = ("192.0.2.0/24", "198.51.100.0/24")
PASSWORDS = {"otc": "Bockenheim-101", "huawei": "Rebstock-102", "aws": "Hattersheim-103"}
OUTER_TAG = 10
PROVIDERS = ("otc", "huawei", "aws", "azure", "gcp")

ORDER = """\
router:
  asn: 65010
  router_id: 10.255.0.1
  advertise: [192.0.2.0/24, 198.51.100.0/24]

connections:
  otc: {provider: otc, port: eth1, bandwidth: 1G}
  huawei: {provider: huawei, port: eth2, bandwidth: 1G}
  aws: {provider: aws, port: eth3, bandwidth: 1G}
  azure-port: {provider: azure, port: eth4, bandwidth: 10G}
  azure: {provider: azure, over: azure-port, outer: 10, protocol: 802.1Q, bandwidth: 1G}
  gcp: {provider: gcp, port: {bond: bond0, members: [eth5], lacp_rate: fast}, bandwidth: 10G, mtu: 1440}

virtual_gateways:
  otc: {vpc: vpc-otc, asn: 65146, accept: [10.21.0.0/16]}
  huawei: {vpc: vpc-huawei, asn: 64512, accept: [10.22.0.0/16]}
  aws: {vpc: vpc-aws, asn: 64513, accept: [10.23.0.0/16]}
  azure: {vpc: vnet-azure, accept: [10.24.0.0/16]}
  gcp: {vpc: network-gcp, asn: 64515, accept: [10.25.0.0/16]}

virtual_interfaces:
  otc:
    {connection: otc, virtual_gateway: otc, vlan: 101, bandwidth: 100M,
     addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}],
     bgp: {password: {credential: otc}, bfd: true}}
  huawei:
    {connection: huawei, virtual_gateway: huawei, vlan: 102, bandwidth: 100M,
     addresses: [{customer: 10.255.102.2/30, cloud: 10.255.102.1}],
     bgp: {password: {credential: huawei}, bfd: true}}
  aws:
    {connection: aws, virtual_gateway: aws, vlan: 103, bandwidth: 100M,
     addresses: [{customer: 10.255.103.2/30, cloud: 10.255.103.1}],
     bgp: {password: {credential: aws}}}
  azure:
    {connection: azure, virtual_gateway: azure, vlan: 104,
     addresses: [{customer: 10.255.104.1/30, cloud: 10.255.104.2}]}
  gcp:
    {connection: gcp, virtual_gateway: gcp, vlan: 105, bandwidth: 100M,
     addresses: [{customer: 169.254.105.2/29, cloud: 169.254.105.1}],
     bgp: {bfd: true}}
"""


class Twins:
    """An edge and the five providers. Built, the clouds speak and the edge has an FRR without configuration."""

    def __init__(self) -> None:
        self.work = Workspace()
        try:
            self._build()
        except BaseException:
            self.work.close()
            raise

    def _build(self) -> None:
        self.edge = Edge(self.work, ORDER)
        for name, secret in PASSWORDS.items():
            self.edge.credential(name, secret)
        # The second of the prefixes that are announced; the LAN is the first.
        self.edge.namespace.ip("route add blackhole 198.51.100.0/24")
        self.exchange = Exchange(self.work)
        self.fibres: Mapping[str, Fibre] = {
            name: self.edge.plug(f"eth{number}", self.exchange.port(f"port-{name}"))
            for number, name in enumerate(PROVIDERS, 1)
        }
        self.clouds: Mapping[str, Cloud] = {
            "otc": self._cloud(BirdCloud, "otc", 65146, 21),
            "huawei": self._cloud(FrrCloud, "huawei", 64512, 22),
            "aws": self._cloud(FrrCloud, "aws", 64513, 23),
            "azure": self._cloud(BirdCloud, "azure", 12076, 24),
            "gcp": self._cloud(BirdCloud, "gcp", 64515, 25),
        }
        for attachment in (self._otc(), self._huawei(), self._aws(), self._azure(), self._gcp()):
            cloud = self.clouds[attachment.name]
            cloud.attach(attachment)
            cloud.start()
        self.edge.frr.start()

    def _cloud(self, kind: type[BirdCloud] | type[FrrCloud], name: str, asn: int, number: int) -> Cloud:
        cloud = kind(self.work, name, asn, [f"10.{number}.0.0/16"], f"10.{number}.0.1")
        # A second network, which is not in the order's `accept`.
        unasked = ip_network(f"10.{number + 100}.0.0/16")
        cloud.networks = (*cloud.networks, unasked)
        cloud.router.ip(f"address add {unasked[1]}/{unasked.prefixlen} dev vpc")
        return cloud

    def _otc(self) -> Attachment:
        peer = Peer("10.255.101.1/30", "10.255.101.2")
        return Attachment(
            "otc", self.fibres["otc"], 101, (peer,), CUSTOMER_ASN, PASSWORDS["otc"],
            bfd=True, bfd_interval=1000, prefix_cap=100,
        )  # fmt: skip

    def _huawei(self) -> Attachment:
        peer = Peer("10.255.102.1/30", "10.255.102.2")
        return Attachment(
            "huawei", self.fibres["huawei"], 102, (peer,), CUSTOMER_ASN, PASSWORDS["huawei"],
            bfd=True, bfd_interval=1000, prefix_cap=100,
        )  # fmt: skip

    def _aws(self) -> Attachment:
        peer = Peer("10.255.103.1/30", "10.255.103.2")
        return Attachment(
            "aws", self.fibres["aws"], 103, (peer,), CUSTOMER_ASN, PASSWORDS["aws"],
            bfd=True, keepalive=30, hold=90, prefix_cap=100,
        )  # fmt: skip

    def _azure(self) -> Attachment:
        self.exchange.namespace.ip(
            f"link add link port-azure name azure.outer type vlan protocol 802.1Q id {OUTER_TAG}",
            "link set dev azure.outer up",
        )
        return Attachment(
            "azure", self.fibres["azure"], 104, (Peer("10.255.104.2/30", "10.255.104.1"),), CUSTOMER_ASN,
            bfd=True, keepalive=60, hold=180, prefix_cap=4000, trunk="azure.outer", outer_tags=1,
        )  # fmt: skip

    def _gcp(self) -> Attachment:
        self.exchange.namespace.ip(
            "link add name gcp-lag type bond mode 802.3ad lacp_rate fast miimon 100",
            "link set dev port-gcp down",
            "link set dev port-gcp master gcp-lag",
            "link set dev gcp-lag up",
        )
        return Attachment(
            "gcp", self.fibres["gcp"], 105, (Peer("169.254.105.1/29", "169.254.105.2"),), CUSTOMER_ASN,
            bfd=True, bfd_interval=1000, bfd_multiplier=5, keepalive=20, hold=60, hops=4, trunk="gcp-lag",
        )  # fmt: skip

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

    def attachment(self, provider: str) -> Attachment:
        """The cloud's end of that provider's virtual interface."""
        return self.clouds[provider].attachments[provider]

    def wait_up(self) -> None:
        """Wait until every session is up, as the clouds and as dcedge see it."""
        for cloud in self.clouds.values():
            cloud.wait_established()
        self.edge.wait_up(*PROVIDERS)
