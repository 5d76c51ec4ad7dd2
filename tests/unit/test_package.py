"""What goes into the package beside Python: the manual page and the maintainer scripts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from dcedge.cli import app
from package.manual import manual

SCRIPTS = Path(__file__).resolve().parents[2] / "package/debian"


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
