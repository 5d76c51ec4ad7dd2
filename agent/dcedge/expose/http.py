"""HTTP for monitoring and people, read-only: /metrics, /healthz, the status page and the JSON that it shows."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import web

from dcedge.errors import DcedgeError
from dcedge.expose.chunks import send_chunks
from dcedge.expose.detail import detail_json
from dcedge.expose.guard import LOG, ConnectionGuard, Handler
from dcedge.expose.hour import Hour
from dcedge.expose.metrics import OPENMETRICS_TYPE, TEXT_TYPE, render_chunks
from dcedge.expose.overview import Wanted, overview_json
from dcedge.expose.page import CONTENT_SECURITY_POLICY, PAGE
from dcedge.expose.shared import SharedAnswers
from dcedge.expose.snapshot import Snapshot, unhealthy
from dcedge.health.tracker import Transition

_MOST_CLIENTS = 64
_PATIENCE = 10.0
_LONGEST = 30.0
_MAX_HEAD_LINE = 4096
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

    def hour(self) -> Hour:
        """The last hour of every virtual interface."""

    def history(self, name: str) -> tuple[Transition, ...]:
        """The verdict's transitions of one virtual interface in the last day; none of an unknown one."""

    def urgent(self) -> bool:
        """Whether a pass is due or under way, which long answers must not slow down."""


class HttpServer:
    """Serves one source on one address; `longest_pass_age` is what /healthz tolerates, in seconds."""

    def __init__(self, source: Source, longest_pass_age: float = 120.0) -> None:
        self._source = source
        self._longest_pass_age = longest_pass_age
        self._guard = ConnectionGuard(_MOST_CLIENTS, _PATIENCE, _LONGEST)
        self._answers = SharedAnswers()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def start(self, listen: str) -> tuple[str, int]:
        """Listen on `ADDRESS:PORT` (port 0: any free one); returns what was bound. Raises DcedgeError."""
        address, port = parse_listen(listen)
        # The guard is outermost: it times what every other middleware and handler takes.
        application = web.Application(middlewares=[self._guard.middleware(), _read_only], client_max_size=1)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/", self._status_page)
        application.router.add_get("/overview.json", self._overview)
        application.router.add_get("/interfaces/{name}.json", self._interface)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=LOG,
            handle_signals=False,
            max_line_size=_MAX_HEAD_LINE,
            max_field_size=_MAX_HEAD_LINE,
            keepalive_timeout=_PATIENCE,
            lingering_time=0.0,
        )
        await self._runner.setup()
        make = self._runner.server
        if make is None:
            raise DcedgeError("the HTTP server could not be set up")
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._guard.wrap(make), address, port, reuse_address=True
            )
        except OSError as error:
            await self._runner.cleanup()
            raise DcedgeError(f"cannot listen on {listen}: {error.strerror or error}") from error
        bound: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return bound

    async def close(self) -> None:
        """Stop listening and end what is being served."""
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
        response = web.StreamResponse(
            headers={**_HEADERS, "Content-Type": OPENMETRICS_TYPE if openmetrics else TEXT_TYPE}
        )
        chunks = render_chunks(self._source.snapshot(), openmetrics)
        return await send_chunks(response, request, chunks, self._source.urgent)

    async def _healthz(self, _: web.Request) -> web.Response:
        reason = unhealthy(self._source.snapshot().passes, time.time(), self._longest_pass_age)
        return web.Response(text=f"{reason or 'ok'}\n", status=503 if reason else 200, headers=_HEADERS)

    async def _status_page(self, _: web.Request) -> web.Response:
        return web.Response(body=PAGE, content_type="text/html", charset="utf-8", headers=_HEADERS)

    async def _overview(self, request: web.Request) -> web.Response:
        wanted = Wanted.from_query(request.query)

        def make() -> bytes:
            return _dump(overview_json(self._source.snapshot(), self._source.hour(), wanted))

        return _json(await self._answers.get(wanted, make))

    async def _interface(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        detail = detail_json(self._source.snapshot(), name, self._source.hour(), self._source.history(name))
        if detail is None:
            raise web.HTTPNotFound(text="no such virtual interface\n", headers=_HEADERS)
        return _json(_dump(detail))


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _json(body: bytes) -> web.Response:
    response = web.Response(body=body, content_type="application/json", charset="utf-8", headers=_HEADERS)
    response.enable_compression()  # for who accepts it: a phone looks every two seconds
    return response


@asynccontextmanager
async def start_http(listen: str, source: Source) -> AsyncIterator[tuple[str, int]]:
    """HTTP on `ADDRESS:PORT` for as long as the context lasts; gives what was bound. Raises DcedgeError."""
    server = HttpServer(source)
    bound = await server.start(listen)
    try:
        yield bound
    finally:
        await server.close()


@web.middleware
async def _read_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method not in {"GET", "HEAD"}:
        response = web.Response(status=405, text="read-only\n", headers={**_HEADERS, "Allow": "GET, HEAD"})
        response.force_close()
        return response
    if request.can_read_body:
        response = web.Response(status=413, text="no request here has a body\n", headers=_HEADERS)
        response.force_close()
        return response
    return await handler(request)


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header prefers OpenMetrics to the text format (RFC 9110, 12.5.1)."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if kind in weights:
            weights[kind] = max(weights[kind], weight)
    return weights["application/openmetrics-text"] > weights["text/plain"]


def parse_listen(text: str) -> tuple[str, int]:
    """Address and port of `127.0.0.1:9478`, `[::1]:9478` or `:9478` (every address). Raises DcedgeError."""
    address, colon, port = text.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise DcedgeError(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:9478 or [::1]:9478")
    if address:
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, address)
            except OSError:
                continue
            break
        else:
            raise DcedgeError(f"{text!r} needs an IP address, such as 127.0.0.1 or [::1]")
    return address, int(port)
