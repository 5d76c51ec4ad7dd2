"""BGP passwords: read from where the order points, never kept in it, never printed."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from dcedge.errors import DcedgeError
from dcedge.logging.masking import hold
from dcedge.order.model import Credential

_SIZE_MAX = 1024
TCP_MD5_LENGTH_MAX = 80  # TCP_MD5SIG_MAXKEYLEN in linux/tcp.h


class Secret:
    """A password that does not show itself: not by str, repr, a format or an exception's arguments.

    From the moment it is made its value is hidden, too, in whatever this process tells (`dcedge.masking`).
    """

    __slots__ = ("_held",)

    def __init__(self, value: str) -> None:
        self._held = hold(value)

    def reveal(self) -> str:
        """The password itself, for the one place that hands it to FRR."""
        return self._held.value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())


class CredentialError(DcedgeError):
    """A credential that cannot be used; says which and why, not what is in it."""


def read_credentials(
    wanted: Iterable[Credential], folder: Path, handed_over: Mapping[Credential, Secret] = MappingProxyType({})
) -> tuple[Mapping[Credential, Secret], Mapping[Credential, CredentialError]]:
    """The secrets behind the wanted credentials, and what is wrong with the others.

    A file counts as it is now. Where this process may not read it, what root has handed over since the start does
    (`dcedge reload`, `dcedge apply`), then what systemd handed over at the start.
    """
    secrets: dict[Credential, Secret] = {}
    problems: dict[Credential, CredentialError] = {}
    for credential in dict.fromkeys(wanted):
        try:
            secrets[credential] = _read(credential, folder, handed_over)
        except CredentialError as error:
            problems[credential] = error
    return secrets, problems


def _read(credential: Credential, folder: Path, handed_over: Mapping[Credential, Secret]) -> Secret:
    path = Path(credential.file) if credential.file is not None else folder / str(credential.credential)
    name = f"credential {credential.credential}" if credential.credential else f"password file {path}"
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(_SIZE_MAX + 1)
    except OSError as error:
        if credential in handed_over:
            return handed_over[credential]
        handed = _from_systemd(credential)
        if handed is None:
            hint = "; `dcedge reload` as root hands it over" if isinstance(error, PermissionError) else ""
            raise CredentialError(f"{name}: {path}: {error.strerror}{hint}") from error
        return _checked(name, path, handed)
    if stat.S_ISREG(mode) and mode & 0o077:
        raise CredentialError(f"{name}: {path} is open to others (mode {mode & 0o777:04o}; chmod 0600 it)")
    return _checked(name, path, raw)


def _from_systemd(credential: Credential) -> bytes | None:
    """What systemd has for us: LoadCredential= of the file, or of the folder as `dcedge` (systemd.exec(5))."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None or credential.credential is None:
        return None
    for name in (credential.credential, f"dcedge_{credential.credential}"):
        with suppress(OSError):
            return (Path(folder) / name).read_bytes()
    return None


def _checked(name: str, path: Path, raw: bytes) -> Secret:
    text = raw.removesuffix(b"\n")
    if not text:
        raise CredentialError(f"{name}: {path} is empty")
    if len(text) > TCP_MD5_LENGTH_MAX:
        raise CredentialError(f"{name}: longer than the {TCP_MD5_LENGTH_MAX} bytes that TCP-MD5 takes")
    if any(not 0x21 <= byte <= 0x7E for byte in text):
        raise CredentialError(
            f"{name}: holds a blank, a line break or a character outside ASCII, which no peer can match"
        )
    return Secret(text.decode("ascii"))


def as_kept(secrets: Mapping[Credential, Secret]) -> dict[str, str]:
    """Secrets as files and requests have them: by the JSON of their Credential."""
    return {json.dumps(asdict(credential)): secret.reveal() for credential, secret in secrets.items()}


def restored_secrets(kept: Mapping[str, str]) -> dict[Credential, Secret]:
    """The secrets out of that."""
    return {Credential(**json.loads(name)): Secret(value) for name, value in kept.items()}
