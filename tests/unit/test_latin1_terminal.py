"""A terminal that is not UTF-8: everything is shown, with replacements where its encoding lacks a character."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dcedge.cli.encoding import nearest
from tests.lab.edge import COMMAND
from tests.unit.test_cli import AS_ROOT, ORDER, Router, router, start

__all__ = ["router"]

WORDY = ORDER.replace("bandwidth: 1G}", 'bandwidth: 1G, circuit_id: "線路-4711", description: "Frankfurt – Süd"}')


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody whose locale is de_DE, which is ISO-8859-1."""
    if shutil.which("localedef") is None:
        pytest.skip("no localedef, which makes locales")
    locales = tmp_path_factory.mktemp("locales")
    done = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", locales / "de_DE"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no such locale can be made: {done.stderr.decode()}")
    return {"LOCPATH": str(locales), "LC_ALL": "de_DE", "COLUMNS": "200"}


def said(words: list[str], environment: dict[str, str], prefix: tuple[str, ...] = ()) -> str:
    """What a run of dcedge prints, as a terminal of ISO-8859-1 shows it."""
    done = subprocess.run(
        [*prefix, COMMAND, *words], capture_output=True, env=os.environ | environment, check=False, timeout=60
    )
    shown = (done.stdout + done.stderr).decode("latin-1")
    assert "Traceback" not in shown, shown
    assert "codec can't" not in shown, shown
    return shown


@AS_ROOT
@pytest.mark.parametrize(
    ("words", "part"),
    [(["status"], "????-4711"), (["status", "prod-a"], "Frankfurt - S\xfcd"), (["top"], "WHY")],
    ids=["status", "status of one", "top"],
)
def test_what_the_encoding_lacks_is_replaced(
    words: list[str], part: str, router: Router, german: dict[str, str]
) -> None:
    router.order.write_text(WORDY, encoding="utf-8")
    start(router)
    shown = said(words, router.environment | german, tuple(router.namespace.command()))
    assert "prod-a" in shown
    assert part in shown


def test_a_wrong_orders_own_text_is_shown_too(tmp_path: Path, german: dict[str, str]) -> None:
    order = tmp_path / "order.yaml"
    order.write_text(WORDY.replace("provider: otc", 'provider: "電信–1"'), encoding="utf-8")
    shown = said(["check", "--order", str(order)], german)
    assert "connections.fra-1.provider: '????-1' is not a known provider" in shown


def test_a_files_name_that_is_no_text_is_shown_too(tmp_path: Path) -> None:
    order = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml"))
    order.write_text(ORDER, encoding="utf-8")
    assert "/?.yaml: good (" in said(["check", "--order", str(order)], {"PYTHONUTF8": "1"})


def test_an_order_that_waits_to_take_its_place_is_read_as_it_was_written(
    tmp_path: Path, german: dict[str, str]
) -> None:
    code = (
        "import sys; from pathlib import Path; from dcedge.cli.order_file import NewOrderFile\n"
        f"text = {WORDY!r}\n"
        "assert NewOrderFile.beside(Path(sys.argv[1]), text).contents() == text"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "order.yaml"], env=os.environ | german, check=True, timeout=60
    )


@pytest.mark.parametrize(
    ("character", "plain"),
    [
        ("–", "-"),
        ("線", "??"),
        ("▁", "_"),
        ("é", "e"),
        ("…", "."),
        ("\N{NO-BREAK SPACE}", " "),
        ("\N{ZERO WIDTH JOINER}", ""),
    ],
)
def test_a_replacement_is_as_wide_as_what_it_stands_for(character: str, plain: str) -> None:
    assert nearest(character) == plain
