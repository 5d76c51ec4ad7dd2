"""The shell scripts, as shellcheck judges them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = (".ci", "package", "systemd", "tests/lab", "tests/system", "vagrant")


def scripts() -> list[Path]:
    """Every file that a shell runs."""
    files = (path for place in PLACES for path in sorted((ROOT / place).rglob("*")) if path.is_file())
    return [path for path in files if path.open("rb").read(40).startswith((b"#!/bin/sh\n", b"#!/bin/bash\n"))]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck judges")
def test_shellcheck_has_nothing_to_say_against_any_script() -> None:
    found = scripts()
    assert len(found) > 10
    done = subprocess.run(["shellcheck", *found], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")
