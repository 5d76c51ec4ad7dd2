"""Scapy is GPL-2.0-only: the program that rests on it stands alone, and nothing else comes near."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

AGENT = Path(__file__).resolve().parents[2] / "agent"
CAPTURE = AGENT / "dcedge_capture"
SOURCES = sorted(AGENT.rglob("*.py"))
SPDX = "# SPDX-License-Identifier: GPL-2.0-only\n"


@cache
def imported(path: Path) -> frozenset[str]:
    """The top-level names of the packages that a file imports, wherever in it."""
    return frozenset(name.partition(".")[0] for name in modules(path))


def modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def test_scapy_is_imported_by_the_capture_program_alone() -> None:
    assert {path for path in SOURCES if "scapy" in imported(path)} == {CAPTURE / "frames.py"}


def test_the_capture_program_and_dcedge_import_nothing_of_each_other() -> None:
    for path in SOURCES:
        other = "dcedge" if path.is_relative_to(CAPTURE) else "dcedge_capture"
        assert other not in imported(path), path


def test_the_capture_programs_files_say_their_licence_and_no_other_file_has_it() -> None:
    for path in SOURCES:
        assert path.read_text().startswith(SPDX) is path.is_relative_to(CAPTURE), path
    assert "Version 2, June 1991" in (CAPTURE / "LICENSE").read_text()


def test_neither_the_daemon_nor_a_verb_loads_scapy() -> None:
    """All of them in one process: what any of them loads is among what is loaded then."""
    loaders = ("dcedge.daemon.start", "dcedge.daemon.service", "dcedge.explain.gather", "dcedge.cli.app")
    script = f"import {', '.join(loaders)}, sys; print({{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "'pyroute2'" in loaded
    assert "'scapy'" not in loaded
