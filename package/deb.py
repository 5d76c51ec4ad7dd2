"""Builds the Debian package from a staging tree, the same bytes from the same sources, by `dpkg-deb` alone.

    python -m package.deb [--and-next]

It is for the Debian on which it is built, and says so in its version: dcedge and the packages that it needs, at their
pinned versions, lie in a virtual environment of their own, /usr/lib/dcedge, on that Debian's Python, which each release
has in another version. Prints the path of what was built. With --and-next it is built once more with a higher version
number, into build/deb/next, for whoever tries an upgrade.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from dcedge import __version__
from dcedge.order.schema import order_schema
from package.bundled import Part, bundled, canonical
from package.copyright import debian_copyright
from package.manual import manual
from package.sbom import sbom

ROOT = Path(__file__).resolve().parent.parent
HOME = Path("usr/lib/dcedge")
SITE = HOME / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
UNITS = "usr/lib/systemd/system"
LAUNCHER = f"#!/{HOME}/bin/python3 -I\nfrom {{module}} import main\n\nmain()\n"
# What nothing of the agent or of dcedge-capture imports: scapy's protocols beyond those of a port.
LEFT_OUT = ("bin", "scapy/contrib", "scapy/arch/windows")
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/dcedge",
    "zsh": "usr/share/zsh/vendor-completions/_dcedge",
    "fish": "usr/share/fish/vendor_completions.d/dcedge.fish",
}


def main(words: list[str]) -> int:
    """Build; returns the exit status."""
    debian = debian_release(platform.freedesktop_os_release())
    target = ROOT / "build/deb"
    builds = {package_version(__version__, debian): target}
    if words == ["--and-next"]:
        builds[package_version(f"{__version__}+next", debian)] = target / "next"
    os.environ["SOURCE_DATE_EPOCH"] = _source_date()
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="dcedge-deb-") as scratch:
        tree = Path(scratch) / "tree"
        parts, sha256 = install_python(tree)
        install_files(tree)
        install_licences(tree, parts, sha256)
        architecture = _said("dpkg", "--print-architecture").strip()
        for version, folder in builds.items():
            shutil.rmtree(tree / "DEBIAN", ignore_errors=True)
            write_control(tree, version, architecture)
            folder.mkdir(parents=True, exist_ok=True)
            package = folder / f"dcedge_{version}_{architecture}.deb"
            _said("dpkg-deb", "--build", "--root-owner-group", "-Zxz", "-z3", str(tree), str(package))
            print(package.relative_to(ROOT))
    return 0


def debian_release(about: Mapping[str, str]) -> str:
    """Which of Debian's releases os-release(5) tells of, by number; of no other system is it known what it has."""
    if about.get("ID") != "debian" or not about.get("VERSION_ID"):
        name = about.get("PRETTY_NAME", "this system")
        raise SystemExit(
            f"the package is for a release of Debian, and {name} is none: make deb DIST=bookworm or trixie"
        )
    return about["VERSION_ID"]


def package_version(number: str, debian: str) -> str:
    """The package's version: one for a later Debian is the newer one, so that an upgrade of Debian brings it."""
    return f"{number}~deb{debian}"


def python_range(version: tuple[int, int]) -> str:
    """What of Debian's `python3` has the interpreter of this version: the packages lie in a folder of its name."""
    major, minor = version
    return f"python3 (>= {major}.{minor}~), python3 (<< {major}.{minor + 1})"


def install_python(tree: Path) -> tuple[list[Part], dict[str, str]]:
    """The virtual environment: what runs, compiled, with no trace of where it was built.

    Returns what is in it beside dcedge, and the SHA-256 of the file that each part came in, by canonical name.
    """
    site = tree / SITE
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", str(site)]
    report = tree.parent / "report.json"
    _said(*pip, "--report", str(report), "--require-hashes", "-r", str(ROOT / "requirements.txt"))
    shutil.rmtree(ROOT / "build/lib", ignore_errors=True)  # setuptools would take modules along that are gone by now
    _said(*pip, "--no-build-isolation", str(ROOT))
    for pattern in LEFT_OUT:
        for folder in site.glob(pattern):
            shutil.rmtree(folder)
    parts = bundled(site)
    for pattern in ("direct_url.json", "RECORD", "INSTALLER", "REQUESTED"):
        for trace in site.glob(f"*.dist-info/{pattern}"):
            trace.unlink()
    paths = ["-s", str(tree), "-p", "/"]
    _said(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *paths, str(site))
    interpreter = tree / HOME / "bin" / "python3"
    interpreter.parent.mkdir()
    interpreter.symlink_to("/usr/bin/python3")
    _write(tree / HOME / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    _write(tree / "usr/bin/dcedge", LAUNCHER.format(module="dcedge.cli.entry"), 0o755)
    # Not for people: `explain` starts it, and finds it beside its interpreter.
    _write(tree / HOME / "bin/dcedge-capture", LAUNCHER.format(module="dcedge_capture.__main__"), 0o755)
    return parts, _sha256(report)


def install_licences(tree: Path, parts: Sequence[Part], sha256: Mapping[str, str]) -> None:
    """Whose what is, and under which licence; and the same as a bill of materials."""
    documents = tree / "usr/share/doc/dcedge"
    _write(documents / "copyright", debian_copyright(str(SITE), parts))
    when = int(os.environ["SOURCE_DATE_EPOCH"])
    _write(documents / "sbom.cdx.json", sbom(__version__, parts, sha256, when))


def install_files(tree: Path) -> None:
    """All that is not Python."""
    systemd = ROOT / "systemd"
    for unit in systemd.glob("*.*"):
        if unit.is_file() and unit.suffix in {".service", ".path", ".timer"}:
            _copy(unit, tree / UNITS / unit.name)
    _copy(systemd / "frr.service.d/50-dcedge.conf", tree / UNITS / "frr.service.d/50-dcedge.conf")
    _write(tree / HOME / "frr-before-stop", (systemd / "frr-before-stop").read_text(), 0o755)
    _copy(systemd / "networkd.conf.d/50-dcedge.conf", tree / "usr/lib/systemd/networkd.conf.d/50-dcedge.conf")
    _copy(systemd / "sysctl.d/50-dcedge.conf", tree / "usr/lib/sysctl.d/50-dcedge.conf")
    _copy(systemd / "sysusers.d/dcedge.conf", tree / "usr/lib/sysusers.d/dcedge.conf")
    for shell, place in COMPLETIONS.items():
        command = str(Path(sys.executable).with_name("dcedge"))
        script = _said(command, environment={"_DCEDGE_COMPLETE": f"source_{shell}"})
        _write(tree / place, script)
    _write_compressed(tree / "usr/share/man/man1/dcedge.1.gz", manual())
    _write(tree / "usr/share/dcedge/order.schema.json", json.dumps(order_schema(), indent=2) + "\n")
    documents = tree / "usr/share/doc/dcedge"
    for name in ("README.md", "CHANGELOG.md", "SECURITY.md"):
        _copy(ROOT / name, documents / name)
    for folder in ("config", "docs", "docs/decisions"):
        for page in sorted((ROOT / folder).glob("*.md")):
            _copy(page, documents / folder / page.name)
    for sample in sorted((ROOT / "config").glob("*.y*ml")):
        _copy(sample, documents / "examples" / sample.name)


def write_control(tree: Path, version: str, architecture: str) -> None:
    """DEBIAN/: the fields, the scripts, the checksums."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    sums = "".join(
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(tree)}\n"
        for path in files
    )
    kilobytes = sum(-(-path.stat().st_size // 1024) for path in files)
    template = (ROOT / "package/debian/control").read_text()
    control = template.format(
        version=version,
        architecture=architecture,
        kilobytes=kilobytes,
        python=python_range(sys.version_info[:2]),
    )
    _write(tree / "DEBIAN/control", control)
    _write(tree / "DEBIAN/md5sums", sums)
    for script in ("postinst", "prerm", "postrm"):
        _write(tree / "DEBIAN" / script, (ROOT / "package/debian" / script).read_text(), 0o755)


def _sha256(report: Path) -> dict[str, str]:
    """Which file pip has installed each package from, by its report."""
    return {
        canonical(entry["metadata"]["name"]): entry["download_info"]["archive_info"]["hash"].removeprefix("sha256=")
        for entry in json.loads(report.read_text())["install"]
    }


def _source_date() -> str:
    """When the sources were last changed, for every time stamp in the package."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return given or _said("git", "-C", str(ROOT), "log", "-1", "--format=%ct").strip()


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _write_compressed(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _copy(source: Path, target: Path) -> None:
    _write(target, source.read_text())


def _said(*words: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words[:4])}…: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
