"""Long answers, made piece by piece in worker threads, so that neither memory nor the event loop holds the whole."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import islice

_PIECES_A_CHUNK = 5_000
_LOOK_SECONDS = 0.005
_COURTESY_SECONDS = 1.0  # so long in all an answer stands back; then it goes on beside whatever there is


async def paced(chunks: Iterator[bytes], urgent: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
    """An answer's pieces as they are made.

    While `urgent` says so nothing is made: threads share the interpreter, and a pass would take twice as long.
    """
    courtesy = _COURTESY_SECONDS
    while True:
        courtesy -= await _stand_back(urgent, courtesy)
        chunk = await asyncio.to_thread(next, chunks, None)
        if chunk is None:
            return
        yield chunk


async def _stand_back(urgent: Callable[[], bool], at_most: float) -> float:
    """Wait until nothing is urgent; the seconds that it took."""
    started = time.monotonic()
    waited = 0.0
    while urgent() and waited < at_most:
        await asyncio.sleep(_LOOK_SECONDS)
        waited = time.monotonic() - started
    return waited


def json_chunks(value: object) -> Iterator[bytes]:
    """JSON text in pieces: json.dumps would hold the interpreter's lock until the last byte."""
    pieces = json.JSONEncoder(separators=(",", ":")).iterencode(value)
    while chunk := "".join(islice(pieces, _PIECES_A_CHUNK)):
        yield chunk.encode()
