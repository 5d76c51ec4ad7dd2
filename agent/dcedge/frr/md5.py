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
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from pyroute2.netlink import NETLINK_SOCK_DIAG, NLMSG_ERROR
from pyroute2.netlink.diag import SOCK_DIAG_BY_FAMILY, SS_LISTEN, inet_diag_msg, inet_diag_req

from dcedge.errors import KernelError
from dcedge.frr.config import ConfigLine, render_lines
from dcedge.frr.feed import FrrRejectedError
from dcedge.frr.resources import SESSION, FrrBlock
from dcedge.frr.vty import FrrClient
from dcedge.netlink.layout import ATTRIBUTE, HEADER, attribute_number, fields_bytes
from dcedge.netlink.socket import ERROR, frame, open_socket
from dcedge.netlink.templates import request
from dcedge.order.credentials import Secret
from dcedge.order.field_types import Address
from dcedge.plan.resource import Key

log = logging.getLogger(__name__)

BGP_PORT = 179
_WITH_INFO = 1 << (attribute_number(inet_diag_msg, "INET_DIAG_INFO") - 1)  # of which the keys are a part
_KEYS = attribute_number(inet_diag_msg, "INET_DIAG_MD5SIG")
_ANY = 0xFFFFFFFF  # half of a cookie that stands for any socket: INET_DIAG_NOCOOKIE
_KEY = struct.Struct("=BBH16s80s")  # tcp_diag_md5sig in linux/tcp.h
_ANSWER_BYTES = 8 << 20
_TIMEOUT_SECONDS = 5.0
_SOCKET_SECONDS, _SOCKET_PAUSE_SECONDS = 2.0, 0.05


@dataclass(frozen=True, slots=True)
class KeyedPeer:
    """A session that must have a key."""

    virtual_interface: str
    router: str  # the line that opens its BGP instance
    vrf: str | None  # None: the main table
    peer: Address


def keyed_peers(blocks: Mapping[Key, FrrBlock]) -> dict[KeyedPeer, Secret]:
    """The sessions of FRR's intent that have a key, and which."""
    found: dict[KeyedPeer, Secret] = {}
    for key, block in blocks.items():
        if key.type == SESSION:
            found.update(_keyed_in(block))
    return found


@lru_cache(maxsize=8192)
def _keyed_in(block: FrrBlock) -> tuple[tuple[KeyedPeer, Secret], ...]:
    """The sessions of one virtual interface that have a key; remembered, as blocks are the same pass after pass."""
    found = []
    for entry in block.entries if " password " in block.packed else ():
        router, _, text = entry.partition("\t")
        words = text.split(" ")
        if words[0] == "neighbor" and words[2:3] == ["password"]:
            vrf = router.partition(" vrf ")[2] or None
            found.append((KeyedPeer(block.key.name, router, vrf, ip_address(words[1])), Secret(words[3])))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class KeySearch:
    """Sessions whose key is not in force, or is another one; and in words where keys could not be looked for."""

    missing: frozenset[KeyedPeer]
    unheard: str


def look_for_keys(intended: Mapping[KeyedPeer, Secret], *, patient: bool = False) -> KeySearch:
    """Whether the sessions' keys are in force on bgpd's listening sockets.

    A socket that is not there yet is waited for, if `patient`: bgpd opens that of a new VRF in its own time. Where
    nobody listens nobody comes in without a key either.

    Raises KernelError where the kernel cannot be asked.
    """
    installed: dict[tuple[int, str | None], Mapping[Address, bytes] | None] = {}
    missing = set()
    for peer, secret in intended.items():
        place = peer.peer.version, peer.vrf
        if place not in installed:
            installed[place] = _awaited(*place) if patient else installed_keys(*place)
        keys = installed[place]
        if keys is not None and keys.get(peer.peer) != secret.reveal().encode():
            missing.add(peer)
    deaf = sorted(f"IPv{version} in {vrf or 'default'}" for (version, vrf), keys in installed.items() if keys is None)
    unheard = f"TCP-MD5 keys cannot be verified: bgpd does not listen for {', '.join(deaf)}" if deaf else ""
    return KeySearch(frozenset(missing), unheard)


def _awaited(version: int, vrf: str | None) -> Mapping[Address, bytes] | None:
    deadline = time.monotonic() + _SOCKET_SECONDS
    while (keys := installed_keys(version, vrf)) is None and time.monotonic() < deadline:
        time.sleep(_SOCKET_PAUSE_SECONDS)
    return keys


def installed_keys(version: int, vrf: str | None = None, port: int = BGP_PORT) -> dict[Address, bytes] | None:
    """The keys of the socket that listens on that port, by peer; None where nobody listens (or cannot be seen to).

    Raises KernelError where the kernel cannot be asked.
    """
    try:
        device = socket.if_nametoindex(vrf) if vrf else 0
        answer = _ask(version, device, port)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENODEV}:
            return None
        raise KernelError(f"reading TCP-MD5 keys: {error.strerror or error}", error.errno or 0) from error
    return dict(_keys(answer, version))


def secure(
    frr: FrrClient, ordered: Mapping[Key, FrrBlock], keyed: Mapping[KeyedPeer, Secret], missing: Collection[KeyedPeer]
) -> frozenset[KeyedPeer]:
    """Shut the sessions whose key is missing, try to install it anew, and open those again where that helped.

    Those that the order itself has shut stay so. Returns those that stay without their key: see `shut_down_unsafe`.

    Raises:
        FrrError: FRR does not answer, or cannot be made to shut a session.
        KernelError: The kernel cannot be asked.
    """
    frr.apply(_lines(missing, "shutdown"))
    try:
        frr.apply(_again(missing, keyed))
    except FrrRejectedError as error:
        log.warning("%s", error)
    still = look_for_keys({peer: keyed[peer] for peer in missing}).missing
    shut = {entry for block in ordered.values() for entry in block.entries if entry.endswith(" shutdown")}
    well = {peer for peer in missing if peer not in still and _shut(peer) not in shut}
    frr.apply(_lines(still, "shutdown") + _lines(well, "shutdown", "no "))
    return still


def shut_down_unsafe(intended: Mapping[Key, FrrBlock], unsafe: Collection[KeyedPeer]) -> Mapping[Key, FrrBlock]:
    """The intent, but with sessions shut that would run without their key."""
    held = dict(intended) if unsafe else intended
    for peer in unsafe:
        key = Key(SESSION, peer.virtual_interface)
        block = held.get(key)
        if block is not None and f"{peer.router}\tneighbor {peer.peer} remote-as " in block.packed:
            entries = {*block.entries, _shut(peer)}
            held = {**held, key: FrrBlock.of_entries(key, block.affects, entries)}
    return held


def _shut(peer: KeyedPeer) -> str:
    return f"{peer.router}\tneighbor {peer.peer} shutdown"


def _again(peers: Iterable[KeyedPeer], secrets: Mapping[KeyedPeer, Secret]) -> str:
    """Lines that set the keys anew; bgpd does nothing for a password that it has already."""
    lines = []
    for peer in _in_order(peers):
        lines.append(ConfigLine((peer.router,), f"no neighbor {peer.peer} password"))
        lines.append(ConfigLine((peer.router,), f"neighbor {peer.peer} password {secrets[peer].reveal()}"))
    return render_lines(lines)


def _lines(peers: Iterable[KeyedPeer], words: str, no: str = "") -> str:
    return render_lines(ConfigLine((peer.router,), f"{no}neighbor {peer.peer} {words}") for peer in _in_order(peers))


def _in_order(peers: Iterable[KeyedPeer]) -> list[KeyedPeer]:
    return sorted(peers, key=lambda peer: (peer.router, peer.peer.version, peer.peer))


def _ask(version: int, device: int, port: int) -> bytes:
    """What the kernel says of the listening socket: inet_diag_msg and its attributes.

    Asked for alone: in a dump a socket with more than a few hundred keys does not fit. OSError: there is none.
    """
    content = {
        "sdiag_family": socket.AF_INET if version == 4 else socket.AF_INET6,
        "sdiag_protocol": socket.IPPROTO_TCP,
        "idiag_ext": _WITH_INFO,
        "idiag_states": 1 << SS_LISTEN,
        "idiag_sport": port,
        "idiag_if": device,
        "idiag_cookie": _ANY << 32 | _ANY,
    }
    # RouteSocket reads no more at once than a dump sends; the message of a socket with thousands of keys is longer.
    asking = frame(request(inet_diag_req, SOCK_DIAG_BY_FAMILY, 0, content))
    link = open_socket(NETLINK_SOCK_DIAG, timeout_seconds=_TIMEOUT_SECONDS)
    try:
        link.send(asking)
        answer = link.recv(_ANSWER_BYTES)
    finally:
        link.close()
    length, message_type, *_ = HEADER.unpack_from(answer)
    if message_type == NLMSG_ERROR:
        code = -ERROR.unpack_from(answer, HEADER.size)[0]
        raise OSError(code, os.strerror(code))
    return bytes(answer[HEADER.size : length])


def _keys(message: bytes, version: int) -> Iterator[tuple[Address, bytes]]:
    at = fields_bytes(inet_diag_msg)
    while at + 4 <= len(message):
        length, attribute = ATTRIBUTE.unpack_from(message, at)
        if attribute == _KEYS:
            # The last attribute. Its length has 16 bits, too few beyond 655 keys, so the message's end counts.
            for place in range(at + 4, len(message) - _KEY.size + 1, _KEY.size):
                _, _, size, address, key = _KEY.unpack_from(message, place)
                yield ip_address(address[:4] if version == 4 else address), key[:size]
            return
        if length < 4:
            return
        at += (length + 3) & ~3
