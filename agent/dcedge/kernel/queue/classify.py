"""Which packets are the router's own control packets, as a classic BPF program for tc-bpf(8). Pure.

BGP (RFC 4271: TCP port 179) and BFD (RFC 5881: UDP ports 3784 and 3785, RFC 5883: 4784) that come from an address of
the virtual interface; ARP; IPv6 neighbour discovery, known by its hop limit of 255 (RFC 4861, section 4), which a
forwarded packet cannot have. The source decides because no host on the LAN may get in among them by a port number.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from socket import IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP

from pyroute2.protocols import ETH_P_ARP, ETH_P_IP, ETH_P_IPV6

from dcedge.order.field_types import Address

BGP_PORT = 179
BFD_PORTS = (3784, 3785, 4784)
ND_TYPES = (133, 134, 135, 136)
ND_HOP_LIMIT = 255

# linux/filter.h, linux/bpf_common.h
_LD_WORD, _LD_HALF, _LD_BYTE = 0x20, 0x28, 0x30  # BPF_LD | BPF_W, BPF_H, BPF_B | BPF_ABS
_JUMP, _JUMP_IF_EQUAL, _RETURN = 0x05, 0x15, 0x06
_NETWORK = 0xFFF00000  # SKF_NET_OFF: offsets count from the network header
_PROTOCOL = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL: the EtherType, tags apart
_VLAN_TAG, _VLAN_TAG_PRESENT = 0xFFFFF02C, 0xFFFFF030  # SKF_AD_VLAN_TAG, SKF_AD_VLAN_TAG_PRESENT
_AND, _ADD, _RETURN_ACCUMULATOR = 0x54, 0x04, 0x16
_INSTRUCTION = struct.Struct("=HBBI")  # sock_filter: code, jump if true, jump if false, constant


_WORD = struct.Struct("=I")


@dataclass(slots=True)
class _Assembly:
    """Instructions in which jumps name their targets until the end, and words of addresses are zero."""

    lines: list[tuple[int, int, str]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    words_at: list[int] = field(default_factory=list)

    def load(self, code: int, offset: int) -> None:
        self.lines.append((code, offset, ""))

    def network(self, code: int, offset: int) -> None:
        self.load(code, _NETWORK + offset)

    def to(self, target: str, *values: int) -> None:
        """Go there where the accumulator is one of the values; without values, always."""
        for value in values:
            self.lines.append((_JUMP_IF_EQUAL, value, ""))
            self.lines.append((_JUMP, 0, target))
        if not values:
            self.lines.append((_JUMP, 0, target))

    def to_where_word(self, target: str) -> None:
        """Go there where the accumulator is the next word of the addresses."""
        self.words_at.append(len(self.lines) * _INSTRUCTION.size + _INSTRUCTION.size - _WORD.size)
        self.to(target, 0)

    def label(self, name: str) -> None:
        self.places[name] = len(self.lines)

    def give(self, value: int) -> None:
        self.lines.append((_RETURN, value, ""))

    def bytes(self) -> bytes:
        made = []
        for place, (code, value, target) in enumerate(self.lines):
            constant = self.places[target] - place - 1 if code == _JUMP else value
            # A comparison goes on to the jump behind it, which reaches further than its own eight bits, or over it.
            made.append(_INSTRUCTION.pack(code, 0, 1 if code == _JUMP_IF_EQUAL else 0, constant))
        return b"".join(made)


@dataclass(frozen=True, slots=True)
class Classifier:
    """The filter at the root: a classic BPF program (linux/filter.h) that names the class, or 0 for the default one.

    `mark`: the priority that it gives to what it names, 0 for none.
    """

    program: bytes
    mark: int


def control_classifier(addresses: Iterable[Address], class_handle: int, mark: int) -> Classifier:
    """The filter that gives `class_handle` for control packets from these addresses, and 0 for all others."""
    by_family: dict[int, list[Address]] = {4: [], 6: []}
    for address in addresses:
        by_family[address.version].append(address)
    packed = b"".join(address.packed for address in (*by_family[4], *by_family[6]))
    program, words_at = _assembled(len(by_family[4]), len(by_family[6]), class_handle)
    filled = bytearray(program)
    for at, word in zip(words_at, struct.unpack(f"!{len(packed) // _WORD.size}I", packed), strict=True):
        _WORD.pack_into(filled, at, word)
    return Classifier(bytes(filled), mark)


@lru_cache(maxsize=64)
def _assembled(ipv4_count: int, ipv6_count: int, class_handle: int) -> tuple[bytes, tuple[int, ...]]:
    """The program for so many addresses, and where their words belong: thousands of links differ in nothing else."""
    code = _Assembly()
    code.load(_LD_HALF, _PROTOCOL)
    code.to("ipv4", ETH_P_IP)
    code.to("ipv6", ETH_P_IPV6)
    code.to("control", ETH_P_ARP)
    code.to("other")

    code.label("ipv4")
    code.network(_LD_WORD, 12)
    for _ in range(ipv4_count):
        code.to_where_word("ipv4 ours")
    code.to("other")
    code.label("ipv4 ours")
    code.network(_LD_BYTE, 0)
    code.to("ipv4 plain", 0x45)  # no options: the router's own packets have none
    code.to("other")
    code.label("ipv4 plain")
    _ports(code, protocol_at=9, ports_at=20)

    code.label("ipv6")
    code.network(_LD_BYTE, 6)
    code.to("icmpv6", IPPROTO_ICMPV6)
    for number in range(ipv6_count):
        for word in range(4):
            code.network(_LD_WORD, 8 + 4 * word)
            code.to_where_word(f"ipv6 {number} {word}")
            code.to(f"ipv6 not {number}")
            code.label(f"ipv6 {number} {word}")
        code.to("ipv6 ours")
        code.label(f"ipv6 not {number}")
    code.to("other")
    code.label("ipv6 ours")
    _ports(code, protocol_at=6, ports_at=40)

    code.label("icmpv6")
    code.network(_LD_BYTE, 7)
    code.to("neighbour discovery", ND_HOP_LIMIT)
    code.to("other")
    code.label("neighbour discovery")
    code.network(_LD_BYTE, 40)
    code.to("control", *ND_TYPES)

    code.label("other")
    code.give(0)
    code.label("control")
    code.give(class_handle)
    return code.bytes(), tuple(code.words_at)


def vlan_program(first_handle: int) -> bytes:
    """The program that sorts by VLAN: the class of VLAN n is `first_handle` + n; 0 for what has no tag.

    A tag is beside the packet here, not in it: so the kernel's VLAN devices hand it down.
    """
    code = _Assembly()
    code.load(_LD_WORD, _VLAN_TAG_PRESENT)
    code.to("untagged", 0)
    code.load(_LD_WORD, _VLAN_TAG)
    code.load(_AND, 0xFFF)
    code.load(_ADD, first_handle)
    code.load(_RETURN_ACCUMULATOR, 0)
    code.label("untagged")
    code.give(0)
    return code.bytes()


def _ports(code: _Assembly, *, protocol_at: int, ports_at: int) -> None:
    """Go to `control` for BGP and BFD, else to `other`."""
    udp = f"udp {ports_at}"
    code.network(_LD_BYTE, protocol_at)
    code.to(udp, IPPROTO_UDP)
    code.to(f"tcp {ports_at}", IPPROTO_TCP)
    code.to("other")
    code.label(f"tcp {ports_at}")
    for at in (ports_at, ports_at + 2):
        code.network(_LD_HALF, at)
        code.to("control", BGP_PORT)
    code.to("other")
    code.label(udp)
    code.network(_LD_HALF, ports_at + 2)
    code.to("control", *BFD_PORTS)
    code.to("other")
