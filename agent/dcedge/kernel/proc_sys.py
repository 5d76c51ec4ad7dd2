"""Settings below /proc/sys/net of the current network namespace: no path leads out of there."""

from __future__ import annotations

import errno
import os
import stat
from functools import cache
from pathlib import Path

from dcedge.errors import KernelError

ROOT = Path("/proc/sys")
_OURS = "net"
_NUMBER_BYTES = 64
NO_IPV6 = "this kernel runs without IPv6: take ipv6.disable=1 from the kernel's command line, or order no IPv6"


def read(path: str) -> int | None:
    """A setting's value; None where the kernel has no such setting. Raises KernelError, for a path out of there too."""
    try:
        descriptor = os.open(_file(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return int(os.read(descriptor, _NUMBER_BYTES))
        finally:
            os.close(descriptor)
    except FileNotFoundError:  # from the reading too, where its link has just gone
        return None
    except OSError as error:
        raise KernelError(f"{path.replace('/', '.')}: {error.strerror}", error.errno or errno.EIO) from error


def write(path: str, value: int) -> None:
    """Set a setting. Raises KernelError with its name."""
    try:
        descriptor = os.open(_file(path), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "w") as file:
            file.write(str(value))
    except OSError as error:
        code = error.errno or errno.EIO
        why = NO_IPV6 if path.startswith("net/ipv6/") and not has_ipv6() else error.strerror
        raise KernelError(f"{path.replace('/', '.')} = {value}: {why}", code) from error


def has_ipv6() -> bool:
    """Whether this kernel runs with IPv6."""
    return (ROOT / "net/ipv6").is_dir()


def _file(path: str) -> str:
    """Where a setting is, which neither its path nor a link on the way may have elsewhere.

    Plain text and few questions: of thousands of links there are several settings each.
    """
    top, *rest = path.split("/")
    if top != _OURS or not rest or not all(part not in {"", ".", ".."} for part in rest):
        raise KernelError(f"{path!r} is no setting of the network's", errno.EINVAL)
    folder, _, _ = path.rpartition("/")
    above, _, _ = folder.rpartition("/")
    root = str(ROOT)
    if not _lies_in(root, above) or stat.S_ISLNK(os.lstat(f"{root}/{folder}").st_mode):
        raise KernelError(f"{path!r} leads out of {ROOT}", errno.ELOOP)
    return f"{root}/{path}"


@cache
def _lies_in(root: str, folder: str) -> bool:
    """Whether a folder that many settings' folders are in is where its path says."""
    return os.path.realpath(f"{root}/{folder}") == os.path.join(os.path.realpath(root), folder).rstrip("/")  # noqa: PTH118
