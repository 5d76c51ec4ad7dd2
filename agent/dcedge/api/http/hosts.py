"""Which names HTTP answers to.

A web page elsewhere can have a browser ask this router, under a name of the page's own that it lets point here (DNS
rebinding), and read the answer. So `Host` (RFC 9110, 7.2) must be an address, which no page can have as its name, or a
name that is known to be this router's.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address

_FULL_NAME_SECONDS = 60.0  # so long an answer counts


def full_name() -> str:
    """This machine's fully qualified name, as `hostname --fqdn` has it; may ask the DNS. Raises OSError."""
    found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    return found[0][3]


class Hosts:
    """Addresses, localhost, this machine's own names, and the names that the order lists (`agent.hosts`)."""

    def __init__(self, ordered: Iterable[str] = (), ask: Callable[[], str] = full_name) -> None:
        self._ordered = {_plain(name) for name in ordered}
        self._ask = ask
        self._asked: float | None = None  # when, in seconds of the monotonic clock
        self._full_name = ""

    async def include(self, host: str) -> bool:
        """Whether a Host header, with a port or without, names this router."""
        name, own = _plain(_without_port(host)), _plain(socket.gethostname())
        if _is_address(name) or name in {"localhost", own, *self._ordered}:
            return True
        return name.startswith(f"{own}.") and await self._is_full(name)

    async def _is_full(self, name: str) -> bool:
        """Whether it is this machine's name in full: the DNS is asked only for what begins with the short one."""
        now = time.monotonic()
        if self._asked is None or now - self._asked > _FULL_NAME_SECONDS:
            self._asked = now
            try:
                self._full_name = _plain(await asyncio.to_thread(self._ask))
            except OSError:
                self._full_name = ""
        return name == self._full_name


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])  # a zone may follow (RFC 6874)
    except ValueError:
        return False
    return True


def _plain(name: str) -> str:
    return name.strip().lower().removesuffix(".")
