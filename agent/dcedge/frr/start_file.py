"""What FRR does to the router when it starts, as far as that undoes what an order needs: zebra's forwarding lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

FILES = ("frr.conf", "zebra.conf")
_SWITCHES = {"no ip forwarding": "IPv4", "no ipv6 forwarding": "IPv6"}
_BYTES_MAX = 1 << 24


def forwarding_warnings(folder: Path) -> Iterator[str]:
    """The lines in FRR's files that switch forwarding off at its start; none where they may not be read."""
    for path in (folder / name for name in FILES):
        lines = set(_lines(path))
        for line, family in _SWITCHES.items():
            if line in lines:
                yield f"{path} has `{line}`: FRR switches {family} forwarding off whenever it starts; remove the line"


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(_BYTES_MAX).decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines()]
