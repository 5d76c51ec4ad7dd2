"""What a client would rather have, as its headers say (RFC 9110, 12.4.2 and 12.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Choice(NamedTuple):
    """One entry of an Accept or Accept-Encoding header, in lower case; `weight` 0: not acceptable."""

    what: str
    parameters: dict[str, str]
    weight: float


def choices(header: str) -> list[Choice]:
    """The acceptable entries, the most wanted first; of equal ones the first."""
    return sorted((one for one in _entries(header) if one.weight > 0), key=lambda one: -one.weight)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an answer may be packed with gzip."""
    return any(one.what == "gzip" for one in choices(accept_encoding))


def _entries(header: str) -> Iterator[Choice]:
    for entry in header.lower().split(","):
        what, *pieces = (piece.strip() for piece in entry.split(";"))
        parameters = {name.strip(): value.strip() for name, _, value in (piece.partition("=") for piece in pieces)}
        yield Choice(what, parameters, _weight(parameters.pop("q", "1")))


def _weight(text: str) -> float:
    """A weight between 0 and 1; 0 for what is none."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
