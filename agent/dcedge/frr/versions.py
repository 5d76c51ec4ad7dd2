"""What is known of FRR's versions. It warns only: what dcedge does follows from how FRR behaves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dcedge.order.resolve import ResolvedInterface

OLDEST, NEWEST = (8, 4), (10, 7)  # that the tests run with
# They leave BGP idle while its BFD is down; the next releases do not (FRR pull requests 18562, 18681, 18682).
_IDLE_WITHOUT_BFD = re.compile(r"10\.2\.2|10\.3(?:\.0)?")
_NUMBERS = re.compile(r"(\d+)\.(\d+)")


def version_warnings(version: str | None, interfaces: Iterable[ResolvedInterface]) -> Iterator[str]:
    """What an operator is to know of this version of FRR, in words; nothing where it is not known."""
    found = _NUMBERS.match(version or "")
    if found is None:
        return
    number = int(found[1]), int(found[2])
    if not OLDEST <= number <= NEWEST:
        how = "older" if number < OLDEST else "newer"
        yield f"FRR {version} is {how} than what dcedge is tested with ({_text(OLDEST)} to {_text(NEWEST)})"
    with_bfd = sorted(i.name for i in interfaces if any(session.bfd for session in i.sessions))
    if with_bfd and _IDLE_WITHOUT_BFD.fullmatch(version or ""):
        more = f" and {len(with_bfd) - 1} more" if len(with_bfd) > 1 else ""
        yield (
            f"FRR {version} leaves BGP idle while its BFD is down: with dcedge stopped, {with_bfd[0]}{more} would not"
            " come back where the cloud begins BFD only after BGP (the next FRR of that series would)"
        )


def _text(number: tuple[int, int]) -> str:
    return ".".join(map(str, number))
