"""What a port's driver tells by ethtool's netlink family: speed, duplex, and the memory of its transceiver.

The kernel's Documentation/networking/ethtool-netlink.rst; where a driver knows only the older calls, the kernel itself
asks those. Reading a transceiver goes over its slow two-wire bus: some milliseconds a page.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pyroute2.netlink import CTRL_CMD_GETFAMILY, GENL_ID_CTRL, NETLINK_GENERIC, ctrlmsg
from pyroute2.netlink.generic.ethtool import (
    ETHTOOL_GENL_NAME,
    ETHTOOL_GENL_VERSION,
    ETHTOOL_MSG_LINKMODES_GET,
    ETHTOOL_MSG_MODULE_EEPROM_GET,
    ethtool_linkmode_msg,
)

from dcedge.errors import KernelError
from dcedge.netlink.descriptions import module_eeprom_message
from dcedge.netlink.reader import Reader
from dcedge.netlink.socket import RouteSocket
from dcedge.netlink.templates import request

_CONTROL_VERSION = 1
_FAMILY = Reader(ctrlmsg, "CTRL_ATTR_FAMILY_ID")
LINK_MODE = Reader(ethtool_linkmode_msg, "ETHTOOL_A_LINKMODES_SPEED", "ETHTOOL_A_LINKMODES_DUPLEX")
MODULE = Reader(module_eeprom_message, "ETHTOOL_A_MODULE_EEPROM_DATA")
_SPEED_UNKNOWN = 0xFFFFFFFF
# What a driver says that has no such thing or whose cage is empty, and the kernel to who may not ask.
_NOT_TOLD = {
    errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.EIO, errno.ENXIO, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EPERM,
}  # fmt: skip

Duplex = Literal["full", "half"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LinkMode:
    """What the two ends of a port agreed on; None: the driver does not say, or there is no link."""

    speed_mbps: int | None
    duplex: Duplex | None

    @property
    def speed_bps(self) -> int | None:
        """The speed in bits a second."""
        return None if self.speed_mbps is None else self.speed_mbps * 1_000_000


class EthtoolSocket:
    """A generic-netlink socket to the kernel's ethtool; raises KernelError where the kernel has none."""

    def __init__(self) -> None:
        self._socket = RouteSocket(NETLINK_GENERIC)
        try:
            name = ("CTRL_ATTR_FAMILY_NAME", ETHTOOL_GENL_NAME)
            content = {"cmd": CTRL_CMD_GETFAMILY, "version": _CONTROL_VERSION, "attrs": [name]}
            family = self._socket.get(request(ctrlmsg, GENL_ID_CTRL, 0, content), _family)
        except BaseException:
            self._socket.close()
            raise
        if family is None:
            self._socket.close()
            raise KernelError("this kernel has no ethtool netlink", errno.ENOENT)
        self._family = family

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def link_mode(self, port: str) -> LinkMode:
        """Speed and duplex of a port."""
        found = self._ask(ethtool_linkmode_msg, ETHTOOL_MSG_LINKMODES_GET, "LINKMODES", port, {}, _link_mode)
        return found or LinkMode(None, None)

    def module_memory(self, port: str, address: int, page: int, offset: int, length: int) -> bytes | None:
        """Up to 128 bytes of a transceiver's memory, not across offset 128; None where it gives none.

        `address` is the two-wire address: 0x50, or 0x51 for an SFP's diagnostics (SFF-8472, 4).
        """
        place = {"OFFSET": offset, "LENGTH": length, "PAGE": page, "BANK": 0, "I2C_ADDRESS": address}
        command = ETHTOOL_MSG_MODULE_EEPROM_GET
        return self._ask(module_eeprom_message, command, "MODULE_EEPROM", port, place, _module_data)

    def _ask(
        self,
        message: Any,
        command: int,
        prefix: str,
        port: str,
        place: dict[str, int],
        decode: Callable[[memoryview, int, int], T],
    ) -> T | None:
        header = (f"ETHTOOL_A_{prefix}_HEADER", {"attrs": [("ETHTOOL_A_HEADER_DEV_NAME", port)]})
        attrs = [header, *((f"ETHTOOL_A_{prefix}_{name}", value) for name, value in place.items())]
        content = {"cmd": command, "version": ETHTOOL_GENL_VERSION, "attrs": attrs}
        try:
            return self._socket.get(request(message, self._family, 0, content), decode)
        except KernelError as error:
            if error.errno in _NOT_TOLD:
                return None
            raise


def _family(data: memoryview, start: int, end: int) -> int:
    return int(_FAMILY.read(data, start, end)["CTRL_ATTR_FAMILY_ID"])


def _link_mode(data: memoryview, start: int, end: int) -> LinkMode:
    said = LINK_MODE.read(data, start, end)
    speed, duplex = said.get("ETHTOOL_A_LINKMODES_SPEED"), said.get("ETHTOOL_A_LINKMODES_DUPLEX")
    words: dict[int | None, Duplex] = {0: "half", 1: "full"}
    return LinkMode(speed if speed not in (None, 0, _SPEED_UNKNOWN) else None, words.get(duplex))


def _module_data(data: memoryview, start: int, end: int) -> bytes:
    return bytes(MODULE.read(data, start, end)["ETHTOOL_A_MODULE_EEPROM_DATA"])
