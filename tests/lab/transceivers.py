"""Transceivers, which no virtual port has: memories as SFF-8472 lays them out, and a daemon that finds them in ports.

A file in the folder that `LAB_TRANSCEIVERS` names, called as a port is, stands for that port's module: its A0h and A2h,
256 bytes each. It is read each time anew, so the light can change.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

from dcedge.kernel.port.ethtool import EthtoolSocket

PAGE_BYTES = 256
TWO_WIRE = (0x50, 0x51)
INTERNAL = 0x68  # diagnostics that are calibrated already
RECEIVE_ALARM_DBM = -18.4


def put(memory: bytearray, at: int, layout: str, *values: float) -> None:
    """Numbers in network order."""
    struct.pack_into(">" + layout, memory, at, *values)


def text(memory: bytearray, at: int, value: str) -> None:
    """16 characters."""
    memory[at : at + 16] = value.ljust(16).encode()


def sfp(diagnostics_kind: int = INTERNAL) -> tuple[bytearray, bytearray]:
    """An SFP+ LR: A0h says what it is, A2h what it measures: -2.5 dBm out, -7.0 dBm in; alarms at -10.2 and -18.4."""
    base, diagnostics = bytearray(PAGE_BYTES), bytearray(PAGE_BYTES)
    base[0:4] = bytes((0x03, 0x04, 0x07, 0x20))  # SFP, two-wire, LC, 10GBASE-LR
    text(base, 20, "FINISAR CORP.")
    text(base, 40, "FTLX1471D3BCL")
    text(base, 68, "ABC1234")
    base[92] = diagnostics_kind
    put(diagnostics, 0, "4h", 78 * 256, -13 * 256, 73 * 256, -8 * 256)  # temperature
    put(diagnostics, 24, "4H", 22387, 955, 17783, 1202)  # transmit power, 0.1 µW
    put(diagnostics, 32, "4H", 17783, 145, 11220, 230)  # receive power
    put(diagnostics, 96, "hHHHH", 35 * 256, 33000, 17500, 5623, 1995)
    return base, diagnostics


def put_sfp(folder: Path, port: str, receive_dbm: float) -> None:
    """Put an SFP+ into a port, or change what light comes in there."""
    base, diagnostics = sfp()
    put(diagnostics, 104, "H", round(10_000 * math.pow(10, receive_dbm / 10)))
    folder.mkdir(exist_ok=True)
    fresh = folder / f".{port}"
    fresh.write_bytes(base + diagnostics)
    fresh.replace(folder / port)


def be_found() -> None:
    """Have this process find the modules where `LAB_TRANSCEIVERS` says; in other ports there is what there is."""
    folder = os.environ.get("LAB_TRANSCEIVERS")
    if folder is None:
        return
    asked = EthtoolSocket.module_memory

    def module_memory(
        socket: EthtoolSocket, port: str, address: int, page: int, offset: int, length: int
    ) -> bytes | None:
        module = Path(folder) / port
        if not module.exists():
            return asked(socket, port, address, page, offset, length)
        if page or address not in TWO_WIRE:
            return None
        start = TWO_WIRE.index(address) * PAGE_BYTES + offset
        return module.read_bytes()[start : start + length]

    EthtoolSocket.module_memory = module_memory  # type: ignore[method-assign,assignment]
