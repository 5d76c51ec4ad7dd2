"""TLS under a connection guard: a client counts from the moment it connects, not only once it has shaken hands."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from dcedge.expose.guard import ConnectionGuard


class Securing(asyncio.Protocol):
    """Takes one client through the TLS handshake to the protocol behind it."""

    def __init__(
        self, make: Callable[[], asyncio.Protocol], guard: ConnectionGuard, context: ssl.SSLContext, patience: float
    ) -> None:
        self._make = make
        self._guard = guard
        self._context = context
        self._patience = patience
        self._inner: asyncio.Protocol | None = None
        self._early = bytearray()  # what came along with the handshake's end
        self._lost = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if not self._guard.admit(transport):
            transport.abort()
            return
        transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._shake_hands(transport))

    async def _shake_hands(self, plain: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                plain, self, self._context, server_side=True, ssl_handshake_timeout=self._patience
            )
        except OSError as error:  # SSLError, ConnectionError and TimeoutError are such
            # Its frames hold the TLS buffers, 256 KiB, and those of asyncio hold it: a cycle, which the collector would
            # find late.
            error.__traceback__ = None
            secured = None
        finally:
            self._guard.forget(plain)
        if secured is None or self._lost:
            plain.abort()
            return
        self._inner = self._make()
        self._inner.connection_made(secured)
        if self._early:
            self._inner.data_received(bytes(self._early))
            self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)
        else:
            self._early += data

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if self._inner is not None:
            self._inner.connection_lost(error)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
