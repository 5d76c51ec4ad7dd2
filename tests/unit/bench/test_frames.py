"""The frames that are counted: a router must not find anything wrong with them."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.bench.frames import FCS_BYTES, frame


@pytest.mark.parametrize("size", [64, 594, 1518])
def test_a_frame_is_udp_of_the_wanted_size_with_a_right_checksum(size: int) -> None:
    data = frame("02:00:00:00:00:01", IPv4Address("192.0.2.10"), IPv4Address("10.20.0.10"), size, 7)
    assert len(data) == size - FCS_BYTES
    seen = Ether(data)
    assert (seen.dst, seen[IP].src, seen[IP].dst) == ("02:00:00:00:00:01", "192.0.2.10", "10.20.0.10")
    assert (seen[UDP].sport, seen[IP].len) == (20_007, size - FCS_BYTES - 14)
    right = seen[IP].chksum
    del seen[IP].chksum
    assert IP(bytes(seen[IP])).chksum == right
