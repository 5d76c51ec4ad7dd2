"""TCP-MD5 keys as the kernel has them: a session that is ordered with a key runs with it, or not at all.

bgpd keeps a password in its configuration though the kernel refused the key (its memory for socket options is full,
say), and lets the session come up without it. So the keys are read back from the listening sockets (sock_diag(7);
needs CAP_NET_ADMIN).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from dcedge.bgp.config import Line, mask, render_lines
from dcedge.bgp.resources import SESSION, FrrBlock
from dcedge.bgp.vty import FrrClient, FrrRejectedError
from dcedge.credentials import Secret
from dcedge.errors import KernelError
from dcedge.order.model import Address
from dcedge.resource import Key

log = logging.getLogger(__name__)

BGP_PORT = 179
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20  # linux/netlink.h, linux/sock_diag.h
_INET_DIAG_MD5SIG = 18  # linux/inet_diag.h
_NLMSG_ERROR, _NLM_F_REQUEST = 2, 1
_WITH_INFO = 1 << 1  # INET_DIAG_INFO, of which the keys are a part
_LISTEN = 1 << 10  # TCPF_LISTEN
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")  # inet_diag_req_v2 up to its socket
_SOCKET = struct.Struct("!HH16s16s")  # ports and addresses of inet_diag_sockid; interface and cookie follow
_MESSAGE_BYTES = 72  # inet_diag_msg
_KEY = struct.Struct("=BBH16s80s")  # tcp_diag_md5sig in linux/tcp.h
_ANSWER_BYTES = 8 << 20
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class KeyedPeer:
    """A session that must have a key."""

    virtual_interface: str
    router: str  # the line that opens its BGP instance
    vrf: str | None  # None: the main table
    peer: Address


def keyed_peers(blocks: Mapping[Key, FrrBlock]) -> dict[KeyedPeer, Secret]:
    """The sessions of FRR's intent that have a key, and which."""
    found = {}
    for key, block in blocks.items():
        if key.kind == SESSION and " password " in block.packed:
            for entry in block.entries:
                router, _, text = entry.partition("\t")
                words = text.split(" ")
                if words[0] == "neighbor" and words[2:3] == ["password"]:
                    vrf = router.partition(" vrf ")[2] or None
                    found[KeyedPeer(key.name, router, vrf, ip_address(words[1]))] = Secret(words[3])
    return found


def missing_keys(wanted: Mapping[KeyedPeer, Secret]) -> frozenset[KeyedPeer]:
    """Those of the sessions whose key is not in force on bgpd's listening socket, or is another one.

    Raises KernelError where the kernel cannot be asked.
    """
    installed: dict[tuple[int, str | None], Mapping[Address, bytes]] = {}
    missing = set()
    for peer, secret in wanted.items():
        place = peer.peer.version, peer.vrf
        if place not in installed:
            installed[place] = installed_keys(*place)
        if installed[place].get(peer.peer) != secret.reveal().encode():
            missing.add(peer)
    return frozenset(missing)


def installed_keys(version: int, vrf: str | None = None, port: int = BGP_PORT) -> dict[Address, bytes]:
    """The keys of the socket that listens on that port, by peer; none where nobody listens.

    Raises KernelError where the kernel cannot be asked.
    """
    try:
        device = socket.if_nametoindex(vrf) if vrf else 0
        answer = _ask(version, device, port)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENODEV}:
            return {}
        raise KernelError(f"reading TCP-MD5 keys: {error.strerror or error}", error.errno or 0) from error
    return dict(_keys(answer, version))


def secure(frr: FrrClient, blocks: Mapping[Key, FrrBlock]) -> frozenset[str]:
    """See to it that every session of the intent that has a key runs with it; else shut it.

    Returns the virtual interfaces that have a session without its key, which are shut now: derive the next intent with
    these as `unsafe`, and call this again, which tries to install their keys anew.

    Raises:
        FrrError: FRR does not answer, or cannot be made to shut a session.
        KernelError: The kernel cannot be asked.
    """
    wanted = keyed_peers(blocks)
    missing = missing_keys(wanted)
    if not missing:
        return frozenset()
    try:
        frr.apply(_lines(missing, ("shutdown",)))
        frr.apply(_again(missing, wanted))
    except FrrRejectedError as error:
        log.warning("%s", mask(str(error)))
    still = missing_keys({peer: wanted[peer] for peer in missing})
    shut = {entry for block in blocks.values() for entry in block.entries if entry.endswith(" shutdown")}
    well = {peer for peer in missing - still if f"{peer.router}\tneighbor {peer.peer} shutdown" not in shut}
    frr.apply(_lines(still, ("shutdown",)))
    frr.apply(_lines(well, ("no shutdown",)))
    return frozenset(peer.virtual_interface for peer in still)


def _again(peers: Iterable[KeyedPeer], secrets: Mapping[KeyedPeer, Secret]) -> str:
    """Lines that set the keys anew; bgpd does nothing for a password that it has already."""
    lines = []
    for peer in _in_order(peers):
        lines.append(Line((peer.router,), f"no neighbor {peer.peer} password"))
        lines.append(Line((peer.router,), f"neighbor {peer.peer} password {secrets[peer].reveal()}"))
    return render_lines(lines)


def _lines(peers: Iterable[KeyedPeer], words: tuple[str, ...]) -> str:
    return render_lines(
        Line(
            (peer.router,), f"{'no ' if word.startswith('no ') else ''}neighbor {peer.peer} {word.removeprefix('no ')}"
        )
        for peer in _in_order(peers)
        for word in words
    )


def _in_order(peers: Iterable[KeyedPeer]) -> list[KeyedPeer]:
    return sorted(peers, key=lambda peer: (peer.router, peer.peer.version, peer.peer))


def _ask(version: int, device: int, port: int) -> bytes:
    """What the kernel says of the listening socket: inet_diag_msg and its attributes.

    Asked for alone: in a dump a socket with more than a few hundred keys does not fit. OSError: there is none.
    """
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, _WITH_INFO, 0, _LISTEN)
    body += _SOCKET.pack(port, 0, bytes(16), bytes(16)) + struct.pack("=III", device, 0xFFFFFFFF, 0xFFFFFFFF)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(_TIMEOUT_SECONDS)
        link.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body)
        answer = link.recv(_ANSWER_BYTES)
    length, kind, *_ = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        raise OSError(code, os.strerror(code))
    return answer[_HEADER.size : length]


def _keys(message: bytes, version: int) -> Iterator[tuple[Address, bytes]]:
    at = _MESSAGE_BYTES
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if kind == _INET_DIAG_MD5SIG:
            # The last attribute. Its length has 16 bits, too few beyond 655 keys, so the message's end counts.
            for place in range(at + 4, len(message) - _KEY.size + 1, _KEY.size):
                _, _, size, address, key = _KEY.unpack_from(message, place)
                yield ip_address(address[:4] if version == 4 else address), key[:size]
            return
        if length < 4:
            return
        at += (length + 3) & ~3
