"""What the drivers of an order's ports tell of speed, duplex and light."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dcedge.errors import KernelError
from dcedge.kernel.port.ethtool import EthtoolSocket, LinkMode
from dcedge.kernel.port.optics import Optics, read_optics
from dcedge.kernel.port.speeds import PortSpeeds
from dcedge.netlink.socket import RouteSocket
from dcedge.order.model import BondPort, Order

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the drivers told lately, by port. `speeds`: bits a second of each that has a wire and is up."""

    modes: Mapping[str, LinkMode] = field(default_factory=dict)
    optics: Mapping[str, Optics] = field(default_factory=dict)
    speeds: Mapping[str, int] = field(default_factory=dict)


def ports_of(order: Order) -> tuple[str, ...]:
    """Every port of the order, the members of bonds too."""
    names: dict[str, None] = {}
    for connection in order.connections.values():
        if connection.port_name is not None:
            names[connection.port_name] = None
        if isinstance(connection.port, BondPort):
            names |= dict.fromkeys(connection.port.members)
    return tuple(names)


class HardwareReader:
    """Asks the drivers of the network namespace it was made in; one thread at a time."""

    def __init__(self) -> None:
        self._socket: EthtoolSocket | None = None
        try:
            self._socket = EthtoolSocket()
        except KernelError as error:
            log.info("no word on speed and light: %s", error)
        self._links = RouteSocket()
        self._speeds = PortSpeeds(self._links)

    def close(self) -> None:
        """Close the sockets."""
        self._speeds.close()
        self._links.close()
        if self._socket is not None:
            self._socket.close()

    def read(self, ports: Iterable[str]) -> Hardware:
        """Ask for every port; what a driver does not tell is left out."""
        modes: dict[str, LinkMode] = {}
        speeds: dict[str, int] = {}
        optics: dict[str, Optics] = {}
        for port in ports if self._socket is not None else ():
            assert self._socket is not None
            try:
                modes[port] = mode = self._socket.link_mode(port)
                if mode.speed_bps is not None and self._speeds.has_wire(port):
                    speeds[port] = mode.speed_bps
                light = read_optics(functools.partial(self._socket.module_memory, port))
            except KernelError as error:
                log.warning("%s: %s", port, error)
                continue
            if light is not None:
                optics[port] = light
        return Hardware(modes, optics, speeds)
