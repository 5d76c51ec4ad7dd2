"""FRR's own file switches forwarding off at every start of FRR: said, with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcedge.frr.start_file import forwarding_warnings


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("frr.conf", "frr version 8.4.4\nno ip forwarding\nhostname r1\n", ["`no ip forwarding`"]),
        ("zebra.conf", "no ipv6 forwarding \n", ["`no ipv6 forwarding`"]),
        ("frr.conf", "no ip forwarding\nno ipv6 forwarding\n", ["`no ip forwarding`", "`no ipv6 forwarding`"]),
        ("frr.conf", "ip forwarding\n! no ip forwarding\n", []),
    ],
)
def test_a_line_that_switches_forwarding_off_is_named(tmp_path: Path, name: str, text: str, says: list[str]) -> None:
    (tmp_path / name).write_text(text)
    found = list(forwarding_warnings(tmp_path, {4, 6}))
    assert len(found) == len(says)
    assert all(says_ in line and str(tmp_path / name) in line for says_, line in zip(says, found, strict=True))


def test_a_file_that_is_not_to_be_read_says_nothing(tmp_path: Path) -> None:
    assert list(forwarding_warnings(tmp_path / "elsewhere", {4, 6})) == []


def test_an_ip_version_that_is_not_ordered_need_not_be_forwarded(tmp_path: Path) -> None:
    (tmp_path / "frr.conf").write_text("no ip forwarding\nno ipv6 forwarding\n")
    (found,) = forwarding_warnings(tmp_path, {4})
    assert "IPv4" in found
