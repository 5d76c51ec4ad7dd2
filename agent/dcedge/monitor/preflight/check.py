"""What the pre-flight says of one thing, and what it looks at. Looks only: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dcedge.frr.descriptors import NO_OTHERS, Others
from dcedge.frr.vty import FrrClient
from dcedge.order.resolve import ResolvedInterface

State = Literal["good", "warning", "wrong", "unknown"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing: `text` says how it is, `mend` is the command (or the setting) that mends it."""

    what: str
    state: State
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class HostFiles:
    """This machine's files, below `root`; what cannot be read is as if it were not there."""

    root: Path = Path("/")

    def path(self, name: str) -> Path:
        """Where a file is."""
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str | None:
        """A file's text without the blanks around it; None where it cannot be read."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def number(self, name: str) -> int | None:
        """A file that holds a number."""
        text = self.read(name)
        try:
            return int(text) if text is not None else None
        except ValueError:
            return None

    def sysctl(self, name: str) -> int | None:
        """A setting below /proc/sys, its name with slashes."""
        return self.number(f"/proc/sys/{name}")

    def names(self, folder: str) -> list[str]:
        """What a folder holds."""
        try:
            return sorted(path.name for path in self.path(folder).iterdir())
        except OSError:
            return []

    def texts(self, folder: str, suffix: str) -> Iterator[tuple[str, str]]:
        """The files of a folder, with their text."""
        for name in self.names(folder):
            if name.endswith(suffix) and (text := self.read(f"{folder}/{name}")) is not None:
                yield f"{folder}/{name}", text


@dataclass(frozen=True, slots=True)
class PreflightInput:
    """What the pre-flight looks at: the machine, and what is ordered of it (nothing where there is no order yet)."""

    host: HostFiles
    frr: FrrClient
    frr_folder: Path
    state_dir: Path
    interfaces: tuple[ResolvedInterface, ...] = ()
    ports: tuple[str, ...] = ()  # by their own names, members of bonds too
    indices: Mapping[str, int] = field(default_factory=dict)  # of links, by name
    others: Others = NO_OTHERS  # in FRR
