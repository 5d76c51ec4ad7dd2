"""The orders that the kernel's benchmarks are about."""

from __future__ import annotations

from ipaddress import IPv4Address


def order_text(count: int, *, rate: dict[int, str] | None = None) -> str:
    """An order of `count` virtual interfaces on one port; `rate` overrides the bandwidth of some."""
    lines = [
        "router: {asn: 65010, router_id: 10.255.0.1}",
        "connections: {fra-1: {provider: generic, port: eth1, bandwidth: 400G, oversubscribe: true}}",
        "virtual_gateways: {prod: {vpc: prod, asn: 64512, accept: [10.20.0.0/16]}}",
        "virtual_interfaces:",
    ]
    for i in range(count):
        base = int(IPv4Address("172.16.0.0")) + 4 * i
        lines.append(
            f"  vi{i}: {{connection: fra-1, virtual_gateway: prod, vlan: {i + 1}, "
            f"bandwidth: {(rate or {}).get(i, '50M')}, addresses: ["
            f"{{customer: {IPv4Address(base + 2)}/30, cloud: {IPv4Address(base + 1)}}}, "
            f'{{customer: "2001:db8:{i:x}::2/126", cloud: "2001:db8:{i:x}::1"}}]}}'
        )
    return "\n".join(lines) + "\n...\n"
