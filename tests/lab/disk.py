"""A disk that can hang: a small file system in a file, mounted where something keeps its state."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

_BYTES = 16 << 20


class Disk:
    """An ext4 at `place`, empty; `hang` keeps whoever writes to it waiting until it is `mended`."""

    def __init__(self, image: Path, place: Path) -> None:
        self._image = image
        self._place = place
        self._hangs = False

    def __enter__(self) -> Self:
        subprocess.run(["modprobe", "-a", "loop", "ext4"], check=False, capture_output=True)  # may be built in
        with self._image.open("wb") as file:
            file.truncate(_BYTES)
        self._place.mkdir(exist_ok=True)
        _run("mkfs.ext4", "-q", str(self._image))
        _run("mount", "-o", "loop", str(self._image), str(self._place))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mend()
        _run("umount", "--lazy", str(self._place))

    def hang(self) -> None:
        """From now on every write waits."""
        _run("fsfreeze", "--freeze", str(self._place))
        self._hangs = True

    def mend(self) -> None:
        """What waits is written; nothing where it does not hang."""
        if self._hangs:
            _run("fsfreeze", "--unfreeze", str(self._place))
            self._hangs = False


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
