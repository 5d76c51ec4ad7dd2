"""Where a password is taken from: the file as it is now, else from root's hand, else from systemd's."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcedge.logging.masking import hide
from dcedge.order.credentials import CredentialError, Secret, read_credentials
from dcedge.order.model import Credential

PROD = Credential(credential="prod-a")


@pytest.fixture
def handed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """systemd's folder, with the password as LoadCredential=dcedge:FOLDER names it."""
    folder = tmp_path / "systemd"
    folder.mkdir()
    (folder / "dcedge_prod-a").write_text("from-systemd\n")
    (folder / "dcedge_prod-a").chmod(0o444)  # what systemd guards is open to nobody else, whatever the mode says
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def read(folder: Path, handed_over: dict[Credential, Secret] | None = None) -> str:
    secrets, problems = read_credentials([PROD], folder, handed_over or {})
    return str(problems[PROD]) if PROD in problems else secrets[PROD].reveal()


def test_a_file_that_can_be_read_counts_as_it_is_now(tmp_path: Path, handed: Path) -> None:
    (tmp_path / "prod-a").touch(mode=0o600)
    (tmp_path / "prod-a").write_text("from-file\n")
    assert read(tmp_path, {PROD: Secret("from-root")}) == "from-file"


def test_then_what_root_handed_over_then_what_systemd_did(tmp_path: Path, handed: Path) -> None:
    assert read(tmp_path, {PROD: Secret("from-root")}) == "from-root"
    assert read(tmp_path) == "from-systemd"
    (handed / "prod-a").write_text("by-its-name\n")
    assert read(tmp_path) == "by-its-name"


def test_what_was_read_is_hidden_wherever_it_is_told(tmp_path: Path, handed: Path) -> None:
    assert hide("it is from-systemd") == "it is from-systemd"
    secret = Secret(read(tmp_path))
    assert hide(f"it is {secret.reveal()}, {secret} or {secret!r}") == "it is ***, Secret(***) or Secret(***)"


def test_without_any_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert read(tmp_path) == f"credential prod-a: {tmp_path / 'prod-a'}: No such file or directory"


@pytest.mark.parametrize("text", ["", "two words", "x" * 81])
def test_what_systemd_hands_over_is_checked_too(tmp_path: Path, handed: Path, text: str) -> None:
    (handed / "prod-a").write_text(text)
    _, problems = read_credentials([PROD], tmp_path)
    assert isinstance(problems[PROD], CredentialError)
