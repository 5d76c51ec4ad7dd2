"""Debian 12 with nothing on it, in a folder, for a shell to live in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.fresh.hand import STANDS_FOR
from tests.fresh.pages import ROOT
from tests.lab.netns import execute

RELEASE = "bookworm"
# How this machine reaches the package registries; a proxy and its authority are the network's, not the machine's.
AUTHORITIES = Path("/usr/local/share/ca-certificates")
NETWORK_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_CERT", "PIP_DEFAULT_TIMEOUT")
ACQUIRE = ("Acquire::http", "Acquire::Check-", "Acquire::Retries", "Acquire::AllowReleaseInfoChange")
COMMAND_SECONDS = 1200


class CleanRoot:
    """A root file system with the processes that live in it. It is mounted in the caller's own namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = "/root"
        execute("mount", "--bind", str(folder), str(folder))  # `/` has to be a mount point for `unshare` in there
        for kind, place in (("proc", "proc"), ("sysfs", "sys"), ("devpts", "dev/pts"), ("tmpfs", "dev/shm")):
            (folder / place).mkdir(exist_ok=True)
            execute("mount", "-t", kind, kind, str(folder / place))

    def shell(self, line: str, answers: str = "") -> subprocess.CompletedProcess[str]:
        """What a line does in a shell of root's, whose folder is `home`."""
        environment = {
            "HOME": "/root",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM": "dumb",
            "COLUMNS": "160",
            **{name: os.environ[name] for name in NETWORK_VARIABLES if name in os.environ},
        }
        words = ["chroot", str(self.folder), "bash", "-c", f"cd {self.home} && {line}"]
        return subprocess.run(
            words,
            input=answers,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=COMMAND_SECONDS,
        )

    def processes(self) -> list[str]:
        """What still runs in it, by its command line."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "root").readlink() == self.folder:
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # it has ended meanwhile
                continue
        return [command for command in found if command]


def make_base(folder: Path) -> None:
    """What debootstrap makes, as small as can be, of this machine's own mirror; with this checkout's HEAD to clone."""
    sources = _sources()
    (mirror,) = {uri for uri, suite in sources if suite == RELEASE}
    execute("debootstrap", "--variant=minbase", RELEASE, str(folder), mirror, timeout=COMMAND_SECONDS)
    lines = [f"deb {uri} {suite} main" for uri, suite in sources]
    (folder / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
    settings = [line for line in execute("apt-config", "dump").stdout.splitlines() if line.startswith(ACQUIRE)]
    (folder / "etc/apt/apt.conf.d/90-as-outside").write_text("\n".join(settings) + "\n")
    shutil.copyfile("/etc/resolv.conf", folder / "etc/resolv.conf")
    if AUTHORITIES.is_dir():
        shutil.copytree(AUTHORITIES, folder / AUTHORITIES.relative_to("/"), dirs_exist_ok=True)
    for archive in (folder / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    clone = folder / STANDS_FOR["<this repository>"].lstrip("/")
    execute("git", "clone", "-q", "--bare", "--no-hardlinks", str(ROOT), str(clone), timeout=120)


def _sources() -> list[tuple[str, str]]:
    """This machine's own places of the release, each with the suite there."""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    rows = (line.split() for line in execute(*words).stdout.splitlines())
    found = {(row[0], row[1]): None for row in rows if row[1].startswith(RELEASE) and row[2] == "main"}
    assert any(suite == RELEASE for _, suite in found), f"apt here knows no mirror of Debian {RELEASE}"
    return list(found)
