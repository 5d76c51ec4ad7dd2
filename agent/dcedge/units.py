"""Rates and durations as the order writes them, and as people read them."""

from __future__ import annotations

import re

from dcedge.errors import UnitError

# [0-9] and not \d, which takes every script's digits; at most 15 of them, which a float still holds exactly.
_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)"
_RATE = re.compile(_NUMBER + r"([KMG])\Z")
_RATE_UNITS = {"K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_DURATION = re.compile(_NUMBER + r"(ms|s|m|h)\Z")
_DURATION_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_SHOWN_MAX = 60
_PLACES_MAX = 15  # behind the point


def shown(value: object) -> str:
    """A value from a file or a peer as a message may print it: escaped, and shortened where it is long."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, (tuple, list)):
        return "a list"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN_MAX else value[: _SHOWN_MAX - 1] + "...")
    text = str(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def parse_rate(text: str) -> int:
    """Bits a second of a decimal rate such as `500M` or `1.5G`; raises UnitError."""
    match = _RATE.match(text)
    if match is None:
        raise UnitError(f"{shown(text)} is not a rate (a number with K, M or G bits a second, such as 500M)")
    digits, scale = _scaled(match[1])
    rate, rest = divmod(digits * _RATE_UNITS[match[2]], scale)
    if rest or not rate:
        raise UnitError(f"{shown(text)} is not a whole, positive number of bits a second")
    return rate


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `300ms`, `1s` or `5m`; raises UnitError."""
    match = _DURATION.match(text)
    if match is None:
        raise UnitError(f"{shown(text)} is not a duration (a number with ms, s, m or h, such as 300ms)")
    digits, scale = _scaled(match[1])
    return digits * _DURATION_UNITS_MS[match[2]] / (1000 * scale)  # exact but for this one rounding


def _scaled(number: str) -> tuple[int, int]:
    """A decimal number as a whole one and the power of ten that it is to be divided by."""
    whole, _, fraction = number.partition(".")
    return int(whole + fraction), 10 ** len(fraction)


def write_rate(rate_bps: int) -> str:
    """A rate in the order's notation, exact: `parse_rate` gives it back."""
    for unit in ("G", "M", "K"):
        if rate_bps % _RATE_UNITS[unit] == 0:
            return f"{rate_bps // _RATE_UNITS[unit]}{unit}"
    return f"{rate_bps // 1000}.{rate_bps % 1000:03d}K"


def write_duration(seconds: float) -> str:
    """A duration in the order's notation, exact: `parse_duration` gives it back."""
    if seconds == int(seconds):
        return f"{int(seconds)}s"
    for places in range(_PLACES_MAX):
        text = f"{seconds * 1000:.{places}f}ms"
        if parse_duration(text) == seconds:
            return text
    return f"{seconds * 1000:.{_PLACES_MAX}f}ms"


def format_rate(rate_bps: float) -> str:
    """A rate for people, in the order's own notation: `500M`, `1.5G`, `49.87M`."""
    for unit in ("G", "M", "K"):
        size = _RATE_UNITS[unit]
        if rate_bps >= size:
            return f"{rate_bps / size:.2f}".rstrip("0").rstrip(".") + unit
    return f"{rate_bps:.0f}"


def format_seconds(seconds: float) -> str:
    """A duration for people: `0.21 ms`, `3 s`, `5m10s`, `2h03m`, `4d07h`."""
    if seconds < 1:
        return f"{seconds * 1000:.2f} ms"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def counted(count: int, noun: str) -> str:
    """A count with its noun, in the plural unless it is one."""
    return f"{count} {noun}" + ("" if count == 1 else "es" if noun.endswith("x") else "s")
