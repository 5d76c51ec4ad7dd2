"""HTTP for monitoring and people, read-only: /metrics, /healthz, the status page and the JSON that it shows."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from dcedge.api.detail import detail_json
from dcedge.api.http.chunks import paced
from dcedge.api.http.hosts import Hosts
from dcedge.api.http.page import CONTENT_SECURITY_POLICY, PAGE
from dcedge.api.http.server import HttpRequest, Limits, Response, Routes, Server, plain
from dcedge.api.http.shared import SharedAnswers
from dcedge.api.http.web_config import WebConfig
from dcedge.api.metrics.exposition import exposition, gzipped, negotiate
from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.api.negotiation import accepts_gzip
from dcedge.api.overview import Wanted, overview_json
from dcedge.errors import DcedgeError
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.last_hour import Hour
from dcedge.monitor.snapshot import Snapshot, unhealthy

_MOST_CLIENTS = 64
_PATIENCE = 10.0
_LONGEST = 30.0
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": "dcedge",
}


class Source(Protocol):
    """What HTTP shows."""

    def snapshot(self) -> Snapshot:
        """All there is to see now. Must be quick: it runs in the event loop."""

    def metrics(self) -> DaemonMetrics:
        """The daemon's own metrics."""

    def hour(self) -> Hour:
        """The last hour of every virtual interface."""

    def history(self, name: str) -> tuple[Transition, ...]:
        """The verdict's transitions of one virtual interface in the last day; none of an unknown one."""

    def urgent(self) -> bool:
        """Whether a pass is due or under way, which long answers must not slow down."""


class ListenError(DcedgeError):
    """HTTP cannot be had at an address; the text says at which and why. `taken`: somebody listens there."""

    def __init__(self, text: str, *, taken: bool = False) -> None:
        super().__init__(text)
        self.taken = taken


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a client is answered: TLS and passwords, and the names that it may call this router."""

    web: WebConfig | None = None
    hosts: Hosts = field(default_factory=Hosts)


class HttpServer:
    """Serves one source on one address; `longest_pass_age` is what /healthz tolerates, in seconds."""

    def __init__(self, source: Source, longest_pass_age: float = 120.0, terms: Terms | None = None) -> None:
        self._source = source
        self._longest_pass_age = longest_pass_age
        self._answers = SharedAnswers()
        self._routes = Routes(
            {
                r"GET /metrics": self._metrics,
                r"GET /healthz": self._healthz,
                r"GET /": self._status_page,
                r"GET /overview\.json": self._overview,
                r"GET /interfaces/([^/]+)\.json": self._interface,
            }
        )
        self._clients = self._clients_on(terms or Terms())
        self._leaving: set[asyncio.Task[None]] = set()  # clients on terms that are no more
        self._listening: asyncio.Server | None = None

    async def start(self, listen: str) -> tuple[str, int]:
        """Listen on `ADDRESS:PORT` (port 0: any free one); returns what was bound. Raises ListenError."""
        address, port = parse_listen(listen)
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(self._new_client, address, port, reuse_address=True)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise ListenError(f"cannot listen on {listen}: {error.strerror or error}", taken=taken) from error
        return self.bound

    @property
    def bound(self) -> tuple[str, int]:
        """Where it listens; only after `start`."""
        assert self._listening is not None
        bound: tuple[str, int] = self._listening.sockets[0].getsockname()[:2]
        return bound

    def renew(self, terms: Terms) -> None:
        """Answer on other terms from now on; on the old ones the answers under way are the last."""
        task = asyncio.get_running_loop().create_task(self._clients.close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        self._clients = self._clients_on(terms)

    def stop_listening(self) -> None:
        """Let nobody else in; the address is free."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def close(self) -> None:
        """Stop listening and end what is being served."""
        self.stop_listening()
        await asyncio.gather(self._clients.close(), *self._leaving)

    def _clients_on(self, terms: Terms) -> Server:
        context = terms.web.context if terms.web is not None else None
        return Server(partial(self._answer, terms), Limits(_MOST_CLIENTS, _PATIENCE, _LONGEST), context)

    def _new_client(self) -> asyncio.Protocol:
        return self._clients.new_client()

    async def _answer(self, terms: Terms, request: HttpRequest) -> Response:
        answer = await self._refusal(terms, request) or await self._routes.answer(request)
        configured = terms.web.headers if terms.web is not None else {}
        return replace(answer, headers={**_HEADERS, **answer.headers, **configured})

    async def _refusal(self, terms: Terms, request: HttpRequest) -> Response | None:
        host, web = request.headers.get("host"), terms.web
        if host is not None and not await terms.hosts.include(host):  # HTTP/1.0 has none, and no browser speaks that
            return plain(
                421, f"{_shown(host)} is not a name of this router: add it to agent.hosts in the order\n", close=True
            )
        if web and web.wants_password and not await web.admits(request.headers.get("authorization", "")):
            return plain(401, "authentication required\n", {"WWW-Authenticate": 'Basic realm="dcedge"'}, close=True)
        if request.method not in {"GET", "HEAD"}:
            return plain(405, "read-only\n", {"Allow": "GET, HEAD"}, close=True)
        if request.has_body:
            return plain(413, "a request body is not allowed\n", close=True)
        return None

    async def _metrics(self, request: HttpRequest) -> Response:
        wanted = negotiate(request.headers.get("accept", ""))
        headers = {"Content-Type": wanted.content_type}
        pieces = exposition(self._source.snapshot(), self._source.metrics(), wanted)
        if accepts_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"] = "gzip"
            pieces = gzipped(pieces)
        return Response(body=paced(pieces, self._source.urgent), headers=headers)

    async def _healthz(self, _: HttpRequest) -> Response:
        snapshot = self._source.snapshot()
        reason = unhealthy(snapshot.passes, snapshot.taken, self._longest_pass_age)
        return plain(503 if reason else 200, f"{reason or 'ok'}\n")

    async def _status_page(self, _: HttpRequest) -> Response:
        return Response(body=PAGE, headers={"Content-Type": "text/html; charset=utf-8"})

    async def _overview(self, request: HttpRequest) -> Response:
        wanted = Wanted.from_query(request.query)

        def make() -> bytes:
            return _dump(overview_json(self._source.snapshot(), self._source.hour(), wanted))

        return await _json(request, await self._answers.get(wanted, make))

    async def _interface(self, request: HttpRequest, name: str) -> Response:
        detail = detail_json(self._source.snapshot(), name, self._source.hour(), self._source.history(name))
        if detail is None:
            return plain(404, "no such virtual interface\n")
        return await _json(request, _dump(detail))


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


async def _json(request: HttpRequest, body: bytes) -> Response:
    """JSON, packed for who accepts that: a phone looks every two seconds."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if accepts_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        body = await asyncio.to_thread(zlib.compress, body, wbits=zlib.MAX_WBITS | 16)  # 16: with gzip's frame
    return Response(body=body, headers=headers)


class HttpEndpoint:
    """HTTP where the order has it: at one address, on one set of terms, until it has others.

    It is kept up beside everything else: what cannot be had now raises an error that says why, leaves what is being
    served as it was, and may be asked for again later.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._listen = ""  # as it was asked for
        self._server: HttpServer | None = None
        self._one = asyncio.Lock()  # change at a time
        self._leaving: set[asyncio.Task[None]] = set()  # servers of addresses that were left

    async def serve_at(self, listen: str, web_config: Path | None = None, hosts: Iterable[str] = ()) -> tuple[str, int]:
        """Serve at `ADDRESS:PORT`, as the web-config file says now, to clients that use one of the names.

        Returns what is bound. The file and its certificates are read each time. Raises ListenError where the address
        cannot be had, WebConfigError where the file or what it names cannot be used.
        """
        web = await asyncio.to_thread(WebConfig, web_config) if web_config is not None else None
        terms = Terms(web, Hosts(hosts))
        async with self._one:
            if self._server is not None and listen == self._listen:
                self._server.renew(terms)
                return self._server.bound
            bound = await self._move(listen, HttpServer(self._source, terms=terms))
            self._listen = listen
            return bound

    async def _move(self, listen: str, fresh: HttpServer) -> tuple[str, int]:
        before = self._server
        try:
            bound = await fresh.start(listen)
        except ListenError as error:
            if before is None or not error.taken or before.bound[1] != parse_listen(listen)[1]:
                raise
            # The address so far may be in the way of the new one, as 127.0.0.1:9478 is of :9478.
            before.stop_listening()
            try:
                bound = await fresh.start(listen)
            except ListenError:
                self._server = None
                await before.start(self._listen)
                self._server = before
                raise
        self._server = fresh
        if before is not None:
            before.stop_listening()
            task = asyncio.get_running_loop().create_task(before.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        return bound

    async def close(self) -> None:
        """Stop listening and end what is being served."""
        servers = [self._server.close()] if self._server is not None else []
        self._server = None
        await asyncio.gather(*servers, *self._leaving)


def _shown(host: str) -> str:
    return ascii(host[:100])


def parse_listen(text: str) -> tuple[str, int]:
    """Address and port of `127.0.0.1:9478`, `[::1]:9478` or `:9478` (every address). Raises ListenError."""
    address, colon, port = text.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ListenError(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:9478 or [::1]:9478")
    if address:
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, address)
            except OSError:
                continue
            break
        else:
            raise ListenError(f"{text!r} needs an IP address, such as 127.0.0.1 or [::1]")
    return address, int(port)
