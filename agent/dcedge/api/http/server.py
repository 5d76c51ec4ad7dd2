"""A small HTTP/1.1 server: asyncio moves the bytes, h11 makes sense of them, a handler answers.

No client can sit on it. Whoever sends a request byte by byte, or never reads the answer, is cut off, and more than
`Limits.clients` at once are turned away; otherwise anyone who may connect could use up the daemon's file descriptors.
Where it can be told who connects, no user has all of the places, and some are root's.
A handler goes on to its end though its client be gone: what it does may be half done.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from asyncio.trsock import TransportSocket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

import h11

log = logging.getLogger(__name__)

_READ_BYTES = 4096
_HEAD_BYTES = 8192  # of a request, give or take what is read at once
_ROOT = 0
_GOODBYE_SECONDS = 60.0  # for answers under way when the server is closed


@dataclass(frozen=True, slots=True)
class Limits:
    """How many clients at once; seconds that one has for a request's head and to read an answer; that an answer has.

    Where users are told apart: how many of the clients may be one user's, and how many places nobody but root gets.
    """

    clients: int
    patience: float
    longest: float
    of_one_user: int | None = None
    for_root: int = 0


class TooLargeError(Exception):
    """A request's body is larger than the handler takes."""


class GoneError(Exception):
    """The client is gone, or was cut off, which is none of the log's business."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a client asks: the path as it was sent (percent-encoded), of what is there twice the first, the names of
    headers in lower case. `read` gives the body, of so many bytes at most, or raises TooLargeError. `user`: the ID of
    whoever connected, where the server tells users apart."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    user: int | None
    read: Callable[[int], Awaitable[bytes]]

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return "transfer-encoding" in self.headers or int(self.headers.get("content-length", "0")) > 0


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; a body that is made piece by piece is sent so. After it the connection may have to `close`, because
    something follows that nobody will read."""

    status: int = 200
    body: bytes | AsyncGenerator[bytes, None] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False


def plain(status: int, text: str, headers: Mapping[str, str] | None = None, *, close: bool = False) -> Response:
    """An answer in words."""
    return Response(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}, close)


Handler = Callable[[HttpRequest], Awaitable[Response]]
UserOf = Callable[[TransportSocket], int]


class Routes:
    """Handlers by method and path: regular expressions, whose groups a handler is given, decoded. Who GETs may HEAD."""

    def __init__(self, handlers: Mapping[str, Callable[..., Awaitable[Response]]]) -> None:
        self._handlers = handlers

    async def answer(self, request: HttpRequest) -> Response:
        """What the handler says that fits."""
        wanted = "GET" if request.method == "HEAD" else request.method
        allowed = set()
        for route, handler in self._handlers.items():
            method, pattern = route.split()
            if found := re.fullmatch(pattern, request.path):
                if method == wanted:
                    return await handler(request, *map(unquote, found.groups()))
                allowed.add(method)
        if allowed:
            return plain(405, "405: Method Not Allowed", {"Allow": ", ".join(sorted(allowed))})
        return plain(404, "404: Not Found")


class Server:
    """The clients of one handler. `new_client` is what asyncio's create_server and create_unix_server want.

    `user_of` tells users apart, by the socket of one that has just connected.
    """

    def __init__(
        self, handler: Handler, limits: Limits, context: ssl.SSLContext | None = None, user_of: UserOf | None = None
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.context = context
        self.user_of = user_of
        self.closing = False
        self._clients: set[_ClientConnection] = set()
        self._talks: set[asyncio.Task[None]] = set()  # with those that go on though their client be gone

    def new_client(self) -> asyncio.Protocol:
        """One that is about to connect."""
        return _ClientConnection(self)

    def arrived(self, wire: _ClientConnection) -> None:
        """Talk to a new client, or turn it away."""
        wire.user = self.user_of(wire.transport.get_extra_info("socket")) if self.user_of is not None else None
        if self.closing or not self._has_place(wire.user):
            wire.cut_off()
            return
        self._clients.add(wire)  # it counts before it has said or proved anything
        talk = asyncio.get_running_loop().create_task(_Talk(self, wire).run())
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    def _has_place(self, user: int | None) -> bool:
        limits = self.limits
        if len(self._clients) >= limits.clients:
            return False
        if user in {None, _ROOT}:
            return True
        others = [wire.user for wire in self._clients if wire.user != _ROOT]
        most = limits.of_one_user if limits.of_one_user is not None else limits.clients
        return len(others) < limits.clients - limits.for_root and others.count(user) < most

    def gone(self, wire: _ClientConnection) -> None:
        """There is room for another."""
        self._clients.discard(wire)

    async def close(self) -> None:
        """End what is being served: who waits for nothing at once, the others when they have their answers."""
        self.closing = True
        for wire in self._clients:
            if not wire.busy:
                wire.cut_off()
        if self._talks:
            _, late = await asyncio.wait(self._talks, timeout=_GOODBYE_SECONDS)
            for talk in late:
                talk.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class _Talk:
    """One client's requests and their answers, one after the other."""

    def __init__(self, server: Server, wire: _ClientConnection) -> None:
        self._server = server
        self._wire = wire
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)

    async def run(self) -> None:
        """All that is said."""
        context, patience = self._server.context, self._server.limits.patience
        try:
            if context is None or await self._wire.shake_hands(context, patience):
                self._wire.give(patience)
                await self._converse()
        except GoneError:
            pass
        finally:
            self._wire.transport.close()  # when it has read the rest, or its time is up

    async def _converse(self) -> None:
        """Answer until either end has enough."""
        try:
            while isinstance(head := await self._next(), h11.Request):
                await self._exchange(head)
                if self._server.closing or not self._ready_for_another():
                    return
                await asyncio.sleep(0)  # many may have come at once: everything else has its turn between them
        except h11.RemoteProtocolError as error:
            if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                await self._send(plain(error.error_status_hint, f"{error}\n", close=True))

    async def _exchange(self, head: h11.Request) -> None:
        self._wire.busy = True
        self._wire.give(self._server.limits.longest)
        response = await self._answer(head)
        try:
            await self._send(response, bodiless=head.method == b"HEAD")
        except GoneError:
            raise
        except Exception:  # while the body was being made: the client sees that its end is missing
            log.exception("the response to %s was aborted", _target(head))
        self._wire.busy = False

    async def _answer(self, head: h11.Request) -> Response:
        if head.http_version not in {b"1.0", b"1.1"}:
            return plain(400, "only HTTP/1.1 is supported\n", close=True)
        path, _, query = _target(head).partition("?")
        request = HttpRequest(
            head.method.decode(),
            path,
            dict(reversed(parse_qsl(query, keep_blank_values=True))),
            {name.decode(): value.decode("latin-1") for name, value in reversed(list(head.headers))},
            self._wire.user,
            self._read,
        )
        try:
            return await self._server.handler(request)
        except (GoneError, h11.RemoteProtocolError):
            raise  # of the client's making
        except Exception:
            log.exception("%s %s", request.method, request.path)
            return plain(500, "500 Internal Server Error\n", close=True)

    async def _read(self, most: int) -> bytes:
        body = bytearray()
        if self._http.they_are_waiting_for_100_continue:
            await self._wire.write(self._say(h11.InformationalResponse(status_code=100, headers=[])))
        while isinstance(event := await self._next(), h11.Data):
            body += event.data
            if len(body) > most:
                raise TooLargeError
        return bytes(body)

    async def _next(self) -> h11.Event:
        """What the client says next."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._wire.read(_READ_BYTES))
        assert not isinstance(event, type), "an answer is due first"
        return event

    async def _send(self, response: Response, *, bodiless: bool = False) -> None:
        # As email.utils.formatdate has it, which is not loaded for this alone. The daemon sets no locale.
        headers = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()), **response.headers}
        if isinstance(response.body, bytes):
            headers["Content-Length"] = str(len(response.body))
        if response.close or self._server.closing:
            headers["Connection"] = "close"
        said = self._say(
            h11.Response(
                status_code=response.status,
                headers=[(name.encode(), value.encode()) for name, value in headers.items()],
                reason=HTTPStatus(response.status).phrase,
            )
        )
        if isinstance(response.body, bytes):
            self._wire.give(self._server.limits.patience)
            body = b"" if bodiless else self._say(h11.Data(response.body))
            await self._wire.write(said + body + self._say(h11.EndOfMessage()))
            return
        await self._wire.write(said)
        if not bodiless:
            async with aclosing(response.body) as pieces:
                async for piece in pieces:
                    await self._wire.write(self._say(h11.Data(piece)))
        self._wire.give(self._server.limits.patience)
        await self._wire.write(self._say(h11.EndOfMessage()))

    def _say(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""

    def _ready_for_another(self) -> bool:
        if self._http.our_state is not h11.DONE:
            return False
        if self._http.their_state is h11.SEND_BODY:
            self._http.next_event()  # the end of a request, unless it has a body that no handler has read
        if self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True


def _target(head: h11.Request) -> str:
    """Path and query of a request's target, which may be a whole URL (RFC 9112, 3.2.2)."""
    target = head.target.decode("latin-1")
    return target if target.startswith("/") else "/" + target.partition("://")[2].partition("/")[2]


class _ClientConnection(asyncio.Protocol):
    """The bytes from and to one client, no faster than either end takes them, and the time that it has left."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.busy = False  # whether it waits for an answer
        self.user: int | None = None  # the ID of whoever connected, where users are told apart
        self._server = server
        self._received = bytearray()
        self._heard = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False  # it says no more
        self._lost = False
        self._shaking_hands = False
        self._deadline: asyncio.TimerHandle | None = None

    def give(self, seconds: float) -> None:
        """So much time it has from now."""
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._lost:
            self._deadline = asyncio.get_running_loop().call_later(seconds, self.cut_off)

    def cut_off(self) -> None:
        """No more of it."""
        self.transport.abort()

    async def read(self, most: int) -> bytes:
        """What it says, so many bytes at most; nothing where it says no more. Raises GoneError."""
        if not self._received and not self._ended:
            self._heard.clear()
            self.transport.resume_reading()
            await self._heard.wait()
        if self._lost:
            raise GoneError
        data = bytes(self._received[:most])
        del self._received[:most]
        return data

    async def write(self, data: bytes) -> None:
        """Tell it something, and wait until most of it has left. Raises GoneError."""
        if not self.transport.is_closing():
            self.transport.write(data)
            await self._room.wait()
        if self._lost or self.transport.is_closing():
            raise GoneError

    async def shake_hands(self, context: ssl.SSLContext, patience: float) -> bool:
        """TLS from here on; whether the client does its part, in so many seconds."""
        insecure = self.transport
        self._shaking_hands = True
        try:
            secured = await asyncio.get_running_loop().start_tls(
                insecure, self, context, server_side=True, ssl_handshake_timeout=patience
            )
        except OSError as error:  # SSLError, ConnectionError and TimeoutError are such
            # Its frames hold the TLS buffers, 256 KiB, and those of asyncio hold it: a cycle, which the collector would
            # find late.
            error.__traceback__ = None
            secured = None
        if secured is None or self._lost:
            insecure.abort()
            self.connection_lost(None)  # during a handshake asyncio does not say
            return False
        self.transport, self._shaking_hands = secured, False
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()  # until somebody wants to know
        self._server.arrived(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._shaking_hands:  # else it came along with the handshake's end
            self.transport.pause_reading()
        self._heard.set()

    def eof_received(self) -> None:
        # Nothing is read while an answer is due, so a request is incomplete, or there is none.
        self._ended = True
        self._heard.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = self._ended = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._heard.set()
        self._room.set()
        self._server.gone(self)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()
