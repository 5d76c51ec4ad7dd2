"""What FRR does to the router when it starts, as far as that undoes what an order needs: zebra's forwarding lines."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

FILES = ("frr.conf", "zebra.conf")
_SWITCHES = {"no ip forwarding": 4, "no ipv6 forwarding": 6}
_BYTES_MAX = 1 << 24


def forwarding_warnings(folder: Path, versions: Container[int]) -> Iterator[str]:
    """The lines in FRR's files that switch forwarding of these IP versions off at its start; none where not readable.

    FRR itself writes the line of a version that the kernel does not forward.
    """
    for path in (folder / name for name in FILES):
        lines = set(_lines(path))
        for line, version in _SWITCHES.items():
            if line in lines and version in versions:
                off = f"FRR switches IPv{version} forwarding off whenever it starts"
                yield f"{path} has `{line}`: {off}; remove the line"


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(_BYTES_MAX).decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines()]
