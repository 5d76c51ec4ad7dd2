"""Sets of addresses as sorted, disjoint ranges, so that equal sets have equal values whoever wrote them down."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import NamedTuple

from dcedge.order.field_types import Prefix


class Range(NamedTuple):
    """Consecutive addresses of one family (4 or 6), both ends included."""

    version: int
    first: int
    last: int

    @property
    def ends(self) -> tuple[str, str]:
        """The first and the last address, in text."""
        address_class = IPv4Address if self.version == 4 else IPv6Address
        return str(address_class(self.first)), str(address_class(self.last))


def of_prefix(prefix: Prefix) -> Range:
    """A prefix as a range."""
    return Range(prefix.version, int(prefix.network_address), int(prefix.broadcast_address))


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The union, overlapping and adjacent ranges as one."""
    result: list[Range] = []
    for version, first, last in sorted(ranges):
        before = result[-1] if result else None
        if before is not None and before.version == version and first <= before.last + 1:
            result[-1] = Range(version, before.first, max(before.last, last))
        else:
            result.append(Range(version, first, last))
    return tuple(result)


def minus(ranges: Iterable[Range], without: Iterable[Range]) -> tuple[Range, ...]:
    """What of `ranges` is not in `without`."""
    holes = merged(without)
    result: list[Range] = []
    for one in merged(ranges):
        start = one.first
        for hole in _meeting(one, holes):
            if start < hole.first:
                result.append(Range(one.version, start, hole.first - 1))
            start = hole.last + 1
        if start <= one.last:
            result.append(Range(one.version, start, one.last))
    return tuple(result)


def common(ranges: Iterable[Range], others: tuple[Range, ...]) -> tuple[Range, ...]:
    """What is in both; `others` merged already."""
    return merged(
        Range(one.version, max(one.first, other.first), min(one.last, other.last))
        for one in ranges
        for other in _meeting(one, others)
    )


def _meeting(one: Range, others: tuple[Range, ...]) -> Iterator[Range]:
    """Those of sorted, disjoint ranges that have an address in common with this one."""
    place = max(bisect.bisect_right(others, one) - 1, 0)
    for other in itertools.islice(others, place, None):
        if (other.version, other.first) > (one.version, one.last):
            return
        if other.version == one.version and other.last >= one.first:
            yield other


def in_words(ranges: Iterable[Range]) -> tuple[str, ...]:
    """Each range as the prefix that it is, or as its two ends."""
    return tuple(_words(one) for one in ranges)


def _words(one: Range) -> str:
    if one.version == 4:
        prefixes = [str(p) for p in summarize_address_range(IPv4Address(one.first), IPv4Address(one.last))]
    else:
        prefixes = [str(p) for p in summarize_address_range(IPv6Address(one.first), IPv6Address(one.last))]
    return prefixes[0] if len(prefixes) == 1 else "-".join(one.ends)
