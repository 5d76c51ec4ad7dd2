"""The path of the caller's own SSH session, and whether a plan touches it."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

from dcedge.order.field_types import Address
from dcedge.plan.diff import Plan

_ANCESTORS_MAX = 32


def ssh_client() -> Address | None:
    """Where the caller's SSH session comes from: SSH_CONNECTION of this process or (sudo drops it) of an ancestor."""
    pid = os.getpid()
    for _ in range(_ANCESTORS_MAX):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            parent = int(
                Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
            )
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


def warning(plan: Plan, link: str, client: Address) -> str | None:
    """What to say where a disruptive operation touches the link that the session uses."""
    for operation in plan.operations:
        if operation.disruption != "link":
            continue
        words = {operation.key.name, *operation.key.name.split(" on ")}
        if operation.resource.parent is not None:
            words.add(operation.resource.parent.name)
        # A port carries the links on top of it.
        if link in words or any(link.startswith(word + ".") for word in words):
            return (
                f"your SSH session from {client} uses {link}, "
                f"which `{operation.action} {operation.key}` changes: use --confirm"
            )
    return None
