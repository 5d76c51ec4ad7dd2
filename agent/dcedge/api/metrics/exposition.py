"""What a scraper is given: the table of metrics and the daemon's own, in the format that it would rather have."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.exposition import choose_encoder

from dcedge.api.metrics.instruments import DaemonMetrics
from dcedge.api.metrics.text import Encoder, render
from dcedge.api.negotiation import choices
from dcedge.monitor.snapshot import Snapshot

_GZIP_FRAME = 16  # on top of the window's size, to zlib


@dataclass(frozen=True, slots=True)
class ExpositionFormat:
    """A format of the exposition: its media type, and prometheus_client's encoder of it."""

    content_type: str
    encoder: Encoder


def _format(accept: str) -> ExpositionFormat:
    """The format that prometheus_client chooses for a header with one entry."""
    encoder, content_type = choose_encoder(accept)
    return ExpositionFormat(content_type, encoder)


TEXT, OPENMETRICS = _format("text/plain"), _format("application/openmetrics-text")
# By media type and version, as a scraper may ask for them.
_FORMATS = {
    ("text/plain", ""): TEXT,
    ("text/plain", "0.0.4"): TEXT,
    ("text/plain", "1.0.0"): _format("text/plain;version=1.0.0"),
    ("application/openmetrics-text", ""): OPENMETRICS,
    ("application/openmetrics-text", "1.0.0"): OPENMETRICS,
}


def negotiate(accept: str) -> ExpositionFormat:
    """The format that an Accept header prefers.

    The text format wherever another one is not preferred to it. prometheus_client's own negotiation takes the first
    format that it knows, whatever its weight.
    """
    wanted = [
        (one.weight, one.what == "text/plain", offered)
        for one in choices(accept)
        if (offered := _FORMATS.get((one.what, one.parameters.get("version", "")))) is not None
    ]
    return max(wanted, key=lambda one: one[:2])[2] if wanted else TEXT


def exposition(snapshot: Snapshot, own: DaemonMetrics, wanted: ExpositionFormat = TEXT) -> Iterator[bytes]:
    """All metrics, in pieces of at most some 700 kB."""
    yield from render(snapshot, wanted.encoder)
    yield own.render(snapshot, wanted.encoder)


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same packed, piece by piece, which prometheus_client would do with the whole at once.

    At the fastest level: a scrape comes every few seconds, and label text packs well at any.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | _GZIP_FRAME)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
