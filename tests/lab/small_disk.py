"""A disk that fills up and goes read-only: a small file system in memory, where something keeps its state."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab.wait import until

_BYTES = 256 * 1024
_BALLAST = "ballast"


class SmallDisk:
    """A file system of its own for the state folder, that can be filled and made read-only."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.is_well = True
        place.mkdir(mode=0o700, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", f"size={_BYTES},mode=700", "tmpfs", str(place))

    def fill(self) -> None:
        """Not a byte more goes in."""
        self.mend()
        self.is_well = False
        with (self._place / _BALLAST).open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"\0" * 4096)
            except OSError:
                return

    def make_read_only(self) -> None:
        """It takes no change at all, once nobody has a file open to write to (mount(2): EBUSY)."""
        self.mend()
        self.is_well = False
        words = ["mount", "-o", "remount,ro", str(self._place)]
        until("nobody to write", lambda: subprocess.run(words, check=False, capture_output=True).returncode == 0)

    def mend(self) -> None:
        """It takes what it is given, and there is room."""
        if not self.is_well:
            self._mount("-o", "remount,rw", str(self._place))
            (self._place / _BALLAST).unlink(missing_ok=True)
            self.is_well = True

    def unmount(self) -> None:
        """Take it away, whatever is in it; fine where it has gone."""
        subprocess.run(["umount", "--lazy", str(self._place)], check=False, capture_output=True)

    @staticmethod
    def _mount(*words: str) -> None:
        subprocess.run(["mount", *words], check=True, capture_output=True)
