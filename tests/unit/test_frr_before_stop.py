"""What frr.service runs as root before it stops FRR: it ends bgpd, and nothing else that bgpd's file may name."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "systemd/frr-before-stop"


def has_frr() -> bool:
    with suppress(KeyError):
        return bool(pwd.getpwnam("frr"))
    return False


pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not has_frr(), reason="takes root, and a user frr")


@dataclass
class Frr:
    """FRR's places in a folder, and processes that are as they may be."""

    folder: Path
    programs: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def process(self, name: str, user: str) -> subprocess.Popen[bytes]:
        program = self.programs / name
        if not program.exists():
            shutil.copy("/bin/sleep", program)
        account = pwd.getpwnam(user)
        self.processes.append(subprocess.Popen([program, "600"], user=account.pw_uid, group=account.pw_gid))
        return self.processes[-1]

    def stop(self, named: str | int) -> str:
        """Run the script where bgpd's file has this in it; what it said."""
        for name, text in (
            ("frr.conf", "router bgp 1\n neighbor 10.0.0.1 graceful-restart\n"),
            ("bgpd.pid", f"{named}\n"),
        ):
            (self.folder / name).write_text(text)
        for name, text in (("systemctl", "echo running"), ("watchfrr.sh", f"echo $* >>{self.folder}/stopped")):
            (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.folder / name).chmod(0o755)
        script = SCRIPT.read_text()
        for place in ("/etc/frr/", "/run/frr/", "/usr/lib/frr/"):
            script = script.replace(place, f"{self.folder}/")
        path = {"PATH": f"{self.folder}:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=path, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    @property
    def watchfrr_was_stopped(self) -> bool:
        return (self.folder / "stopped").exists()


@pytest.fixture
def frr(tmp_path: Path) -> Iterator[Frr]:
    with TemporaryDirectory() as programs:
        Path(programs).chmod(0o755)  # other users come by it
        made = Frr(tmp_path, Path(programs))
        yield made
        for process in made.processes:
            process.kill()
            process.wait()


def test_bgpd_is_killed_and_watchfrr_does_not_start_it_again(frr: Frr) -> None:
    bgpd = frr.process("bgpd", "frr")
    assert frr.stop(bgpd.pid) == ""
    assert bgpd.wait(60) == -signal.SIGKILL
    assert frr.watchfrr_was_stopped
    assert not (frr.folder / "bgpd.pid").exists()


@pytest.mark.parametrize(("name", "user"), [("bgpd", "root"), ("bgpd", "nobody"), ("zebra", "frr"), ("sshd", "root")])
def test_no_other_process_is(frr: Frr, name: str, user: str) -> None:
    other = frr.process(name, user)
    assert "no process of bgpd" in frr.stop(other.pid)
    assert other.poll() is None
    assert not frr.watchfrr_was_stopped


@pytest.mark.parametrize("named", ["", "-1", "1 1", "../1", "999999999", "self", "0"])
def test_what_is_no_process_is_left_alone(frr: Frr, named: str) -> None:
    assert "no process of bgpd" in frr.stop(named)
    assert not frr.watchfrr_was_stopped
