"""Long answers, made piece by piece in worker threads, so that neither memory nor the event loop holds the whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from aiohttp import web

_PIECES_A_CHUNK = 5_000


async def send_chunks(
    response: web.StreamResponse, request: web.Request, chunks: Iterator[bytes]
) -> web.StreamResponse:
    """Send an answer's body as it is made; the answer. A client that gives up is none of the log's business."""
    with suppress(ConnectionError):
        await response.prepare(request)
        if request.method != "HEAD":
            while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                await response.write(chunk)
        await response.write_eof()
    return response


def json_chunks(value: object) -> Iterator[bytes]:
    """JSON text in pieces: json.dumps would hold the interpreter's lock until the last byte."""
    pieces = json.JSONEncoder(separators=(",", ":")).iterencode(value)
    while chunk := "".join(islice(pieces, _PIECES_A_CHUNK)):
        yield chunk.encode()
