"""Transceivers' memories, byte by byte as SFF-8472 and SFF-8636 lay them out, and the light that is read from them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dcedge.kernel.port.optics import Memory, read_optics
from tests.lab.transceivers import INTERNAL, put, sfp, text


def of(pages: dict[tuple[int, int], bytes]) -> Memory:
    """A module with these pages of 256 bytes, by two-wire address and page; of a page above 0 the upper half counts."""

    def read(address: int, page: int, offset: int, length: int) -> bytes | None:
        whole = pages.get((address, page))
        return whole[offset : offset + length] if whole is not None else None

    return read


EXTERNAL, NONE = 0x58, 0x00


def sfp_pages(kind: int, change: Callable[[bytearray], object] = bytes) -> Memory:
    base, diagnostics = sfp(kind)
    change(diagnostics)
    return of({(0x50, 0): bytes(base), (0x51, 0): bytes(diagnostics)})


def test_an_sfp_tells_its_light_and_from_where_on_it_alarms() -> None:
    optics = read_optics(sfp_pages(INTERNAL))
    assert optics is not None
    assert (optics.vendor, optics.part, optics.serial) == ("FINISAR CORP.", "FTLX1471D3BCL", "ABC1234")
    assert optics.transmit_dbm == pytest.approx(-2.5, abs=0.01)
    assert optics.receive_dbm == pytest.approx(-7.0, abs=0.01)
    assert optics.transmit_alarm_dbm == pytest.approx(-10.2, abs=0.01)
    assert optics.receive_alarm_dbm == pytest.approx(-18.39, abs=0.01)
    assert optics.alarms == ()


def test_a_cut_fibre_reads_as_dark_with_its_alarms() -> None:
    def dark(memory: bytearray) -> None:
        put(memory, 104, "H", 0)
        memory[110] = 0x02  # Rx_LOS
        memory[113] = 0x40  # receive power low alarm

    optics = read_optics(sfp_pages(INTERNAL, dark))
    assert optics is not None
    assert optics.receive_dbm == -40.0
    assert optics.alarms == ("no light comes in", "receive power low")


def test_an_externally_calibrated_sfp_needs_its_constants() -> None:
    def constants(memory: bytearray) -> None:
        # Receive power is 0.5 x + 10, transmit power 1.5 x - 100, in 0.1 µW.
        put(memory, 56, "5f", 0.0, 0.0, 0.0, 0.5, 10.0)
        put(memory, 80, "Hh", 0x0180, -100)
        put(memory, 104, "H", 3970)
        put(memory, 102, "H", 4000)

    optics = read_optics(sfp_pages(EXTERNAL, constants))
    assert optics is not None
    assert optics.receive_dbm == pytest.approx(-7.0, abs=0.01)  # 0.5 * 3970 + 10 = 1995
    assert optics.transmit_dbm == pytest.approx(-2.29, abs=0.01)  # 1.5 * 4000 - 100 = 5900


def test_an_sfp_without_diagnostics_is_named_and_no_more() -> None:
    optics = read_optics(sfp_pages(NONE))
    assert optics is not None
    assert (optics.part, optics.lanes, optics.receive_dbm) == ("FTLX1471D3BCL", (), None)


def qsfp(*, flat: bool = False) -> dict[tuple[int, int], bytes]:
    """A QSFP28 LR4: four lanes, the third of which is weak."""
    lower, thresholds = bytearray(256), bytearray(256)
    lower[0], lower[1] = 0x11, 0x07
    lower[2] = 0x04 if flat else 0x00
    lower[3] = 0x04  # receive LOS on lane 3
    lower[10] = 0x40  # lane 3: receive power low alarm
    put(lower, 34, "4H", 7943, 7079, 79, 8912)
    put(lower, 50, "4H", 12589, 12023, 12302, 12882)
    text(lower, 148, "INNOLIGHT")
    text(lower, 168, "TR-FC13L-N00")
    text(lower, 196, "INKAO1234567")
    lower[220] = 0x0C
    put(thresholds, 176, "4H", 35481, 575, 28183, 871)
    put(thresholds, 192, "4H", 35481, 1819, 28183, 2291)
    return {(0x50, 0): bytes(lower), (0x50, 3): bytes(thresholds)}


def test_a_qsfp_tells_each_lane_and_the_weakest_counts() -> None:
    optics = read_optics(of(qsfp()))
    assert optics is not None
    assert (optics.vendor, optics.part, optics.serial) == ("INNOLIGHT", "TR-FC13L-N00", "INKAO1234567")
    assert [round(lane.receive_dbm or 0, 1) for lane in optics.lanes] == [-1.0, -1.5, -21.0, -0.5]
    assert optics.receive_dbm == pytest.approx(-21.0, abs=0.05)
    assert optics.transmit_dbm == pytest.approx(0.8, abs=0.01)
    assert optics.receive_alarm_dbm == pytest.approx(-12.4, abs=0.01)
    assert optics.transmit_alarm_dbm == pytest.approx(-7.4, abs=0.01)
    assert optics.alarms == ("no light comes in on lane 3", "receive power low on lane 3")


def test_a_qsfp_with_one_page_has_no_thresholds() -> None:
    optics = read_optics(of(qsfp(flat=True)))
    assert optics is not None
    assert optics.receive_alarm_dbm is None


def test_an_empty_cage_an_unknown_kind_and_a_short_answer_tell_nothing() -> None:
    assert read_optics(of({})) is None
    assert read_optics(of({(0x50, 0): bytes((0x18,)) + bytes(255)})) is None
    assert read_optics(of({(0x50, 0): b"\x03"})) is None


def test_what_a_module_calls_itself_is_printable() -> None:
    base, diagnostics = sfp(INTERNAL)
    base[20:24] = b"\x1b[2J"
    optics = read_optics(of({(0x50, 0): bytes(base), (0x51, 0): bytes(diagnostics)}))
    assert optics is not None
    assert optics.vendor.isprintable()
