"""TLS and basic auth as a web-config file says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import bcrypt
import pytest

from dcedge.api.http import endpoint as module
from dcedge.api.http.endpoint import HttpServer, Terms
from dcedge.api.http.web_config import WebConfig, WebConfigError
from dcedge.monitor.snapshot import PassSnapshot
from tests.lab.wait import PATIENCE_SECONDS
from tests.unit.expose.scene import snapshot
from tests.unit.expose.test_http import Router, converse

HASH = bcrypt.hashpw(b"Rebstock", bcrypt.gensalt(4)).decode()
REQUEST = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates: the server's and a stranger's."""
    made = tmp_path_factory.mktemp("tls")
    for name in ("server", "other"):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
                *("-keyout", made / f"{name}.key", "-out", made / f"{name}.crt"),
            ],
            check=True,
            capture_output=True,
        )
    return made


def config(folder: Path, text: str) -> WebConfig:
    path = folder / "web.yml"
    path.write_text(text)
    return WebConfig(path)


TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
AUTH = f"basic_auth_users: {{prometheus: '{HASH}'}}\n"


def router() -> Router:
    """A healthy one."""
    return Router(snapshot(passes=PassSnapshot(finished=time.time())))


@contextlib.asynccontextmanager
async def served(web: WebConfig | None) -> AsyncIterator[tuple[str, int]]:
    """The server, on some port."""
    server = HttpServer(router(), terms=Terms(web))
    bound = await server.start("127.0.0.1:0")
    try:
        yield bound
    finally:
        await server.close()


def authorized(name: str, password: str) -> str:
    return f"Authorization: Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}\r\n"


async def answer(
    place: tuple[str, int], headers: str = "", trust: Path | None = None
) -> tuple[int, dict[str, str], str]:
    context = ssl.create_default_context(cafile=trust) if trust is not None else None
    return await converse(await asyncio.open_connection(*place, ssl=context), f"{REQUEST}{headers}\r\n")


def test_tls_is_spoken_with_the_certificate_and_nothing_else(folder: Path) -> None:
    async def scene() -> None:
        async with served(config(folder, TLS)) as place:
            assert (await answer(place, trust=folder / "server.crt"))[0] == 200
            assert (await answer(place))[0] == 0  # plain text
            with pytest.raises(ssl.SSLError):
                await answer(place, trust=folder / "other.crt")

    asyncio.run(scene())


def test_a_client_certificate_is_demanded_where_that_is_said(folder: Path) -> None:
    text = TLS.replace("}", ", client_ca_file: other.crt, client_auth_type: RequireAndVerifyClientCert}")

    async def scene() -> None:
        async with served(config(folder, text)) as place:
            trust = ssl.create_default_context(cafile=folder / "server.crt")
            with contextlib.suppress(ssl.SSLError):  # in TLS 1.3 the refusal may come with the answer
                assert (await converse(await asyncio.open_connection(*place, ssl=trust), f"{REQUEST}\r\n"))[0] == 0
            trust.load_cert_chain(folder / "other.crt", folder / "other.key")
            assert (await converse(await asyncio.open_connection(*place, ssl=trust), f"{REQUEST}\r\n"))[0] == 200

    asyncio.run(scene())


def test_who_does_not_shake_hands_takes_a_place_and_not_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CLIENTS", 2)
    monkeypatch.setattr(module, "_PATIENCE", 1.0)

    async def scene() -> None:
        async with served(config(folder, TLS)) as place:
            mute = [await asyncio.open_connection(*place) for _ in range(2)]
            with pytest.raises(OSError):  # noqa: PT011  as it comes: reset, or the handshake's end
                await answer(place, trust=folder / "server.crt")
            for reader, writer in mute:
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
                writer.close()
            assert (await answer(place, trust=folder / "server.crt"))[0] == 200

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("", 401),
        (authorized("prometheus", "Rebstock"), 200),
        (authorized("prometheus", "rebstock"), 401),
        (authorized("prometheus", "x" * 100), 401),
        (authorized("somebody", "Rebstock"), 401),
        ("Authorization: Basic cHJvbWV0aGV1cw==\r\n", 401),  # no colon
        ("Authorization: Basic ÄÖÜ\r\n", 401),
        ("Authorization: Bearer Rebstock\r\n", 401),
    ],
)
def test_only_a_user_with_the_right_password_is_answered(folder: Path, headers: str, status: int) -> None:
    async def scene() -> None:
        async with served(config(folder, AUTH)) as place:
            for _ in range(2):  # the second time from memory
                got, said, _ = await answer(place, headers)
                assert got == status
                assert ("www-authenticate" in said) is (status == 401)

    asyncio.run(scene())


def test_a_refusal_takes_one_hash_of_a_users_cost_whoever_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = {name: bcrypt.hashpw(b"Rebstock", bcrypt.gensalt(cost)).decode() for name, cost in (("a", 4), ("b", 5))}
    web = config(folder, f"basic_auth_users: {users}")
    hashed: list[str] = []

    def counted(password: bytes, known: bytes) -> bool:
        hashed.append(known.decode())
        return real(password, known)

    real = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", counted)

    async def refused(name: str, password: str) -> list[str]:
        hashed.clear()
        said = base64.b64encode(f"{name}:{password}".encode()).decode()
        assert not await web.admits(f"Basic {said}")
        return list(hashed)

    async def scene() -> None:
        assert await refused("a", "wrong") == [users["a"]]
        strangers = [await refused(f"stranger-{number}", "Rebstock") for number in range(32)]
        assert {len(computed) for computed in strangers} == {1}
        assert {computed[0] for computed in strangers} == set(users.values()), (
            "some as dear as the one, some as the other"
        )
        assert await refused("stranger-1", "wrong") == await refused("stranger-1", "other"), (
            "always the same for one name"
        )

    asyncio.run(scene())


def test_headers_are_added(folder: Path) -> None:
    async def scene() -> None:
        async with served(config(folder, "http_server_config: {headers: {X-Frame-Options: ' deny é '}}")) as place:
            assert (await answer(place))[1]["x-frame-options"] == "deny é"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("basic_auth_users: {a: secret}", "basic_auth_users.a: not a bcrypt hash"),
        ("basic_auth_users: [a]", "basic_auth_users: must be a map"),
        ("tls_server_config: {cert_file: server.crt}", "cert_file and key_file are required"),
        ("tls_server_config: {cert_file: server.crt, key_file: other.key}", "server.crt with"),
        ("tls_server_config: {cert_file: none.crt, key_file: none.key}", "none.crt with"),
        (TLS.replace("}", ", cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}"), "cipher_suites: unknown or unsupported key"),
        (TLS.replace("}", ", min_version: TLS10}"), "'TLS10' is none of TLS12, TLS13"),
        (TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert}"), "needs a client_ca_file"),
        ("basic_auth_user: {}", "basic_auth_user: unknown"),
        ("http_server_config: {headers: {Set-Cookie: a}}", "Set-Cookie: unknown"),
        ("tls_server_config:", "tls_server_config: is empty"),
        (f"{AUTH}tls_server_config: {{}}", "tls_server_config: is empty"),
        ("basic_auth_users:", "basic_auth_users: is empty"),
        (f"{TLS}basic_auth_users: {{}}", "basic_auth_users: is empty"),
        (f"{TLS}http_server_config:", "http_server_config: is empty"),
        (f"{TLS}http_server_config: {{headers: }}", "http_server_config.headers: is empty"),
        ("", "the file: is empty"),
        ("# nothing yet", "the file: is empty"),
        (TLS.replace("}", ", client_ca_file: }"), "client_ca_file: must be a file name"),
        (TLS.replace("}", ", client_auth_type: ''}"), "'' is none of NoClientCert"),
        (TLS.replace("}", ", min_version: }"), "None is none of TLS12"),
        ("{", "is not valid YAML"),
        ("- a", "the file: must be a map"),
    ],
)
def test_what_cannot_be_used_is_named(folder: Path, text: str, said: str) -> None:
    with pytest.raises(WebConfigError) as error:
        config(folder, text)
    assert said in str(error.value)
    assert "secret" not in str(error.value)
