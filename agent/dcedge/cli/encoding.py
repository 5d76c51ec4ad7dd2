"""What a terminal's encoding lacks is shown as what comes nearest, so that no text ends a command.

A description may have any script's characters, our own words have a dash, and a terminal may be ISO-8859-1. A
replacement is as wide on the screen as what it stands for: tables stay aligned.
"""

from __future__ import annotations

import codecs
import io
import unicodedata
from typing import TextIO

_ERRORS = "dcedge.nearest"
_NEAREST = str.maketrans(
    {
        "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-", "‘": "'", "’": "'", "‚": ",", "“": '"',
        "”": '"', "„": '"', "…": ".", "•": "*", "×": "x", "→": ">", "←": "<", "µ": "u", "▁": "_", "▂": ".", "▃": ",",
        "▄": "-", "▅": "=", "▆": "+", "▇": "*", "█": "#",
    }
)  # fmt: skip


def show_any_text(*streams: TextIO) -> None:
    """Have these streams replace what their encoding lacks, instead of raising UnicodeEncodeError."""
    codecs.register_error(_ERRORS, _replaced)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(nearest, error.object[error.start : error.end])), error.end


def nearest(character: str) -> str:
    """What stands for a character in ASCII, as many columns wide."""
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return ""  # no column of its own
    wide = unicodedata.east_asian_width(character) in {"W", "F"}
    plain = unicodedata.normalize("NFKD", character.translate(_NEAREST))[0]
    return (plain if plain.isascii() and plain.isprintable() else "?") * (2 if wide else 1)
