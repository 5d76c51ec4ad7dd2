"""One virtual interface in health, as evidence; the tests break it layer by layer."""

from __future__ import annotations

from dataclasses import replace

from dcedge.explain.evidence import Circuit, DaemonSays, Evidence, PathCheck, PortEvidence
from dcedge.kernel.port.ethtool import LinkMode
from dcedge.monitor.health.facts import Facts, LinkFacts, PortFacts, ProbeFacts, RouteFacts, SessionFacts
from dcedge.order.load import parse_order
from dcedge.order.resolve import resolve_interface

PEER = "10.255.101.1"
NOW = 1_700_000_000.0
ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections:
  fra-1: {provider: otc, port: eth1, bandwidth: 1G, circuit_id: "DTAG-4711", description: "Frankfurt A"}
virtual_gateways:
  prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 101
    bandwidth: 50M
    addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}]
    bgp: {password: {credential: prod-a}, bfd: true}
"""
UP = SessionFacts(
    PEER, "ipv4", "Established", received=1, advertised=1, advertise_ordered=True, bfd="up",
    customer_asn=65010, cloud_asn=64512,
)  # fmt: skip
ACTIVE = replace(UP, state="Active", received=0, advertised=0, bfd="down")
ANSWERS = ProbeFacts(PEER, "ipv4", 3, 0, full_size=True, mtu=1500)
SILENT = ProbeFacts(PEER, "ipv4", 4, 4, neighbour=False, lost_in_a_row=4, mtu=1500)
ROUTE = RouteFacts("10.20.0.0/16", "ipv4", "eth1.101", ("eth1.101",))
INTERFACE = resolve_interface(parse_order(ORDER, "order.yaml").order, "prod-a")
WELL = Evidence(
    at=NOW,
    circuit=Circuit("fra-1", "Open Telekom Cloud Direct Connect", "DTAG-4711", "Frankfurt A"),
    interface=INTERFACE,
    facts=Facts(
        "up", PortFacts("eth1"), LinkFacts("eth1.101", vlan=101, silent=0.0), sessions=(UP,), probes=(ANSWERS,),
        ordered_bps=50_000_000, routes=(ROUTE,),
    ),
    port=PortEvidence(carrier_changes=3, mode=LinkMode(1000, "full")),
    paths=(PathCheck(PEER, 3, 3, 0.0004, path_mtu=1500),),
    daemon=DaemonSays("up", "as ordered", "none", "unknown", NOW - 3600),
)  # fmt: skip
