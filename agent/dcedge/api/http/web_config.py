"""TLS and basic auth for HTTP, from a web-config file as Prometheus' exporters have it.

The format is the exporter toolkit's (docs/web-configuration.md there). What would weaken the protection if it were
left out is refused where it is not known here, and so is a section that protects nothing because it is empty.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bcrypt
import yaml

from dcedge.errors import DcedgeError

_SIZE_MAX = 1 << 20
_REMEMBERED = 64  # passwords that were right lately
_TLS_KEYS = {"cert_file", "key_file", "client_ca_file", "client_auth_type", "min_version", "max_version"}
_HARMLESS = {"prefer_server_cipher_suites"}  # TLS 1.3 has none that could be preferred wrongly; OpenSSL's default does
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_HEADERS = {
    "Content-Security-Policy", "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options",
    "X-XSS-Protection",
}  # fmt: skip
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1\d)\$[./A-Za-z0-9]{53}")  # more than 19 takes minutes


class WebConfigError(DcedgeError):
    """The web-config file cannot be used; the text says where and why."""


class WebConfig:
    """One web-config file, as it was when it was read. Raises WebConfigError where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        data = self._section(self._load(), "", {"tls_server_config", "http_server_config", "basic_auth_users"})
        self._users = self._read_users(data)
        self.headers = self._read_headers(data)
        self.context = self._make_context(data["tls_server_config"]) if "tls_server_config" in data else None
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._salt = secrets.token_bytes(16)
        self._one = asyncio.Semaphore(1)  # at most one processor is busy with passwords

    @property
    def wants_password(self) -> bool:
        """Whether anybody has to say who they are."""
        return bool(self._users)

    async def admits(self, authorization: str) -> bool:
        """Whether an Authorization header (RFC 7617) names a user, with the right password."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except ValueError:  # no base64, no UTF-8
            return False
        if scheme.lower() != "basic" or not colon:
            return False
        hashed = self._users.get(name) or self._like(name)
        mark = hmac.digest(self._salt, b"\0".join((name.encode(), password.encode(), hashed)), hashlib.sha256)
        if mark in self._right:
            self._right.move_to_end(mark)
            return True
        async with self._one:
            right = await asyncio.to_thread(_matches, password.encode(), hashed) and name in self._users
        if right:
            self._right[mark] = None
            while len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)
        return right

    def _like(self, name: str) -> bytes:
        """A hash for a user whom there is not, so that a refusal takes as long as some user's: costs may differ."""
        chosen = int.from_bytes(hmac.digest(self._salt, name.encode(), hashlib.sha256), "big") % len(self._users)
        return list(self._users.values())[chosen]

    def _load(self) -> object:
        try:
            with self._path.open("rb") as file:
                text = file.read(_SIZE_MAX)
            return yaml.load(text, yaml.CSafeLoader)
        except OSError as error:
            raise WebConfigError(f"{self._path}: {error.strerror}") from error
        except (yaml.YAMLError, ValueError) as error:
            raise WebConfigError(f"{self._path} is not valid YAML: {error}") from error

    def _section(self, data: object, name: str, known: set[str] | None) -> Mapping[str, Any]:
        if data is None or data == {}:
            raise self._error(name, "is empty: give it a value, or remove it")
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            raise self._error(name, "must be a map")
        for key in data if known is not None else ():
            if key not in (known or ()):
                raise self._error(f"{name}.{key}".lstrip("."), "unknown or unsupported key")
        return data

    def _read_users(self, data: Mapping[str, Any]) -> Mapping[str, bytes]:
        if "basic_auth_users" not in data:
            return {}
        users = self._section(data["basic_auth_users"], "basic_auth_users", None)
        for name, hashed in users.items():
            if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
                raise self._error(f"basic_auth_users.{name}", "not a bcrypt hash (htpasswd -nB, cost 4-19)")
        return {name: hashed.encode() for name, hashed in users.items()}

    def _read_headers(self, data: Mapping[str, Any]) -> Mapping[str, str]:
        if "http_server_config" not in data:
            return {}
        section = self._section(data["http_server_config"], "http_server_config", {"http2", "headers"})
        if "headers" not in section:
            return {}
        name = "http_server_config.headers"
        headers = self._section(section["headers"], name, _HEADERS)
        for header, value in headers.items():
            if not isinstance(value, str) or not value.isprintable():
                raise self._error(f"{name}.{header}", "must be one line of text")
        return {header: value.strip() for header, value in headers.items()}  # RFC 9110, 5.5

    def _make_context(self, data: object) -> ssl.SSLContext:
        tls = self._section(data, "tls_server_config", _TLS_KEYS | _HARMLESS)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = self._choice(tls, "min_version", _VERSIONS, "TLS12")
        context.maximum_version = self._choice(tls, "max_version", _VERSIONS, "TLS13")
        self._load_certificate(context, tls)
        authority = self._file(tls, "client_ca_file")
        wanted = "NoClientCert" if authority is None else "RequireAndVerifyClientCert"
        mode = self._choice(tls, "client_auth_type", _CLIENTS, wanted)
        if mode != ssl.CERT_NONE and authority is None:
            raise self._error("tls_server_config.client_auth_type", "needs a client_ca_file")
        if authority is not None:
            try:
                context.load_verify_locations(authority)
            except (OSError, ssl.SSLError) as error:
                raise self._error("tls_server_config.client_ca_file", f"{authority}: {error}") from error
        context.verify_mode = mode
        return context

    def _load_certificate(self, context: ssl.SSLContext, tls: Mapping[str, Any]) -> None:
        certificate, key = self._file(tls, "cert_file"), self._file(tls, "key_file")
        if certificate is None or key is None:
            raise self._error("tls_server_config", "cert_file and key_file are required")
        try:
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except (OSError, ssl.SSLError) as error:
            raise self._error("tls_server_config", f"{certificate} with {key}: {error}") from error

    def _file(self, tls: Mapping[str, Any], key: str) -> Path | None:
        if key not in tls:
            return None
        name = tls[key]
        if not isinstance(name, str) or not name:
            raise self._error(f"tls_server_config.{key}", "must be a file name")
        return self._path.parent / name  # as in the toolkit: relative to the file that names it

    def _choice(self, tls: Mapping[str, Any], key: str, known: Mapping[str, Any], otherwise: str) -> Any:
        name = tls.get(key, otherwise)
        if not isinstance(name, str) or name not in known:
            raise self._error(f"tls_server_config.{key}", f"{name!r} is none of {', '.join(known)}")
        return known[name]

    def _error(self, where: str, what: str) -> WebConfigError:
        return WebConfigError(f"{self._path}: {where or 'the file'}: {what}")


def _matches(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # longer than bcrypt's 72 bytes
        return False
