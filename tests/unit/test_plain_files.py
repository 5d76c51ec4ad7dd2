"""Root reads where another user writes, and gets nothing but what stands there itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dcedge.reconcile.state.plain_files import read_plain_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of another user's, who has put links to root's file into it."""
    secret = tmp_path / "shadow"
    secret.write_text("root's")
    made = tmp_path / "state"
    (made / "below").mkdir(parents=True)
    (made / "file").write_text("hello")
    (made / "below" / "file").write_text("below")
    (made / "link").symlink_to(secret)
    (made / "hard").hardlink_to(secret)
    (made / "up").symlink_to(tmp_path)
    os.mkfifo(made / "pipe")
    return made


def test_a_plain_file_is_read_as_far_as_is_wanted(folder: Path) -> None:
    assert read_plain_file(folder, "file", 100) == b"hello"
    assert read_plain_file(folder, "file", 4) == b"hell"
    assert read_plain_file(folder, "below/file", 100) == b"below"


def test_the_folder_itself_may_be_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "place").symlink_to(folder)
    assert read_plain_file(tmp_path / "place", "file", 100) == b"hello"


@pytest.mark.parametrize("name", ["link", "hard", "up/shadow", "../shadow", "pipe", "below", "none", "/etc/hostname"])
def test_nothing_else_is(folder: Path, name: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011  as the kernel says it
        read_plain_file(folder, name, 100)
