"""The HTTP server itself: what is said on one connection, and how it ends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from dcedge.api.http.server import Handler, HttpRequest, Limits, Response, Routes, Server, TooLargeError, plain
from tests.lab.wait import PATIENCE_SECONDS

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Client]]
LIMITS = Limits(clients=5, patience=PATIENCE_SECONDS, longest=PATIENCE_SECONDS)
HOST = "Host: x\r\n"


async def echo(request: HttpRequest) -> Response:
    """Says what was asked."""
    return plain(
        200, f"{request.method} {request.path} {sorted(request.query.items())} {(await request.read(10)).decode()}"
    )


async def pieces() -> AsyncGenerator[bytes, None]:
    yield b"one "
    yield b"two"


async def piecemeal(_: HttpRequest) -> Response:
    return Response(body=pieces())


def serve(
    scene: Callable[[Connect, Server], Awaitable[None]], handler: Handler = echo, limits: Limits = LIMITS
) -> None:
    """Run a scene that is given a way to connect, and the server."""

    async def run() -> None:
        server = Server(handler, limits)
        listening = await asyncio.get_running_loop().create_server(server.new_client, "127.0.0.1", 0)

        async def connect() -> Client:
            return await asyncio.open_connection(*listening.sockets[0].getsockname())

        try:
            await scene(connect, server)
        finally:
            listening.close()
            await server.close()

    asyncio.run(run())


async def said(client: Client) -> str:
    """All that the server says until it closes the connection."""
    try:
        return (await asyncio.wait_for(client[0].read(), PATIENCE_SECONDS)).decode()
    finally:
        client[1].close()


def told(request: str, handler: Handler = echo) -> str:
    """All that the server says to something, while the client still would say more."""
    answers = []

    async def scene(connect: Connect, _: Server) -> None:
        client = await connect()
        client[1].write(request.encode())
        answers.append(await said(client))

    serve(scene, handler)
    return answers[0]


def test_requests_on_one_connection_are_answered_one_after_the_other() -> None:
    text = told(
        f"GET /a?b=1&b=2&c= HTTP/1.1\r\n{HOST}\r\n"
        f"POST /b HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\nhi"
        f"POST /c HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\n\r\n"
        f"GET http://elsewhere/d?e HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
        f"GET /never HTTP/1.1\r\n{HOST}\r\n"
    )
    assert re.findall(r"(?:GET|POST) .*?(?=HTTP|$)", text) == [
        "GET /a [('b', '1'), ('c', '')] ", "POST /b [] hi", "POST /c [] ho", "GET /d [('e', '')] ",
    ]  # fmt: skip


def test_a_body_is_sent_as_it_is_made_in_a_form_that_the_client_knows() -> None:
    new = told(f"GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n", piecemeal)
    assert new.partition("\r\n\r\n")[2] == "4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"
    old = told("GET / HTTP/1.0\r\n\r\n", piecemeal)
    assert old.partition("\r\n\r\n")[2] == "one two"


@pytest.mark.parametrize("handler", [echo, piecemeal])
def test_the_head_alone_is_what_it_would_be_with_the_body(handler: Handler) -> None:
    both = [told(f"{method} /a HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n", handler) for method in ("HEAD", "GET")]
    head, whole = (re.sub(r"date:.*?\r\n|content-length:.*?\r\n", "", text, flags=re.IGNORECASE) for text in both)
    assert head.endswith("\r\n\r\n")
    assert whole.startswith(head)


def test_who_asks_whether_to_send_a_body_is_told_when_somebody_wants_it() -> None:
    async def refuse(_: HttpRequest) -> Response:
        return plain(403, "no")

    async def scene(connect: Connect, _: Server) -> None:
        client = await connect()
        client[1].write(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode())
        assert (await asyncio.wait_for(client[0].readline(), PATIENCE_SECONDS)).startswith(b"HTTP/1.1 100")
        client[1].write(b"hi")
        client[1].write_eof()
        assert (await said(client)).endswith("POST / [] hi")

    serve(scene)
    unwanted = told(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", refuse)
    assert unwanted.startswith("HTTP/1.1 403")


def test_a_body_that_nobody_read_is_taken_for_no_request(caplog: pytest.LogCaptureFixture) -> None:
    async def ignore(_: HttpRequest) -> Response:
        return plain(200, "ignored")

    smuggled = f"GET /smuggled HTTP/1.1\r\n{HOST}\r\n"
    text = told(f"POST / HTTP/1.1\r\n{HOST}Content-Length: {len(smuggled)}\r\n\r\n{smuggled}", ignore)
    assert text.count("HTTP/1.1 200") == 1
    assert caplog.text == ""


def test_a_body_larger_than_the_handler_takes_is_read_no_further() -> None:
    async def small(request: HttpRequest) -> Response:
        try:
            await request.read(10)
        except TooLargeError:
            return plain(413, "too large", close=True)
        return plain(200, "small")

    assert told(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 10\r\nConnection: close\r\n\r\n{'x' * 10}", small).endswith(
        "small"
    )
    assert told(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 11\r\n\r\n{'x' * 11}", small).endswith("too large")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        ("GET / HTTP/2.0\r\n\r\n", 400),
        (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip\r\n\r\n", 501),
        (f"GET / HTTP/1.1\r\n{HOST}X: {'x' * 20_000}\r\n\r\n", 431),
        (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nwhat\r\n", 400),
    ],
)
def test_what_is_wrong_with_a_request_is_said_and_nothing_more(request_text: str, status: int) -> None:
    text = told(request_text)
    assert text.startswith(f"HTTP/1.1 {status} ")
    assert "connection: close" in text.lower()


def test_who_has_no_more_to_say_is_answered() -> None:
    async def scene(connect: Connect, _: Server) -> None:
        client = await connect()
        client[1].write(f"GET /a HTTP/1.1\r\n{HOST}\r\n".encode())
        client[1].write_eof()
        assert "GET /a" in await said(client)

    serve(scene)


def test_a_handler_that_fails_is_the_logs_business(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: HttpRequest) -> Response:
        raise RuntimeError("out of ideas")

    assert told(f"GET /a HTTP/1.1\r\n{HOST}\r\n", fail).startswith("HTTP/1.1 500 ")
    assert "out of ideas" in caplog.text


def test_an_answer_that_cannot_be_finished_does_not_look_finished(caplog: pytest.LogCaptureFixture) -> None:
    async def breaking() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise RuntimeError("out of pieces")

    async def fail(_: HttpRequest) -> Response:
        return Response(body=breaking())

    try:
        text = told(f"GET / HTTP/1.1\r\n{HOST}\r\n", fail)
    except ConnectionError:
        text = ""
    assert "0\r\n\r\n" not in text
    assert "out of pieces" in caplog.text


def test_the_time_that_an_answer_takes_is_not_the_clients() -> None:
    async def slow(_: HttpRequest) -> Response:
        await asyncio.sleep(2.0)
        return plain(200, "at last")

    async def scene(connect: Connect, _: Server) -> None:
        client = await connect()
        client[1].write(f"GET / HTTP/1.1\r\n{HOST}\r\n".encode())
        assert (await said(client)).endswith("at last"), "the connection ends when the next request does not come"

    serve(scene, slow, Limits(clients=5, patience=1.0, longest=PATIENCE_SECONDS))


def test_what_was_begun_is_finished_though_the_client_be_gone() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(_: HttpRequest) -> Response:
        begun.set()
        await go_on.wait()
        done.set()
        return plain(200, "done")

    async def scene(connect: Connect, _: Server) -> None:
        writer = (await connect())[1]
        writer.write(f"POST / HTTP/1.1\r\n{HOST}\r\n".encode())
        await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
        writer.transport.abort()
        await writer.wait_closed()
        go_on.set()
        await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)

    serve(scene, work)


def test_closing_waits_for_the_answer_under_way_and_for_nobody_else() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(_: HttpRequest) -> Response:
        begun.set()
        await go_on.wait()
        return plain(200, "done")

    async def scene(connect: Connect, server: Server) -> None:
        idle, busy = await connect(), await connect()
        busy[1].write(f"GET / HTTP/1.1\r\n{HOST}\r\n".encode())
        await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
        closing = asyncio.ensure_future(server.close())
        assert await said(idle) == ""
        assert not closing.done()
        go_on.set()
        text = await said(busy)
        assert text.endswith("done")
        assert "connection: close" in text.lower()
        await asyncio.wait_for(closing, PATIENCE_SECONDS)

    serve(scene, work)


def test_a_path_leads_to_its_handler_decoded() -> None:
    async def named(_: HttpRequest, name: str) -> Response:
        return plain(200, f"it is {name}")

    routes = Routes({r"GET /of/([^/]+)\.json": named, "POST /of": named})

    def status(request: str) -> str:
        return told(f"{request} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n", routes.answer)

    assert status("GET /of/a%2Fb%20c.json").endswith("it is a/b c")
    assert status("HEAD /of/a.json").startswith("HTTP/1.1 200")
    assert status("GET /of/a/b.json").startswith("HTTP/1.1 404")
    assert status("GET /of/a.jsonx").startswith("HTTP/1.1 404")
    wrong = status("GET /of")
    assert wrong.startswith("HTTP/1.1 405")
    assert "Allow: POST" in wrong
