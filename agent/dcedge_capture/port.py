# SPDX-License-Identifier: GPL-2.0-only
"""A packet socket on one port: what the kernel lets through to it, and how a frame is read from it.

Only ARP, ICMP and TCP 179 get through: the kernel sorts out the rest, so that a busy port does not drown it. The port
hears everything while it lasts, since a network card may filter VLANs that nobody ordered.
"""

from __future__ import annotations

import ctypes
import socket
import struct

BGP_PORT = 179
# linux/if_packet.h and asm-generic/socket.h, for what Python has no names.
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_AUXDATA, _PACKET_MR_PROMISC = 263, 1, 8, 1
_VLAN_VALID, _VLAN_TPID_VALID = 1 << 4, 1 << 6  # in tp_status
_MEMBERSHIP = struct.Struct("@iHH8s")  # packet_mreq
_AUXDATA = struct.Struct("@IIIHHHH")  # tpacket_auxdata
_DOT1Q = 0x8100
_ETH_P_ALL = 0x0003
_FRAME_BYTES_MAX = 65535
_ADDRESSES_BYTES = 12  # of an Ethernet header, before the tag


def open_port(port: str) -> socket.socket:
    """A socket that hears all frames of the port, in and out. Needs CAP_NET_RAW. OSError."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # protocol 0: nothing comes before the last bind
    try:
        sock.bind((port, 0))
        index = socket.if_nametoindex(port)
        attach_filter(sock, filter_program())
        sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _MEMBERSHIP.pack(index, _PACKET_MR_PROMISC, 0, bytes(8)))
        sock.bind((port, _ETH_P_ALL))
    except OSError:
        sock.close()
        raise
    return sock


def read_frame(sock: socket.socket) -> bytes:
    """The next frame with its tags. OSError, TimeoutError."""
    frame, beside, _, _ = sock.recvmsg(_FRAME_BYTES_MAX, socket.CMSG_SPACE(_AUXDATA.size))
    for level, cmsg_type, data in beside:
        if (level, cmsg_type) == (_SOL_PACKET, _PACKET_AUXDATA):
            return with_tag(frame, data)
    return frame


def with_tag(frame: bytes, auxdata: bytes) -> bytes:
    """The frame with the tag that the kernel hands over beside it (packet(7), PACKET_AUXDATA)."""
    status, _, _, _, _, tci, protocol = _AUXDATA.unpack(auxdata)
    if not status & _VLAN_VALID:
        return frame
    tag = struct.pack("!HH", protocol if status & _VLAN_TPID_VALID else _DOT1Q, tci)
    return frame[:_ADDRESSES_BYTES] + tag + frame[_ADDRESSES_BYTES:]


def attach_filter(sock: socket.socket, program: bytes) -> None:
    """Have the kernel run a classic BPF program over each frame (socket(7), SO_ATTACH_FILTER). OSError."""
    instructions = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)


def filter_program() -> bytes:
    """A classic BPF program (linux/filter.h): lets through ARP, ICMP, ICMPv6 and TCP 179, under at most one tag.

    (A received frame's outermost tag is beside it, not in it: packet(7), PACKET_AUXDATA.)
    """
    code: list[tuple[int, int, str, str]] = []  # operation, operand, where to go if equal and if not
    places: dict[str, int] = {}
    half, byte, equals, header_length, half_indexed, give = 0x28, 0x30, 0x15, 0xB1, 0x48, 0x06
    for tag, base in ((False, 12), (True, 16)):
        name = "tagged" if tag else "plain"
        places[name] = len(code)
        code.append((half, base, "", ""))
        code.append((equals, 0x0806, "take", ""))
        code.append((equals, 0x86DD, f"{name}6", ""))
        if tag:
            code.append((equals, 0x0800, "", "drop"))
        else:
            code.append((equals, 0x8100, "tagged", ""))
            code.append((equals, 0x88A8, "tagged", ""))
            code.append((equals, 0x0800, "", "drop"))
        code.append((byte, base + 11, "", ""))
        code.append((equals, socket.IPPROTO_ICMP, "take", ""))
        code.append((equals, socket.IPPROTO_TCP, "", "drop"))
        code.append((header_length, base + 2, "", ""))
        code.append((half_indexed, base + 2, "", ""))
        code.append((equals, BGP_PORT, "take", ""))
        code.append((half_indexed, base + 4, "", ""))
        code.append((equals, BGP_PORT, "take", "drop"))
        places[f"{name}6"] = len(code)
        code.append((byte, base + 8, "", ""))
        code.append((equals, socket.IPPROTO_ICMPV6, "take", ""))
        code.append((equals, socket.IPPROTO_TCP, "", "drop"))
        code.append((half, base + 42, "", ""))
        code.append((equals, BGP_PORT, "take", ""))
        code.append((half, base + 44, "", ""))
        code.append((equals, BGP_PORT, "take", "drop"))
    places["take"] = len(code)
    code.append((give, 0xFFFF, "", ""))
    places["drop"] = len(code)
    code.append((give, 0, "", ""))

    def step(here: int, to: str) -> int:
        return places[to] - here - 1 if to else 0

    return b"".join(
        struct.pack("=HBBI", operation, step(here, then), step(here, otherwise), operand)
        for here, (operation, operand, then, otherwise) in enumerate(code)
    )
