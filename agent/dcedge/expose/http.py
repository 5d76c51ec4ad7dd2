"""HTTP for monitoring and people, read-only: /metrics, /healthz, the status page and the JSON that it shows."""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from dcedge.errors import DcedgeError
from dcedge.expose.chunks import paced
from dcedge.expose.detail import detail_json
from dcedge.expose.hour import Hour
from dcedge.expose.metrics import OPENMETRICS_TYPE, TEXT_TYPE, render_chunks
from dcedge.expose.overview import Wanted, overview_json
from dcedge.expose.page import CONTENT_SECURITY_POLICY, PAGE
from dcedge.expose.server import Limits, Request, Response, Routes, Server, plain
from dcedge.expose.shared import SharedAnswers
from dcedge.expose.snapshot import Snapshot, unhealthy
from dcedge.health.tracker import Transition

if TYPE_CHECKING:
    from dcedge.expose.web_config import WebConfig

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

    def hour(self) -> Hour:
        """The last hour of every virtual interface."""

    def history(self, name: str) -> tuple[Transition, ...]:
        """The verdict's transitions of one virtual interface in the last day; none of an unknown one."""

    def urgent(self) -> bool:
        """Whether a pass is due or under way, which long answers must not slow down."""


class HttpServer:
    """Serves one source on one address; `longest_pass_age` is what /healthz tolerates, in seconds."""

    def __init__(self, source: Source, longest_pass_age: float = 120.0, config: WebConfig | None = None) -> None:
        self._source = source
        self._web = config
        self._longest_pass_age = longest_pass_age
        self._answers = SharedAnswers()
        context = config.context if config is not None else None
        self._clients = Server(self._answer, Limits(_MOST_CLIENTS, _PATIENCE, _LONGEST), context)
        self._routes = Routes(
            {
                r"GET /metrics": self._metrics,
                r"GET /healthz": self._healthz,
                r"GET /": self._status_page,
                r"GET /overview\.json": self._overview,
                r"GET /interfaces/([^/]+)\.json": self._interface,
            }
        )
        self._listening: asyncio.Server | None = None

    async def start(self, listen: str) -> tuple[str, int]:
        """Listen on `ADDRESS:PORT` (port 0: any free one); returns what was bound. Raises DcedgeError."""
        address, port = parse_listen(listen)
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(self._clients.new_client, address, port, reuse_address=True)
        except OSError as error:
            raise DcedgeError(f"cannot listen on {listen}: {error.strerror or error}") from error
        bound: tuple[str, int] = self._listening.sockets[0].getsockname()[:2]
        return bound

    async def close(self) -> None:
        """Stop listening and end what is being served."""
        if self._listening is not None:
            self._listening.close()
        await self._clients.close()

    async def _answer(self, request: Request) -> Response:
        answer = await self._refusal(request) or await self._routes.answer(request)
        configured = self._web.headers if self._web is not None else {}
        return replace(answer, headers={**_HEADERS, **answer.headers, **configured})

    async def _refusal(self, request: Request) -> Response | None:
        config = self._web
        if config and config.wants_password and not await config.admits(request.headers.get("authorization", "")):
            return plain(401, "who are you?\n", {"WWW-Authenticate": 'Basic realm="dcedge"'}, close=True)
        if request.method not in {"GET", "HEAD"}:
            return plain(405, "read-only\n", {"Allow": "GET, HEAD"}, close=True)
        if request.has_body:
            return plain(413, "no request here has a body\n", close=True)
        return None

    async def _metrics(self, request: Request) -> Response:
        openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        chunks = render_chunks(self._source.snapshot(), openmetrics)
        kind = OPENMETRICS_TYPE if openmetrics else TEXT_TYPE
        return Response(body=paced(chunks, self._source.urgent), headers={"Content-Type": kind})

    async def _healthz(self, _: Request) -> Response:
        snapshot = self._source.snapshot()
        reason = unhealthy(snapshot.passes, snapshot.taken, self._longest_pass_age)
        return plain(503 if reason else 200, f"{reason or 'ok'}\n")

    async def _status_page(self, _: Request) -> Response:
        return Response(body=PAGE, headers={"Content-Type": "text/html; charset=utf-8"})

    async def _overview(self, request: Request) -> Response:
        wanted = Wanted.from_query(request.query)

        def make() -> bytes:
            return _dump(overview_json(self._source.snapshot(), self._source.hour(), wanted))

        return await _json(request, await self._answers.get(wanted, make))

    async def _interface(self, request: Request, name: str) -> Response:
        detail = detail_json(self._source.snapshot(), name, self._source.hour(), self._source.history(name))
        if detail is None:
            return plain(404, "no such virtual interface\n")
        return await _json(request, _dump(detail))


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


async def _json(request: Request, body: bytes) -> Response:
    """JSON, packed for who accepts that: a phone looks every two seconds."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if _weights(request.headers.get("accept-encoding", "")).get("gzip", 0.0) > 0:
        headers["Content-Encoding"] = "gzip"
        body = await asyncio.to_thread(zlib.compress, body, wbits=zlib.MAX_WBITS | 16)  # 16: with gzip's frame
    return Response(body=body, headers=headers)


@asynccontextmanager
async def start_http(listen: str, source: Source, config: WebConfig | None = None) -> AsyncIterator[tuple[str, int]]:
    """HTTP on `ADDRESS:PORT` for as long as the context lasts; gives what was bound. Raises DcedgeError."""
    server = HttpServer(source, config=config)
    bound = await server.start(listen)
    try:
        yield bound
    finally:
        await server.close()


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header prefers OpenMetrics to the text format."""
    weights = _weights(accept)
    return weights.get("application/openmetrics-text", 0.0) > weights.get("text/plain", 0.0)


def _weights(accepted: str) -> Mapping[str, float]:
    """What an Accept or Accept-Encoding header names, and how much it is wanted (RFC 9110, 12.4.2)."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        what, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        weights[what] = max(weights.get(what, 0.0), weight)
    return weights


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
