"""Optical power and alarms out of a transceiver's memory.

SFF-8472 rev 12.4 for SFP (one lane; internally or externally calibrated), SFF-8636 rev 2.11 for QSFP (four lanes).
Other kinds of memory map give nothing: a wrong figure is worse than none.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

# Reads (two-wire address, page, offset, length) of one transceiver; None where it gives nothing.
Memory = Callable[[int, int, int, int], bytes | None]

_A0, _A2 = 0x50, 0x51
_HALF = 128
_SFP, _QSFP = {0x03}, {0x0C, 0x0D, 0x11}  # SFF-8024, table 4-1
_DARK_DBM = -40.0  # 0.1 µW, the unit in which power is told, is -40 dBm: less reads as zero
_UNIT_MW = 1e-4


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane's power in dBm; None: the module does not measure it."""

    receive_dbm: float | None
    transmit_dbm: float | None


@dataclass(frozen=True, slots=True)
class Optics:
    """A transceiver: what it is, what it measures, from which power on it alarms, and which alarms it raises now."""

    vendor: str
    part: str
    serial: str
    lanes: tuple[Lane, ...]
    receive_alarm_dbm: float | None
    transmit_alarm_dbm: float | None
    alarms: tuple[str, ...]

    @property
    def receive_dbm(self) -> float | None:
        """The weakest lane's power that comes in."""
        return min((lane.receive_dbm for lane in self.lanes if lane.receive_dbm is not None), default=None)

    @property
    def transmit_dbm(self) -> float | None:
        """The weakest lane's power that leaves."""
        return min((lane.transmit_dbm for lane in self.lanes if lane.transmit_dbm is not None), default=None)


def read_optics(memory: Memory) -> Optics | None:
    """What a transceiver tells; None where there is none, or of a kind that is not read here."""
    lower = memory(_A0, 0, 0, _HALF)
    if lower is None or len(lower) < _HALF:
        return None
    if lower[0] in _SFP:
        return _sfp(lower, memory)
    if lower[0] in _QSFP:
        return _qsfp(lower, memory)
    return None


def _sfp(base: bytes, memory: Memory) -> Optics:
    kind = base[92]  # SFF-8472, table 8-5: bit 6 diagnostics, bit 5 calibrated inside, bit 4 outside
    diagnostics = memory(_A2, 0, 0, _HALF) if kind & 0x40 else None
    if diagnostics is None or len(diagnostics) < _HALF:
        return Optics(*_names(base, 20, 40, 68), (), None, None, ())
    receive, transmit = _calibrations(diagnostics) if kind & 0x10 else (float, float)

    def power(at: int, calibrate: Callable[[int], float]) -> float:
        return _dbm(calibrate(_u16(diagnostics, at)))

    lane = Lane(power(104, receive), power(102, transmit))
    return Optics(
        *_names(base, 20, 40, 68),
        (lane,),
        receive_alarm_dbm=power(34, receive),
        transmit_alarm_dbm=power(26, transmit),
        alarms=tuple(text for at, bit, text in _SFP_ALARMS if diagnostics[at] & bit),
    )


_SFP_ALARMS = (
    (110, 0x02, "no light comes in"),
    (110, 0x04, "transmitter fault"),
    (112, 0x80, "temperature high"),
    (112, 0x40, "temperature low"),
    (112, 0x20, "supply voltage high"),
    (112, 0x10, "supply voltage low"),
    (112, 0x08, "laser bias high"),
    (112, 0x04, "laser bias low"),
    (112, 0x02, "transmit power high"),
    (112, 0x01, "transmit power low"),
    (113, 0x80, "receive power high"),
    (113, 0x40, "receive power low"),
)


def _calibrations(page: bytes) -> tuple[Callable[[int], float], Callable[[int], float]]:
    """From readings to 0.1 µW, for modules that leave the arithmetic to the host (SFF-8472, 9.3 and table 9-6)."""
    fourth, third, second, first, constant = struct.unpack_from(">5f", page, 56)
    slope, offset = struct.unpack_from(">Hh", page, 80)

    def receive(reading: int) -> float:
        total = constant + first * reading + second * reading**2 + third * reading**3 + fourth * reading**4
        return float(total)

    def transmit(reading: int) -> float:
        return float(reading * slope / 256 + offset)

    return receive, transmit


def _qsfp(lower: bytes, memory: Memory) -> Optics | None:
    upper = memory(_A0, 0, _HALF, _HALF)
    if upper is None or len(upper) < _HALF:
        return None
    whole = lower + upper
    measures_transmit = bool(whole[220] & 0x04)  # SFF-8636, table 6-24
    lanes = tuple(
        Lane(
            _dbm(_u16(whole, 34 + 2 * lane)),
            _dbm(_u16(whole, 50 + 2 * lane)) if measures_transmit else None,
        )
        for lane in range(4)
    )
    flat = bool(whole[2] & 0x04)
    thresholds = None if flat else memory(_A0, 3, _HALF, _HALF)
    alarms = [f"no light comes in on lane {lane + 1}" for lane in range(4) if whole[3] & (1 << lane)]
    alarms += [f"transmitter fault on lane {lane + 1}" for lane in range(4) if whole[4] & (1 << lane)]
    for lane in range(4):
        nibble = whole[9 + lane // 2] >> (0 if lane % 2 else 4)
        if nibble & 0x4:
            alarms.append(f"receive power low on lane {lane + 1}")
    if thresholds is None or len(thresholds) < _HALF:
        return Optics(*_names(whole, 148, 168, 196), lanes, None, None, tuple(alarms))
    return Optics(
        *_names(whole, 148, 168, 196),
        lanes,
        receive_alarm_dbm=_dbm(_u16(thresholds, 178 - _HALF)),
        transmit_alarm_dbm=_dbm(_u16(thresholds, 194 - _HALF)) if measures_transmit else None,
        alarms=tuple(alarms),
    )


def _names(memory: bytes, vendor: int, part: int, serial: int) -> tuple[str, str, str]:
    def text(at: int) -> str:
        return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in memory[at : at + 16]).strip(" ?")

    return text(vendor), text(part), text(serial)


def _u16(memory: bytes, at: int) -> int:
    return int.from_bytes(memory[at : at + 2])


def _dbm(tenths_of_a_microwatt: float) -> float:
    milliwatts = tenths_of_a_microwatt * _UNIT_MW
    return max(_DARK_DBM, 10 * math.log10(milliwatts)) if milliwatts > 0 else _DARK_DBM
