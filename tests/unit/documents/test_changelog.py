"""The changelog keeps to its form, and its last release is the version that is built."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from dcedge import __version__

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "CHANGELOG.md").read_text()
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def test_the_last_release_is_the_version_that_is_built_and_stands_in_no_other_place() -> None:
    titles = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert titles[0] == "[Unreleased]"
    releases = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", title) for title in titles[1:]]
    assert all(releases)
    assert releases[0] is not None
    assert releases[0][1] == __version__
    dates = [release[2] for release in releases if release is not None]
    assert all(later >= earlier for later, earlier in pairwise(dates))
    assert f'"{__version__}"' not in (ROOT / "pyproject.toml").read_text()


def test_every_change_stands_under_its_kind_in_their_order() -> None:
    for section in TEXT.split("\n## ")[1:]:
        found = re.findall(r"^### (.+)$", section, re.MULTILINE)
        assert found == [kind for kind in KINDS if kind in found]
        for kind in section.split("\n### ")[1:]:
            assert re.match(r"\w+\n\n- ", kind), kind[:40]
