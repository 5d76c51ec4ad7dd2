"""Each provider's edge router, faked: what it demands is written here by hand, from the provider's documents.

Nothing comes from dcedge's profiles, so a wrong figure there fails to meet its twin. Two virtual interfaces to each
over one port, a primary (-a) and a backup (-b), at AWS an equal one (-c) too; 10N, 11N, 12N are their VLANs. OTC's,
Azure's and Google's twins run BIRD, Huawei's and AWS's FRR. Each polices what comes in at the ordered bandwidth.

LAN host ── edge ═ eth1 ═ 101, 111      ─ otc      MD5, 100 prefixes, BFD 1 s x 3
                 ═ eth2 ═ 102, 112      ─ huawei   MD5, 100 prefixes, BFD 1 s x 3
                 ═ eth3 ═ 103, 113, 123 ─ aws      MD5, 100 prefixes, BFD 300 ms x 3, 30/90, MTU 8500, communities
                 ═ eth4 ═ 10.104, .114  ─ azure    two tags, the customer's address first, BFD 300 ms x 3, 60/180
                 ═ eth5 ═ LACP 105, 115 ─ gcp      a bond even of one link, MTU 1440, several hops, BFD 1 s x 5, 20/60
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from ipaddress import ip_interface, ip_network
from types import TracebackType
from typing import Any, Self

from tests.lab.clouds import Attachment, BirdCloud, Cloud, Exchange, FrrCloud, Peer
from tests.lab.edge import Edge
from tests.lab.netns import Fibre, Workspace
from tests.lab.wait import PATIENCE_SECONDS

CUSTOMER_ASN = 65010
ADVERTISED = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")  # the first is the LAN
PROVIDERS = ("otc", "huawei", "aws", "azure", "gcp")
ENDS = dict.fromkeys(PROVIDERS, ("a", "b")) | {"aws": ("a", "b", "c")}
INTERFACES = tuple(f"{provider}-{end}" for provider in PROVIDERS for end in ENDS[provider])
PRIMARIES = tuple(f"{provider}-a" for provider in PROVIDERS)
KEYED = ("otc", "huawei", "aws")  # the providers that want MD5
ORDERED_BPS = 50_000_000  # each virtual interface's
CIRCUIT_BPS = 1_000_000_000  # Azure's, which its virtual interfaces share
AWS_MTU, GCP_MTU = 8500, 1440
OUTER_TAG = 10

ORDER = """\
router:
  asn: 65010
  router_id: 10.255.0.1
  advertise: [192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24]

connections:
  otc: {provider: otc, port: eth1, bandwidth: 1G}
  huawei: {provider: huawei, port: eth2, bandwidth: 1G}
  aws: {provider: aws, port: eth3, bandwidth: 1G, mtu: 8500}
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
  otc-a:
    {connection: otc, virtual_gateway: otc, vlan: 101, bandwidth: 50M, preference: primary,
     addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}],
     bgp: {password: {credential: otc-a}, bfd: true}}
  otc-b:
    {connection: otc, virtual_gateway: otc, vlan: 111, bandwidth: 50M, preference: backup,
     addresses: [{customer: 10.255.111.2/30, cloud: 10.255.111.1}],
     bgp: {password: {credential: otc-b}, bfd: true}}
  huawei-a:
    {connection: huawei, virtual_gateway: huawei, vlan: 102, bandwidth: 50M, preference: primary,
     addresses: [{customer: 10.255.102.2/30, cloud: 10.255.102.1}],
     bgp: {password: {credential: huawei-a}, bfd: true}}
  huawei-b:
    {connection: huawei, virtual_gateway: huawei, vlan: 112, bandwidth: 50M, preference: backup,
     addresses: [{customer: 10.255.112.2/30, cloud: 10.255.112.1}],
     bgp: {password: {credential: huawei-b}, bfd: true}}
  aws-a:
    {connection: aws, virtual_gateway: aws, vlan: 103, bandwidth: 50M, preference: primary,
     addresses: [{customer: 10.255.103.2/30, cloud: 10.255.103.1}],
     bgp: {password: {credential: aws-a}}}
  aws-b:
    {connection: aws, virtual_gateway: aws, vlan: 113, bandwidth: 50M, preference: backup,
     addresses: [{customer: 10.255.113.2/30, cloud: 10.255.113.1}],
     bgp: {password: {credential: aws-b}}}
  aws-c:
    {connection: aws, virtual_gateway: aws, vlan: 123, bandwidth: 50M, preference: equal,
     addresses: [{customer: 10.255.123.2/30, cloud: 10.255.123.1}],
     bgp: {password: {credential: aws-c}}}
  azure-a:
    {connection: azure, virtual_gateway: azure, vlan: 104, preference: primary,
     addresses: [{customer: 10.255.104.1/30, cloud: 10.255.104.2}]}
  azure-b:
    {connection: azure, virtual_gateway: azure, vlan: 114, preference: backup,
     addresses: [{customer: 10.255.114.1/30, cloud: 10.255.114.2}]}
  gcp-a:
    {connection: gcp, virtual_gateway: gcp, vlan: 105, bandwidth: 50M, preference: primary,
     addresses: [{customer: 169.254.105.2/29, cloud: 169.254.105.1}],
     bgp: {bfd: true}}
  gcp-b:
    {connection: gcp, virtual_gateway: gcp, vlan: 115, bandwidth: 50M, preference: backup,
     addresses: [{customer: 169.254.115.2/29, cloud: 169.254.115.1}],
     bgp: {bfd: true}}
...
"""

# What each demands of BGP on its virtual interfaces; what a provider leaves open is left at BGP's own.
DEMANDS: Mapping[str, Mapping[str, Any]] = {
    "otc": {"bfd_interval": 1000, "prefix_cap": 100},
    "huawei": {"bfd_interval": 1000, "prefix_cap": 100},
    "aws": {"bfd_interval": 300, "keepalive": 30, "hold": 90, "prefix_cap": 100, "mtu": AWS_MTU},
    "azure": {"bfd_interval": 300, "keepalive": 60, "hold": 180, "prefix_cap": 4000, "outer_tags": 1},
    "gcp": {"bfd_interval": 1000, "bfd_multiplier": 5, "keepalive": 20, "hold": 60, "hops": 4, "mtu": GCP_MTU},
}
AWS_COMMUNITIES = {"7224:7100": 50, "7224:7200": 100, "7224:7300": 200}  # low, medium, high


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
        self.edge.namespace.ip(*(f"route add blackhole {prefix}" for prefix in ADVERTISED[1:]))
        self.exchange = Exchange(self.work)
        self.fibres: Mapping[str, Fibre] = {
            provider: self.edge.plug(f"eth{number}", self.exchange.port(f"port-{provider}"), 9100)
            for number, provider in enumerate(PROVIDERS, 1)
        }
        self.exchange.namespace.ip(
            f"link add link port-azure name azure.outer type vlan protocol 802.1Q id {OUTER_TAG}",
            "link set dev azure.outer up",
            "link add name gcp-lag type bond mode 802.3ad lacp_rate fast miimon 100",
            "link set dev port-gcp down",
            "link set dev port-gcp master gcp-lag",
            "link set dev gcp-lag up",
        )
        self.clouds: Mapping[str, Cloud] = {
            "otc": self._cloud(BirdCloud, "otc", 65146, 21),
            "huawei": self._cloud(FrrCloud, "huawei", 64512, 22),
            "aws": self._cloud(FrrCloud, "aws", 64513, 23),
            "azure": self._cloud(BirdCloud, "azure", 12076, 24),
            "gcp": self._cloud(BirdCloud, "gcp", 64515, 25),
        }
        self.clouds["aws"].heeds = AWS_COMMUNITIES
        for number, provider in enumerate(PROVIDERS, 1):
            for tens, end in enumerate(ENDS[provider]):
                self.clouds[provider].attach(self._attachment(provider, end, 100 + 10 * tens + number))
        for cloud in self.clouds.values():
            cloud.start()
        self.edge.frr.start()

    def _cloud(self, kind: type[BirdCloud] | type[FrrCloud], name: str, asn: int, number: int) -> Cloud:
        cloud = kind(self.work, name, asn, [f"10.{number}.0.0/16"], f"10.{number}.0.1")
        # A second network, which is not in the order's `accept`.
        unasked = ip_network(f"10.{number + 100}.0.0/16")
        cloud.networks = (*cloud.networks, unasked)
        cloud.router.ip(f"address add {unasked[1]}/{unasked.prefixlen} dev vpc")
        return cloud

    def _attachment(self, provider: str, end: str, vlan: int) -> Attachment:
        name = f"{provider}-{end}"
        password = f"Bockenheim-{vlan}" if provider in KEYED else None
        if password is not None:
            self.edge.credential(name, password)
        net = ip_network(f"169.254.{vlan}.0/29" if provider == "gcp" else f"10.255.{vlan}.0/30")
        cloud, customer = (net[2], net[1]) if provider == "azure" else (net[1], net[2])
        return Attachment(
            name,
            self.fibres[provider],
            vlan,
            (Peer(f"{cloud}/{net.prefixlen}", str(customer)),),
            CUSTOMER_ASN,
            password,
            bfd=True,
            trunk={"azure": "azure.outer", "gcp": "gcp-lag"}.get(provider),
            policed_bps=CIRCUIT_BPS if provider == "azure" else ORDERED_BPS,
            **DEMANDS[provider],
        )

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

    def cloud_of(self, interface: str) -> Cloud:
        """The twin that a virtual interface leads to."""
        return self.clouds[interface.partition("-")[0]]

    def attachment(self, interface: str) -> Attachment:
        """The cloud's end of a virtual interface."""
        return self.cloud_of(interface).attachments[interface]

    def peer(self, interface: str) -> Peer:
        """The one BGP session of a virtual interface, as the cloud sees it."""
        (peer,) = self.attachment(interface).peers
        return peer

    def neighbour(self, interface: str) -> dict[str, Any]:
        """What the edge's bgpd says of a virtual interface's session."""
        address = str(ip_interface(self.peer(interface).cloud).ip)
        facts: dict[str, Any] = self.edge.frr.json(f"show bgp neighbors {address} json")[address]
        return facts

    def wait_up(self, *names: str, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until these virtual interfaces' sessions (or all) are up, as the clouds and as dcedge see it."""
        for name in names or INTERFACES:
            self.cloud_of(name).wait_established(name)
        self.edge.wait_up(*(names or INTERFACES), timeout=timeout)

    def report(self) -> str:
        """For whoever looks for the reason of a failure: the daemon's log (its end), FRR's and the clouds' view."""
        parts = [f"--- dcedge's log\n{self.edge.log_end(20)}"]
        with contextlib.suppress(AssertionError):
            parts.append(f"--- the edge's FRR\n{self.edge.frr.vtysh('show bgp summary', 'show bfd peers brief')}")
        for name in INTERFACES:
            with contextlib.suppress(AssertionError):
                parts.append(f"--- {name} at the cloud: {self.cloud_of(name).state(self.peer(name).customer)}")
        return "\n".join(parts)
