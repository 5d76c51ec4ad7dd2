"""HTTP as it is ordered anew: what a reload brings is in force at once, and what cannot be had changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dcedge.api.http.endpoint import HttpEndpoint, ListenError
from dcedge.api.http.hosts import Hosts
from dcedge.api.http.web_config import WebConfigError
from tests.unit.expose.test_web_config import AUTH, TLS, answer, authorized, folder, router

__all__ = ["folder"]  # a fixture
CLIENT_CA = TLS.replace("}", ", client_ca_file: other.crt}")
SOMEBODY = AUTH.replace("prometheus", "somebody")


@contextlib.asynccontextmanager
async def endpoint() -> AsyncIterator[HttpEndpoint]:
    """One that serves nowhere yet."""
    made = HttpEndpoint(router())
    try:
        yield made
    finally:
        await made.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def web(folder: Path, text: str) -> Path:
    path = folder / "web.yml"
    path.write_text(text)
    return path


def test_protection_that_was_not_there_at_the_start_comes_into_force_at_the_same_address(folder: Path) -> None:
    async def scene() -> None:
        async with endpoint() as http:
            place = await http.serve_at("127.0.0.1:0")
            assert (await answer(place))[0] == 200
            assert await http.serve_at("127.0.0.1:0", web(folder, TLS + AUTH)) == place
            assert (await answer(place))[0] == 0, "plain text"
            assert (await answer(place, trust=folder / "server.crt"))[0] == 401
            assert (await answer(place, authorized("prometheus", "Rebstock"), folder / "server.crt"))[0] == 200
            await http.serve_at("127.0.0.1:0")
            assert (await answer(place))[0] == 200, "and is gone with the order's word"

    asyncio.run(scene())


def test_users_who_are_replaced_by_a_client_ca_are_none_any_more(folder: Path) -> None:
    async def scene() -> None:
        async with endpoint() as http:
            place = await http.serve_at("127.0.0.1:0", web(folder, AUTH))
            assert (await answer(place, authorized("prometheus", "Rebstock")))[0] == 200
            await http.serve_at("127.0.0.1:0", web(folder, CLIENT_CA))
            assert (await answer(place, authorized("prometheus", "Rebstock")))[0] == 0
            with contextlib.suppress(ssl.SSLError):  # in TLS 1.3 the refusal may come with the answer
                assert (await answer(place, authorized("prometheus", "Rebstock"), folder / "server.crt"))[0] == 0

    asyncio.run(scene())


def test_new_users_and_a_new_certificate_count_when_the_file_is_read_again(folder: Path) -> None:
    async def scene() -> None:
        async with endpoint() as http:
            place = await http.serve_at("127.0.0.1:0", web(folder, TLS + AUTH))
            assert (await answer(place, authorized("prometheus", "Rebstock"), folder / "server.crt"))[0] == 200
            await http.serve_at("127.0.0.1:0", web(folder, TLS.replace("server.", "other.") + SOMEBODY))
            assert (await answer(place, authorized("prometheus", "Rebstock"), folder / "other.crt"))[0] == 401
            assert (await answer(place, authorized("somebody", "Rebstock"), folder / "other.crt"))[0] == 200

    asyncio.run(scene())


def test_who_is_connected_on_the_old_terms_is_not_answered_on_them_any_more(folder: Path) -> None:
    async def scene() -> None:
        async with endpoint() as http:
            place = await http.serve_at("127.0.0.1:0")
            reader, writer = await asyncio.open_connection(*place)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" in await asyncio.wait_for(reader.readline(), 20)
            await http.serve_at("127.0.0.1:0", web(folder, AUTH))
            with contextlib.suppress(ConnectionError):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"HTTP/1.1 200" not in await asyncio.wait_for(reader.read(), 20)
            writer.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_server_config:", "is empty"),
        (TLS.replace("server.key", "other.key"), "server.crt with"),
        (None, "No such"),
    ],
)
def test_protection_that_cannot_be_had_leaves_what_there_was(folder: Path, text: str | None, said: str) -> None:
    async def scene() -> None:
        async with endpoint() as http:
            place = await http.serve_at("127.0.0.1:0", web(folder, AUTH))
            path = web(folder, text) if text is not None else folder / "none.yml"
            for listen in ("127.0.0.1:0", "[::1]:0"):
                with pytest.raises(WebConfigError, match=said):
                    await http.serve_at(listen, path)
            assert (await answer(place))[0] == 401
            assert (await answer(place, authorized("prometheus", "Rebstock")))[0] == 200

    asyncio.run(scene())


def test_without_its_protection_nothing_is_served(folder: Path) -> None:
    async def scene() -> None:
        port = free_port()
        async with endpoint() as http:
            with pytest.raises(WebConfigError):
                await http.serve_at(f"127.0.0.1:{port}", folder / "none.yml")
            with pytest.raises(ConnectionRefusedError):
                await answer(("127.0.0.1", port))
            await http.serve_at(f"127.0.0.1:{port}", web(folder, AUTH))
            assert (await answer(("127.0.0.1", port)))[0] == 401, "it may be asked for again"

    asyncio.run(scene())


def test_an_address_that_is_taken_or_not_there_is_had_later_and_the_old_one_meanwhile() -> None:
    async def scene() -> None:
        async with endpoint() as http:
            old = await http.serve_at("127.0.0.1:0")
            with socket.create_server(("127.0.0.1", 0)) as taken:
                wanted = taken.getsockname()
                with pytest.raises(ListenError, match="in use"):
                    await http.serve_at(f"127.0.0.1:{wanted[1]}")
                assert (await answer(old))[0] == 200
            with pytest.raises(ListenError, match=r"192\.0\.2\.99"):
                await http.serve_at("192.0.2.99:9478")
            assert (await answer(old))[0] == 200
            assert await http.serve_at(f"127.0.0.1:{wanted[1]}") == wanted
            assert (await answer(wanted))[0] == 200
            with pytest.raises(ConnectionRefusedError):
                await answer(old)

    asyncio.run(scene())


def test_the_own_address_is_not_in_the_way_of_a_wider_one() -> None:
    async def scene() -> None:
        port = free_port()
        async with endpoint() as http:
            for listen in (f"127.0.0.1:{port}", f"0.0.0.0:{port}", f"127.0.0.1:{port}"):
                await http.serve_at(listen)
                assert (await answer(("127.0.0.1", port)))[0] == 200

    asyncio.run(scene())


def test_an_address_that_others_hold_too_leaves_the_own_one() -> None:
    async def scene() -> None:
        async with endpoint() as http:
            place = await http.serve_at(f"127.0.0.1:{free_port()}")
            with socket.create_server(("127.0.0.2", place[1])):
                with pytest.raises(ListenError, match="in use"):
                    await http.serve_at(f"0.0.0.0:{place[1]}")
                assert (await answer(place))[0] == 200

    asyncio.run(scene())


async def status_for(http: HttpEndpoint, host: str | None, hosts: tuple[str, ...] = ()) -> int:
    place = await http.serve_at("127.0.0.1:0", hosts=hosts)
    reader, writer = await asyncio.open_connection(*place)
    named = f"Host: {host}\r\n" if host is not None else ""
    writer.write(f"GET /healthz HTTP/1.{int(host is not None)}\r\nConnection: close\r\n{named}\r\n".encode())
    line = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("192.0.2.7:9478", 200),  # by whatever address a port forward or NAT has it
        ("[::1]:9478", 200),
        ("[fe80::1%25eth0]", 200),
        ("localhost:9478", 200),
        ("LOCALHOST.", 200),
        (socket.gethostname(), 200),
        ("edge.example.net:9478", 200),
        ("Edge.Example.NET.", 200),
        (None, 200),  # HTTP/1.0
        ("rebound.example.com", 421),
        ("rebound.example.com:9478", 421),
        ("localhost.example.com", 421),
        ("127.0.0.1.example.com", 421),
        ("edge.example.net.example.com", 421),
        ("[rebound.example.com]", 421),
        ("2130706433", 421),
        ("127.1", 421),
        ("", 421),
    ],
)
def test_http_answers_to_addresses_and_names_of_this_router_alone(host: str | None, status: int) -> None:
    async def scene() -> None:
        async with endpoint() as http:
            assert await status_for(http, host, ("edge.example.net",)) == status

    asyncio.run(scene())


def fails() -> str:
    raise socket.gaierror(-2, "Name or service not known")


@pytest.mark.parametrize(
    ("full_name", "known"),
    [(lambda: "R1.example.net", True), (lambda: "r1", False), (fails, False)],
    ids=["known", "without a domain", "DNS gone"],
)
def test_the_machines_name_in_full_is_known_as_far_as_the_resolver_tells(
    full_name: Callable[[], str], known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "r1")

    async def scene() -> None:
        hosts = Hosts(ask=full_name)
        assert await hosts.include("r1.example.net:9478") is known
        assert await hosts.include("r1")
        assert not await hosts.include("r1.example.com")

    asyncio.run(scene())


def test_a_stranger_does_not_have_the_resolver_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "r1")
    asked: list[str] = []

    def ask() -> str:
        asked.append("once")
        return "r1.example.net"

    async def scene() -> None:
        hosts = Hosts(ask=ask)
        for number in range(100):
            assert not await hosts.include(f"r2.example-{number}.com")
        assert asked == [], "what is not even like this machine's name"
        for number in range(100):
            assert not await hosts.include(f"r1.example-{number}.com")

    asyncio.run(scene())
    assert asked == ["once"]
