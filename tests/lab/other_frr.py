"""Puts another Debian's FRR and BIRD in the place of this machine's own, in the caller's mount namespace.

The programs keep their paths: what stands there now starts the other Debian's in its own root, which sees this one's
processes, devices, /run, /etc/frr and accounts. Nothing else changes, so that a test notices nothing of it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

VARIABLE = "LAB_FRR"  # in the environment: the other root
_SHARED = ("/proc", "/sys", "/dev", "/run", "/tmp", "/etc/frr", "/etc/passwd", "/etc/group")
_OWN_STATE = ("/var/tmp", "/var/lib")  # FRR's locks and its graceful restart's notes; not for the root to keep
_FRR = Path("/usr/lib/frr")
_IN_PLACE = ("/usr/bin/vtysh", "/usr/sbin/bird", "/usr/sbin/birdc")
PROGRAMS = Path("/run/lab/programs")
# Debian installs it only in the place of BIRD 2, so it has names of its own.
BIRD_3, BIRD_3_CLIENT = PROGRAMS / "bird3", PROGRAMS / "birdc3"


def take_from(root: Path) -> None:
    """From now on FRR and BIRD are those of `root`, for this mount namespace."""
    for place in _SHARED:
        _mount("--rbind", place, f"{root}{place}")
    for place in _OWN_STATE:
        _mount("-t", "tmpfs", "tmpfs", f"{root}{place}")
    frr = Path(f"{root}/var/lib/frr")
    frr.mkdir()
    subprocess.run(["chown", "frr:frr", str(frr)], check=True)
    names = [path.name for path in Path(f"{root}{_FRR}").iterdir() if path.is_file()]
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(_FRR))
    for name in names:
        _write(_FRR / name, root, f"{_FRR}/{name}")
    PROGRAMS.mkdir(parents=True)
    for place in _IN_PLACE:
        wrapper = PROGRAMS / Path(place).name
        _write(wrapper, root, place)
        _mount("--bind", str(wrapper), place)
    _write(BIRD_3, root, "/opt/bird3/usr/sbin/bird")
    _write(BIRD_3_CLIENT, root, "/opt/bird3/usr/sbin/birdc")


def _write(place: Path, root: Path, program: str) -> None:
    """A program that is the other root's."""
    place.write_text(f'#!/bin/sh\nexec chroot {root} {program} "$@"\n')
    place.chmod(0o755)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)
