"""Settings below /proc/sys of the current network namespace."""

from __future__ import annotations

import errno
from pathlib import Path

from dcedge.errors import KernelError

ROOT = Path("/proc/sys")


def read(path: str) -> int | None:
    """A setting's value; None where the kernel has no such setting."""
    try:
        return int((ROOT / path).read_text())
    except FileNotFoundError:
        return None


def write(path: str, value: int) -> None:
    """Set a setting. Raises KernelError with its name."""
    try:
        with (ROOT / path).open("w") as file:
            file.write(str(value))
    except OSError as error:
        code = error.errno or errno.EIO
        raise KernelError(f"{path.replace('/', '.')} = {value}: {error.strerror}", code) from error
