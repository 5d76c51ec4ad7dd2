"""Which packets are control packets, decided by running the program on frames as the kernel would."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP
from scapy.packet import Packet

from dcedge.kernel.queue.classify import control_classifier

CONTROL = 0xDCE0002
FOUR, SIX, HOST = "10.255.101.2", "2001:db8:101::2", "192.0.2.10"
PROGRAM = control_classifier(map(ip_address, (FOUR, SIX)), CONTROL, 0).program
ETHERTYPES = {ARP: 0x0806, IP: 0x0800, IPv6: 0x86DD}


def run(program: bytes, packet: Packet) -> int:
    """Interpret a program on a packet that begins with its network header (linux/filter.h)."""
    network, accumulator, at = bytes(packet) + bytes(64), 0, 0
    instructions = [struct.unpack_from("=HBBI", program, place) for place in range(0, len(program), 8)]
    while True:
        code, true, false, constant = instructions[at]
        at += 1
        match code:
            case 0x28 if constant == 0xFFFFF000:
                accumulator = ETHERTYPES[type(packet)]
            case 0x20 | 0x28 | 0x30:
                size = {0x20: 4, 0x28: 2, 0x30: 1}[code]
                start = constant - 0xFFF00000
                accumulator = int.from_bytes(network[start : start + size])
            case 0x05:
                at += constant
            case 0x15:
                at += true if accumulator == constant else false
            case 0x06:
                return int(constant)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.mark.parametrize(
    "packet",
    [
        ARP(),
        IP(src=FOUR, dst="10.255.101.1") / TCP(sport=40000, dport=179),
        IP(src=FOUR, dst="10.255.101.1") / TCP(sport=179, dport=40000),
        IP(src=FOUR, dst="10.255.101.1") / UDP(sport=49152, dport=3784),
        IP(src=FOUR, dst="10.255.101.1") / UDP(sport=49152, dport=4784),
        IPv6(src=SIX, dst="2001:db8:101::1") / TCP(sport=40000, dport=179),
        IPv6(src=SIX, dst="2001:db8:101::1") / UDP(sport=49152, dport=3784),
        IPv6(src="fe80::1", dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt="2001:db8:101::1"),
    ],
    ids=lambda packet: packet.summary(),
)
def test_the_routers_own_control_packets_go_first(packet: Packet) -> None:
    assert run(PROGRAM, packet) == CONTROL


@pytest.mark.parametrize(
    "packet",
    [
        IP(src=HOST, dst="10.20.0.10") / TCP(sport=40000, dport=179),
        IP(src=HOST, dst="10.20.0.10") / UDP(sport=49152, dport=3784),
        IP(src=FOUR, dst="10.255.101.1") / TCP(sport=40000, dport=443),
        IPv6(src="2001:db8:10::10", dst="2001:db8:20::10") / TCP(sport=40000, dport=179),
        IPv6(src=SIX, dst="2001:db8:101::1") / ICMPv6EchoRequest(),
        IPv6(src="2001:db8:10::10", dst="2001:db8:101::1", hlim=254) / ICMPv6ND_NS(tgt="2001:db8:101::1"),
    ],
    ids=lambda packet: packet.summary(),
)
def test_everything_else_waits_in_the_queue(packet: Packet) -> None:
    assert run(PROGRAM, packet) == 0


def test_many_addresses_are_no_trouble() -> None:
    many = [ip_address(f"10.0.{number >> 8}.{number & 255}") for number in range(1, 301)]
    packet = IP(src="10.0.1.44", dst="10.255.101.1") / TCP(sport=40000, dport=179)
    assert run(control_classifier(many, CONTROL, 0).program, packet) == CONTROL
