"""How fast the wires of an order's ports are, as far as the kernel knows: what their two ends agreed on."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable

from dcedge.errors import KernelError
from dcedge.kernel.link.view import link_at
from dcedge.kernel.port.ethtool import EthtoolSocket
from dcedge.netlink.socket import RouteSocket

log = logging.getLogger(__name__)
# A bond tells what its members in use have together. What other links tell that the kernel makes is no wire's speed:
# veth says 10G whatever it carries.
_WITH_WIRES = {"", "bond", "team"}


class PortSpeeds:
    """Asks in the network namespace it was made in; remembers which links have no wire. One thread at a time."""

    def __init__(self, sock: RouteSocket) -> None:
        self._sock = sock
        self._without_wire: set[int] = set()
        self._ethtool: EthtoolSocket | None = None
        try:
            self._ethtool = EthtoolSocket()
        except KernelError as error:
            log.info("no word on the speed of ports: %s", error)

    def close(self) -> None:
        """Close the socket that is its own."""
        if self._ethtool is not None:
            self._ethtool.close()

    def read(self, ports: Iterable[str]) -> dict[str, int]:
        """Bits a second of each port that has a wire and is up. Raises KernelError."""
        speeds: dict[str, int] = {}
        for port in ports if self._ethtool is not None else ():
            assert self._ethtool is not None
            if self.has_wire(port) and (speed := self._ethtool.link_mode(port).speed_bps) is not None:
                speeds[port] = speed
        return speeds

    def has_wire(self, port: str) -> bool:
        """Whether a port is there, and what it tells is the speed of a wire. Raises KernelError."""
        try:
            index = socket.if_nametoindex(port)
        except OSError:
            return False
        if index not in self._without_wire:
            link = link_at(self._sock, index)
            if link is not None and link.kind not in _WITH_WIRES:
                self._without_wire.add(index)
        return index not in self._without_wire
