"""A router in miniature for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake.router import FakeRouter


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRouter:
    """One on which dcedge has not run yet."""
    return FakeRouter(tmp_path, monkeypatch)
