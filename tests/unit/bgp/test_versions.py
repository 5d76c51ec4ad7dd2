"""What is said of FRR's version: a warning at the most."""

from __future__ import annotations

import pytest

from dcedge.frr.versions import version_warnings
from tests.unit.bgp.orders import derived, vi

WITH_BFD = derived({"a": vi(1, bgp={"bfd": True}), "b": vi(2, bgp={"bfd": True})}).interfaces
WITHOUT = derived({"a": vi(1)}).interfaces


@pytest.mark.parametrize("version", ["8.4.4", "8.4", "9.1", "10.2.3", "10.3.1", "10.7.1", None, "", "development"])
def test_a_tested_or_unknown_version_is_nothing_to_speak_of(version: str | None) -> None:
    assert list(version_warnings(version, WITH_BFD)) == []


@pytest.mark.parametrize(
    ("version", "how"), [("8.3", "older"), ("7.5.1", "older"), ("10.8", "newer"), ("11.0.2", "newer")]
)
def test_a_version_out_of_the_tested_range_is_said(version: str, how: str) -> None:
    (said,) = version_warnings(version, WITH_BFD)
    assert said == f"FRR {version} is {how} than what dcedge is tested with (8.4 to 10.7)"


def test_what_would_not_come_back_by_itself_is_said_beforehand() -> None:
    for version in ("10.3", "10.2.2"):
        (said,) = version_warnings(version, WITH_BFD)
        assert said.startswith(
            f"FRR {version} leaves BGP idle while its BFD is down: with dcedge stopped, a and 1 more"
        )
        assert list(version_warnings(version, WITHOUT)) == []
