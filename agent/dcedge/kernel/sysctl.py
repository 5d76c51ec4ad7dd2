"""Settings below /proc/sys/net of the current network namespace: no path leads out of there."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from dcedge.errors import KernelError
from dcedge.kernel.objects import Sysctl
from dcedge.resource import Key, Resource

ROOT = Path("/proc/sys")
_OURS = "net"
log = logging.getLogger(__name__)
_missing: set[str] = set()


def read(path: str) -> int | None:
    """A setting's value; None where the kernel has no such setting. KernelError for a path out of there."""
    try:
        return int(_file(path).read_text())
    except FileNotFoundError:
        return None


def write(path: str, value: int) -> None:
    """Set a setting. Raises KernelError with its name."""
    try:
        descriptor = os.open(_file(path), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "w") as file:
            file.write(str(value))
    except OSError as error:
        code = error.errno or errno.EIO
        raise KernelError(f"{path.replace('/', '.')} = {value}: {error.strerror}", code) from error


def _file(path: str) -> Path:
    """Where a setting is, which neither its path nor a link on the way may have elsewhere."""
    top, *rest = path.split("/")
    if top != _OURS or not rest or not all(part not in {"", ".", ".."} for part in rest):
        raise KernelError(f"{path!r} is no setting of the network's", errno.EINVAL)
    folder = os.path.dirname(path)  # noqa: PTH120  pathlib takes twice the time, and there are thousands of links
    if os.path.realpath(ROOT / folder) != os.path.join(os.path.realpath(ROOT), folder):  # noqa: PTH118
        raise KernelError(f"{path!r} leads out of {ROOT}", errno.ELOOP)
    return ROOT / path


def observed(intent: Iterable[Resource]) -> dict[Key, Resource]:
    """The settings that the intent names, as they are.

    A limit that this network namespace does not have (most are the initial one's alone) counts as high enough; that is
    logged once.
    """
    found: dict[Key, Resource] = {}
    for wanted in intent:
        if not isinstance(wanted, Sysctl):
            continue
        value = read(wanted.path)
        if value is None and wanted.at_least:
            if wanted.path not in _missing:
                _missing.add(wanted.path)
                log.info("%s is not to be had here: see that the host has at least %d", wanted.key.name, wanted.value)
            value = wanted.value
        if value is not None:
            found[wanted.key] = Sysctl(wanted.path, value)
    return found
