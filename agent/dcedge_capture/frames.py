# SPDX-License-Identifier: GPL-2.0-only
"""What a frame says, as plain values that JSON can hold: scapy takes it apart."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, TCPerror
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet

_UNREACHABLE = 3  # RFC 792


def described(raw: bytes) -> dict[str, Any]:
    """An Ethernet frame: who sent it under which tags, and whichever of these it is: ARP, ND, IP, ICMP, TCP.

    `solicitation` is the address that a neighbour solicitation comes from, `advertisement` the one that an
    advertisement is about (RFC 4861), `echo_reply` the identifier, `unreachable` the source port of the TCP segment
    that an ICMP error quotes. Bytes are hexadecimal.
    """
    frame = Ether(raw)
    # The outermost header of IP: scapy's own order would take one inside a tunnel first.
    network = next((layer for layer in _layers(frame) if isinstance(layer, (IP, IPv6))), None)
    return {
        "source": str(frame.src).lower(),
        "tags": [int(layer.vlan) for layer in _layers(frame) if isinstance(layer, (Dot1Q, Dot1AD)) and layer.vlan],
        "arp": _arp(frame),
        "ip": None if network is None else [_address(network.src), _address(network.dst)],
        "solicitation": _address(frame[IPv6].src) if frame.haslayer(ICMPv6ND_NS) else None,
        "advertisement": _address(frame[ICMPv6ND_NA].tgt) if frame.haslayer(ICMPv6ND_NA) else None,
        "echo_reply": _echo_reply(frame),
        "unreachable": _unreachable(frame),
        "tcp": _segment(frame[TCP]) if frame.haslayer(TCP) else None,
    }


def _layers(frame: Packet) -> Iterator[Packet]:
    layer: Any = frame
    while layer:
        yield layer
        layer = layer.payload


def _address(text: Any) -> str:
    return str(ip_address(str(text)))


def _arp(frame: Packet) -> dict[str, Any] | None:
    if not frame.haslayer(ARP):
        return None
    return {"operation": int(frame[ARP].op), "sender": str(frame[ARP].psrc)}


def _echo_reply(frame: Packet) -> int | None:
    if frame.haslayer(ICMP) and frame[ICMP].type == 0:
        return int(frame[ICMP].id)
    return int(frame[ICMPv6EchoReply].id) if frame.haslayer(ICMPv6EchoReply) else None


def _unreachable(frame: Packet) -> int | None:
    if frame.haslayer(TCPerror) and frame.haslayer(ICMP) and frame[ICMP].type == _UNREACHABLE:
        return int(frame[TCPerror].sport)
    return None


def _segment(segment: Any) -> dict[str, Any]:
    options = dict(option for option in segment.options if len(option) == 2)
    digest = options.get("MD5", options.get(19))  # RFC 2385
    return {
        "source_port": int(segment.sport),
        "destination_port": int(segment.dport),
        "flags": int(segment.flags),
        "segment": bytes(segment).hex(),
        "payload": bytes(segment.payload).hex(),
        "digest": None if digest is None else bytes(digest).hex(),
    }
