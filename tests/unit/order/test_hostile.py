"""Whatever is in the file: a checked order, or findings with their places; and nothing else ever."""

from __future__ import annotations

import string
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcedge.order.findings import Finding, OrderInvalidError
from dcedge.order.load import parse_order
from dcedge.order.resolve import resolve_interface
from dcedge.units import format_rate, parse_duration, parse_rate, write_duration, write_rate
from tests.unit.order.orders import GOOD

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
YAML = ("null", "[]", "{}", "true", "-1", "0", "'", '"', "&a ", "*a", "? ", ": ", "- ", "\n", "\t", "#", "!x ", "---\n")
VALUES = (
    "4095",
    "1T",
    "::",
    "/33",
    "{credential: x}",
    "[[[[",
    "}",
    "]",
    ",",
    "|\n",
    "é",
    "\u202e",
    "%s",
    "{line}",
    "\0",
)
PIECES = st.sampled_from(YAML + VALUES)


def read(contents: str | bytes) -> None:
    """Load; an order that loads can be resolved, and one that does not says where every problem is."""
    findings: Sequence[Finding] = ()
    try:
        loaded = parse_order(contents, "order.yaml")
    except OrderInvalidError as error:
        findings = error.findings
        assert findings, "an invalid order says why"
    else:
        findings = loaded.warnings
        for name in loaded.order.virtual_interfaces:
            resolve_interface(loaded.order, name)
    text = contents.decode("utf-8", "replace") if isinstance(contents, bytes) else contents
    for finding in findings:
        assert str(finding).isprintable(), repr(str(finding))
        assert 0 <= finding.line <= text.count("\n") + text.count("\r") + text.count("\x85") + 2


@UNHURRIED
@given(st.binary(max_size=300))
def test_bytes(contents: bytes) -> None:
    read(contents)


@UNHURRIED
@given(st.text(alphabet=string.printable, max_size=300))
def test_text(contents: str) -> None:
    read(contents)


@UNHURRIED
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), PIECES), min_size=1, max_size=4))
def test_edits_of_a_good_order(edits: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for at, removed, piece in edits:
        text = text[:at] + piece + text[at + removed :]
    read(text)


@UNHURRIED
@given(st.data())
def test_lines_of_a_good_order_removed_doubled_or_moved(data: st.DataObject) -> None:
    rows = GOOD.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 3))):
        at, to = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, len(rows) - 1))
        row = rows[at] if data.draw(st.booleans()) else rows.pop(at)
        rows.insert(to, row)
    read("".join(rows))


@given(st.integers(1, 10**15))
def test_a_rate_that_is_written_is_the_rate_that_is_read(rate: int) -> None:
    assert parse_rate(write_rate(rate)) == rate


@given(st.integers(1, 999), st.sampled_from("KMG"))
def test_a_rate_is_shown_as_it_was_ordered(number: int, unit: str) -> None:
    assert format_rate(parse_rate(f"{number}{unit}")) == f"{number}{unit}"


@given(st.decimals(min_value=0, max_value=10**6, places=3), st.sampled_from(["ms", "s", "m", "h"]))
def test_a_duration_that_is_written_is_the_duration_that_is_read(number: object, unit: str) -> None:
    seconds = parse_duration(f"{number}{unit}")
    assert parse_duration(write_duration(seconds)) == seconds
