"""A table of the kernel's, dumped and decoded; again where it changed meanwhile."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from dcedge.errors import KernelError
from dcedge.netlink.socket import Request, RouteSocket

# A second or two after thousands of links have come up, their IPv6 addresses settle one by one (duplicate address
# detection), and each that does interrupts a dump; the pause between two tries doubles, up to 2.5 s in all.
_ATTEMPTS, _PAUSE_SECONDS = 9, 0.01
NO_SUCH_FAMILY = {errno.EOPNOTSUPP, errno.EAFNOSUPPORT}  # a kernel without IPv6
T = TypeVar("T")


def dump(sock: RouteSocket, request: Request, decode: Callable[[memoryview, int, int], T]) -> list[T]:
    """Every message of one table, decoded; asked for again when the table changed meanwhile."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return [decode(data, start, end) for data, start, end in sock.dump(request)]
        except KernelError as error:
            if not error.retryable or error.errno == errno.ETIMEDOUT or attempt == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def dump_family(sock: RouteSocket, request: Request, decode: Callable[[memoryview, int, int], T]) -> list[T]:
    """A table of one address family; nothing where this kernel was built or started without it."""
    try:
        return dump(sock, request, decode)
    except KernelError as error:
        if error.errno not in NO_SUCH_FAMILY:
            raise
        return []
