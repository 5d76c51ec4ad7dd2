"""What `check` says that virtual interfaces can really carry."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dcedge.cli.print_capacity import capacity_json, print_capacity
from dcedge.order.load import parse_order
from dcedge.order.resolve import ResolvedInterface, resolve_interface

ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections: {fra-1: {provider: generic, port: eth1, bandwidth: 10G, oversubscribe: true}}
virtual_gateways: {prod: {vpc: v, asn: 64512, accept: [10.20.0.0/16]}}
virtual_interfaces:
"""
VI = """\
  vi-%d:
    connection: fra-1
    virtual_gateway: prod
    vlan: %d
    bandwidth: %s
    static: [10.20.0.0/16]
    addresses: [{customer: 10.255.%d.2/30, cloud: 10.255.%d.1}]
"""


def interfaces(*rates: str) -> list[ResolvedInterface]:
    """One of each rate, each with a tag, on a port of 10G."""
    text = ORDER + "".join(VI % (n, n, rate, n, n) for n, rate in enumerate(rates, 1))
    order = parse_order(text, "order.yaml").order
    return [resolve_interface(order, name) for name in order.virtual_interfaces]


@pytest.mark.parametrize(
    ("rate", "size", "carried"),
    [
        ("1G", 1500, 1e9 * 1500 / 1514),  # its shaper's
        ("1G", 64, 1e9 * 64 / 78),
        ("10G", 1500, 1e10 * 1500 / 1542),  # the wire's: header, framing and a tag
        ("10G", 64, 1e10 * 64 / 106),
        ("8G", 1500, 8e9 * 1500 / 1514),
        ("8G", 64, 1e10 * 64 / 106),  # only small packets fill the wire
    ],
)
def test_the_narrower_of_shaper_and_wire_counts(rate: str, size: int, carried: float) -> None:
    assert capacity_json(interfaces(rate))["vi-1"][str(size)] == int(carried)


def test_a_screen_shows_the_first_and_how_many_more_there_are() -> None:
    out = io.StringIO()
    print_capacity(Console(file=out, width=80), interfaces(*["10M"] * 25))
    lines = out.getvalue().splitlines()
    assert lines[1].split() == ["virtual", "interface", "ordered", "64", "bytes", "512", "bytes", "1,500", "bytes"]
    assert lines[2].split() == ["vi-1", "10M", "8.21M", "9.73M", "9.91M"]
    assert [line for line in lines if line.startswith("vi-")][-1].startswith("vi-20 ")
    assert "and 5 more (--json has them all)" in lines
