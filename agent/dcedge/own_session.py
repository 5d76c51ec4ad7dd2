"""The path of the caller's own SSH session, and whether a plan touches it."""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

from dcedge.errors import KernelError
from dcedge.kernel.netlink import RouteSocket, attribute, attributes
from dcedge.order.kinds import Address
from dcedge.plan import Plan

_RTM_GETROUTE = 26
_RTA_DST, _RTA_OIF = 1, 4
_ROUTE_BODY = struct.Struct("=BBBBBBBBI")  # rtmsg
_ANCESTORS_MAX = 32


def ssh_client() -> Address | None:
    """Where the caller's SSH session comes from: SSH_CONNECTION of this process or (sudo drops it) of an ancestor."""
    pid = os.getpid()
    for _ in range(_ANCESTORS_MAX):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return None
        for entry in environment.split(b"\0"):
            if entry.startswith(b"SSH_CONNECTION="):
                try:
                    return ip_address(entry.partition(b"=")[2].split()[0].decode().partition("%")[0])
                except (ValueError, IndexError):
                    return None
        if parent <= 1:
            return None
        pid = parent
    return None


def outgoing_link(sock: RouteSocket, address: Address) -> str | None:
    """The link by which packets to an address leave; None where there is no route. Raises KernelError."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = _ROUTE_BODY.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_DST, address.packed)

    def link(data: memoryview, start: int, end: int) -> int:
        found = attributes(data, start + _ROUTE_BODY.size, end)
        return int(struct.unpack_from("=I", data, found[_RTA_OIF][0])[0]) if _RTA_OIF in found else 0

    try:
        index = sock.get(_RTM_GETROUTE, body, link)
        return socket.if_indextoname(index) if index else None
    except (KernelError, OSError):
        return None


def warning(plan: Plan, link: str, client: Address) -> str | None:
    """What to say where a disruptive operation touches the link that the session comes in by."""
    for operation in plan.operations:
        if operation.disruption != "link":
            continue
        words = {operation.key.name, *operation.key.name.split(" on ")}
        if operation.resource.parent is not None:
            words.add(operation.resource.parent.name)
        # A port carries the links upon it.
        if link in words or any(link.startswith(word + ".") for word in words):
            return (
                f"your SSH session from {client} comes in by {link}, "
                f"which `{operation.action} {operation.key}` touches: use --confirm"
            )
    return None
