"""What a port's driver tells by ethtool's netlink family: speed, duplex, and the memory of its transceiver.

The kernel's Documentation/networking/ethtool-netlink.rst; where a driver knows only the older calls, the kernel itself
asks those. Reading a transceiver goes over its slow two-wire bus: some milliseconds a page.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from dcedge.errors import KernelError
from dcedge.kernel.netlink import RouteSocket, Span, attributes, nested, text, u8, u32

_NETLINK_GENERIC = 16
_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
_LINKMODES_GET, _MODULE_EEPROM_GET = 4, 31
_HEADER, _HEADER_DEV_NAME = 1, 2
_LINKMODES_SPEED, _LINKMODES_DUPLEX = 5, 6
_EEPROM_OFFSET, _EEPROM_LENGTH, _EEPROM_PAGE, _EEPROM_BANK, _EEPROM_ADDRESS, _EEPROM_DATA = 2, 3, 4, 5, 6, 7
_SPEED_UNKNOWN = 0xFFFFFFFF
_GENERIC = struct.Struct("=BBxx")  # genlmsghdr: command, version
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


class EthtoolSocket:
    """A generic-netlink socket to the kernel's ethtool; raises KernelError where the kernel has none."""

    def __init__(self) -> None:
        self._socket = RouteSocket(_NETLINK_GENERIC)
        try:
            body = _GENERIC.pack(_CTRL_CMD_GETFAMILY, 1) + text(_CTRL_ATTR_FAMILY_NAME, "ethtool")
            family = self._socket.get(_GENL_ID_CTRL, body, _family)
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
        return self._ask(_LINKMODES_GET, port, b"", _link_mode) or LinkMode(None, None)

    def module_memory(self, port: str, address: int, page: int, offset: int, length: int) -> bytes | None:
        """Up to 128 bytes of a transceiver's memory, not across offset 128; None where it gives none.

        `address` is the two-wire address: 0x50, or 0x51 for an SFP's diagnostics (SFF-8472, 4).
        """
        parts = (
            u32(_EEPROM_OFFSET, offset),
            u32(_EEPROM_LENGTH, length),
            u8(_EEPROM_PAGE, page),
            u8(_EEPROM_BANK, 0),
            u8(_EEPROM_ADDRESS, address),
        )
        return self._ask(_MODULE_EEPROM_GET, port, b"".join(parts), _module_data)

    def _ask(self, command: int, port: str, rest: bytes, decode: Callable[[memoryview, int, int], T]) -> T | None:
        body = _GENERIC.pack(command, 1) + nested(_HEADER, text(_HEADER_DEV_NAME, port)) + rest
        try:
            return self._socket.get(self._family, body, decode)
        except KernelError as error:
            if error.errno in _NOT_TOLD:
                return None
            raise


def _u32(data: memoryview, span: Span | None) -> int | None:
    return None if span is None else int(struct.unpack_from("=I", data, span[0])[0])


def _family(data: memoryview, start: int, end: int) -> int:
    found = attributes(data, start + _GENERIC.size, end)
    return int(struct.unpack_from("=H", data, found[_CTRL_ATTR_FAMILY_ID][0])[0])


def _link_mode(data: memoryview, start: int, end: int) -> LinkMode:
    found = attributes(data, start + _GENERIC.size, end)
    speed, duplex = _u32(data, found.get(_LINKMODES_SPEED)), found.get(_LINKMODES_DUPLEX)
    words: dict[int, Duplex] = {0: "half", 1: "full"}
    return LinkMode(
        speed if speed not in (None, 0, _SPEED_UNKNOWN) else None,
        words.get(data[duplex[0]]) if duplex is not None else None,
    )


def _module_data(data: memoryview, start: int, end: int) -> bytes:
    found = attributes(data, start + _GENERIC.size, end)
    return bytes(data[slice(*found[_EEPROM_DATA])])
