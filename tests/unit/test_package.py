"""What the package says of itself, and what goes into it beside Python: the manual page and the maintainer scripts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from dcedge.cli.app import app
from package.deb import debian_release, package_version, python_range, write_control
from package.manual import manual

SCRIPTS = Path(__file__).resolve().parents[2] / "package/debian"


@pytest.mark.parametrize(("number", "codename"), [("12", "bookworm"), ("13", "trixie")])
def test_the_version_says_for_which_debian_it_was_built(number: str, codename: str) -> None:
    about = {"ID": "debian", "VERSION_ID": number, "VERSION_CODENAME": codename}
    assert debian_release(about) == number


@pytest.mark.parametrize(
    "about",
    [
        {"ID": "debian", "VERSION_CODENAME": "forky", "PRETTY_NAME": "Debian GNU/Linux forky/sid"},
        {"ID": "other", "VERSION_ID": "12", "PRETTY_NAME": "Other Linux 12"},
    ],
)
def test_it_is_built_on_releases_of_debian_alone(about: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match=about["PRETTY_NAME"]):
        debian_release(about)


def test_an_upgrade_of_debian_brings_an_upgrade_of_the_package() -> None:
    """The same dcedge built for the next Debian is the newer package, and the next dcedge newer than both."""
    versions = [package_version(number, debian) for number in ("0.1.0", "0.2.0", "0.2.1") for debian in ("12", "13")]
    for older, newer in pairwise(versions):
        assert subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=False).returncode == 0


def test_it_asks_for_the_python_whose_packages_it_holds(tmp_path: Path) -> None:
    assert python_range((3, 13)) == "python3 (>= 3.13~), python3 (<< 3.14)"
    write_control(tmp_path, "0.2.0~deb12", "amd64")
    (depends,) = re.findall(r"^Depends: (.*)$", (tmp_path / "DEBIAN/control").read_text(), re.MULTILINE)
    assert f"python3 (>= {sys.version_info.major}.{sys.version_info.minor}~)" in depends


def test_the_manual_page_has_every_verb_and_option() -> None:
    page = manual().replace("\\-", "-")
    command = typer.main.get_command(app)
    for name, verb in command.commands.items():  # type: ignore[attr-defined]
        assert f".SS dcedge {name}" in page
        for parameter in verb.params:
            if parameter.param_type_name == "option" and not parameter.hidden and parameter.name != "help":
                assert all(f"\\fB{option}" in page or f", {option}" in page for option in parameter.opts), (
                    parameter.opts
                )
    assert "--at-deadline" not in page  # for the guard alone


@pytest.mark.skipif(not shutil.which("man"), reason="man judges")
def test_man_has_nothing_to_say_against_it(tmp_path: Path) -> None:
    path = tmp_path / "dcedge.1"
    path.write_text(manual())
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_maintainer_scripts_are_shell(script: str) -> None:
    assert subprocess.run(["sh", "-n", SCRIPTS / script], check=False).returncode == 0
    assert "set -e" in (SCRIPTS / script).read_text()
