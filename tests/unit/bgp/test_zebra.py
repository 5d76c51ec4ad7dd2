"""How zebra must run, as its command line tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcedge.bgp.zebra import replacement_problem, retention_problem
from tests.unit.kernel.orders import interfaces_of, vi

TWO_PATHS = interfaces_of(a=vi(1), b=vi(2, preference="backup"))


@pytest.mark.parametrize(
    ("options", "paths", "complains"),
    [
        ("-A 127.0.0.1", 2, True),
        ("-A 127.0.0.1\0--v6-rr-semantics", 2, False),
        ("-A 127.0.0.1", 1, False),
    ],
)
def test_zebra_that_deletes_before_it_adds_is_complained_of(
    options: str, paths: int, complains: bool, tmp_path: Path
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(f"/usr/lib/frr/zebra\0{options}\0".encode())
    said = replacement_problem(TWO_PATHS[:paths], 7, proc=tmp_path)
    assert (said is not None and "--v6-rr-semantics" in said) is complains
    assert replacement_problem(TWO_PATHS, 8, proc=tmp_path) is None


@pytest.mark.parametrize(
    ("options", "complains"),
    [
        ("-s\x0090000000", True),
        ("-r", True),
        ("-K\x00120", True),
        ("-r\x00-K\x00120", False),
        ("--retain\x00--graceful_restart=60", False),
        ("-K60\x00-r", False),
    ],
)
def test_zebra_that_drops_its_routes_over_a_restart_is_complained_of(
    options: str, complains: bool, tmp_path: Path
) -> None:
    graceful = interfaces_of(a=vi(1, bgp={"graceful_restart": True}), b=vi(2))
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(f"/usr/lib/frr/zebra\0{options}\0".encode())
    said = retention_problem(graceful, 7, proc=tmp_path)
    assert (said is not None and "-r -K 120" in said) is complains
    assert retention_problem(TWO_PATHS, 7, proc=tmp_path) is None, "nobody ordered it"
    assert retention_problem(graceful, 8, proc=tmp_path) is None
    assert retention_problem(graceful, None, proc=tmp_path) is None
