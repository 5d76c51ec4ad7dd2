"""The hand that types, what it has typed so far, and clean roots for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fresh.pages import ROOT
from tests.fresh.root import CleanRoot, make_base
from tests.lab.netns import execute

IN_THE_LAB = os.environ.get("LAB_OUT")


@pytest.fixture(scope="session")
def record() -> Path:
    """Where it is written down what was typed; the lab's comes out of the lab."""
    folder = Path(IN_THE_LAB) if IN_THE_LAB else ROOT / "build/typed"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder


@pytest.fixture(scope="session")
def base() -> Iterator[Path]:
    """A folder with Debian as debootstrap leaves it, in memory of this process's own mount namespace."""
    assert os.getpid() == 1, "only in namespaces of its own, in which nothing stays mounted or running: make fresh"
    place = ROOT / "build/fresh"
    place.mkdir(parents=True, exist_ok=True)
    execute("mount", "-t", "tmpfs", "-o", "mode=755,size=100%", "fresh", str(place))
    try:
        make_base(place / "base")
        yield place / "base"
    finally:
        execute("umount", "--lazy", str(place))


@pytest.fixture(scope="session")
def builder(base: Path) -> CleanRoot:
    """The machine on which somebody tries dcedge and builds it. As in many an image apt has no list of packages yet."""
    made = _another(base, "builder")
    shutil.rmtree(made.folder / "var/lib/apt/lists")
    return made


@pytest.fixture(scope="session")
def router(base: Path, builder: CleanRoot) -> CleanRoot:
    """The router that the package is put on; the checkout that the package was built in is there too."""
    made = _another(base, "router")
    checkout = made.folder / "root/dcedge"
    checkout.mkdir()
    execute("mount", "--bind", str(builder.folder / "root/dcedge"), str(checkout))
    made.home = "/root/dcedge"
    return made


def _another(base: Path, name: str) -> CleanRoot:
    folder = base.with_name(name)
    execute("cp", "-a", str(base), str(folder))
    return CleanRoot(folder)
