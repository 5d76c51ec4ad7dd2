"""A good order to break, and how to read what is said of it."""

from __future__ import annotations

from dcedge.order.findings import Finding, OrderInvalidError
from dcedge.order.load import parse_order

GOOD = """\
router:
  asn: 65010
  router_id: 10.255.0.1
  advertise: [192.0.2.0/24, "2001:db8:10::/48"]
agent: {listen: "127.0.0.1:9478"}
connections:
  fra-1: {provider: otc, port: eth1, bandwidth: 10G, mtu: 1500}
  fra-2: {provider: gcp, port: {bond: bond0, members: [eth2, eth3], min_links: 1}, bandwidth: 10G, mtu: 1500}
  fra-3: {provider: azure, port: eth4, bandwidth: 10G}
  er-1: {provider: azure, over: fra-3, outer: 10, protocol: 802.1Q, bandwidth: 1G}
  fra-4: {provider: aws, port: eth5, bandwidth: 10G}
  part: {provider: aws, over: fra-4, bandwidth: 500M}
virtual_gateways:
  prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16, {prefix: 10.30.0.0/16, le: 24}], reaches: []}
  blue: {vpc: vnet-blue, accept: [10.60.0.0/16], vrf: blue}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 101
    bandwidth: 500M
    addresses:
      - {customer: 10.255.101.2/30, cloud: 10.255.101.1}
      - {customer: "2001:db8:101::2/126", cloud: "2001:db8:101::1"}
    bgp: {password: {credential: prod-a}, bfd: {interval: 300ms, multiplier: 3}, communities: ["65010:1"]}
    probe: {interval: 1s}
  prod-b:
    connection: fra-1
    virtual_gateway: prod
    vlan: 102
    bandwidth: 100M
    addresses: [{customer: 10.255.102.2/30, cloud: 10.255.102.1}]
    static: [10.20.0.0/16]
  prod-c:
    connection: fra-2
    virtual_gateway: prod
    vlan: 103
    bandwidth: 100M
    addresses: [{customer: 169.254.103.2/29, cloud: 169.254.103.1}]
    bgp: {med: 100, keepalive: 20s, hold: 60s}
  blue-a:
    connection: er-1
    virtual_gateway: blue
    vlan: 104
    addresses: [{customer: 10.255.104.1/30, cloud: 10.255.104.2}]
    bgp: {cloud_asn: 12076}
  prod-d:
    connection: part
    virtual_gateway: prod
    vlan: 105
    addresses: [{customer: 10.255.105.2/30, cloud: 10.255.105.1}]
"""


def broken(*changes: tuple[str, str], order: str = GOOD) -> str:
    """The good order with texts replaced; each must be there once."""
    for old, new in changes:
        assert order.count(old) == 1, f"{old!r} is there {order.count(old)} times"
        order = order.replace(old, new)
    return order


def findings(text: str | bytes) -> list[Finding]:
    """What is wrong with an order, warnings included."""
    try:
        return list(parse_order(text, "order.yaml").warnings)
    except OrderInvalidError as error:
        return list(error.findings)


def lines(text: str | bytes) -> list[str]:
    """The same as the operator reads it."""
    return [str(finding) for finding in findings(text)]
