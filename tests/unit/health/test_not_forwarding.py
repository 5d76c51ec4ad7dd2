"""A router that does not forward: its own sessions and pings go on, and no packet of anybody else's does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dcedge.monitor.health.judge import judge
from dcedge.order.field_types import Family
from tests.unit.health.test_verdict import GOOD


@pytest.mark.parametrize(
    ("has", "off", "state", "says"),
    [
        (("ipv4",), ("ipv4",), "down", "this router does not forward IPv4 (net.ipv4.ip_forward is 0)"),
        (("ipv4",), ("ipv6",), "up", "as ordered"),
        (("ipv4", "ipv6"), ("ipv4",), "degraded", "does not forward IPv4"),
        (
            ("ipv4", "ipv6"),
            ("ipv4", "ipv6"),
            "down",
            "IPv4 (net.ipv4.ip_forward is 0) and IPv6 (net.ipv6.conf.all.forwarding is 0)",
        ),
    ],
)
def test_what_is_switched_off_counts_where_a_virtual_interface_has_it(
    has: tuple[Family, ...], off: tuple[Family, ...], state: str, says: str
) -> None:
    verdict = judge(replace(GOOD, families=frozenset(has), not_forwarded=frozenset(off)))
    assert verdict.state == state
    assert says in verdict.reason
    assert verdict.side == ("customer" if state != "up" else "unknown")
