"""Limits on the clients of an aiohttp server that aiohttp itself lacks: how many, and for how long in silence.

A client that sends its request a byte a minute, or never reads the answer, is cut off; more than `most` at once
are turned away. Otherwise anyone who may connect could use up the daemon's file descriptors.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


LOG = logging.getLogger(__name__)


def _is_ours(record: logging.LogRecord) -> bool:
    """aiohttp logs a client's malformed request as an error, traceback, bytes and all; that is no fault of ours."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError | ConnectionError)


LOG.addFilter(_is_ours)


class ConnectionGuard:
    """Makes the protocols of one server, and ends those of its clients that overstay.

    `patience`: seconds a client has to finish a request's head and to read an answer; `longest`: what an answer
    may take to make.
    """

    def __init__(self, most: int, patience: float, longest: float) -> None:
        self._most = most
        self._patience = patience
        self._longest = longest
        self._deadlines: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._deadlines)

    def wrap(self, make: Callable[[], asyncio.BaseProtocol]) -> Callable[[], asyncio.Protocol]:
        """A factory for `loop.create_server` whose protocols this guard watches."""

        def factory() -> asyncio.Protocol:
            inner = make()
            if not isinstance(inner, asyncio.Protocol):
                raise TypeError("a streaming protocol is needed")
            return _Watched(inner, self)

        return factory

    def middleware(self) -> Middleware:
        """The application's part: the time a request's handler takes is not the client's."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            transport = request.transport
            if transport is not None:
                self.allow(transport, self._longest)
            try:
                return await handler(request)
            finally:
                if transport is not None:
                    self.allow(transport, self._patience)

        return guarded

    def admit(self, transport: asyncio.BaseTransport) -> bool:
        """Whether a new client may stay; its time begins."""
        if len(self._deadlines) >= self._most:
            return False
        self._deadlines[transport] = self._timer(transport, self._patience)
        return True

    def allow(self, transport: asyncio.BaseTransport, seconds: float) -> None:
        """Give a client so much time from now."""
        timer = self._deadlines.get(transport)
        if timer is not None:
            timer.cancel()
            self._deadlines[transport] = self._timer(transport, seconds)

    def forget(self, transport: asyncio.BaseTransport) -> None:
        """A client is gone."""
        timer = self._deadlines.pop(transport, None)
        if timer is not None:
            timer.cancel()

    def _timer(self, transport: asyncio.BaseTransport, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, _abort, transport)


def _abort(transport: asyncio.BaseTransport) -> None:
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    else:
        transport.close()


class _Watched(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol; tells the guard when a client comes and goes."""

    def __init__(self, inner: asyncio.Protocol, guard: ConnectionGuard) -> None:
        self._inner = inner
        self._guard = guard
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._guard.admit(transport):
            _abort(transport)
            return
        self._transport = transport
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._guard.forget(self._transport)
            self._inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
