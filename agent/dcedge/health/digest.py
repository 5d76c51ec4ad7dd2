"""TCP-MD5 seen to fail: the kernel's counts of segments whose digest is not as the session's key asks.

The counts are the whole network namespace's, so a fault is laid to a session only where no other can be meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dcedge.errors import KernelError
from dcedge.health.verdict import DigestFault
from dcedge.order.model import Seconds

# What a peer that is refused sends again within: a connect-retry time is 120 s at most by RFC 4271, 10, and far less
# in practice.
REMEMBERED: Seconds = 60.0
_NETSTAT = Path("/proc/thread-self/net/netstat")


class DigestCounts(NamedTuple):
    """Segments refused so far: without the digest that was due, with a wrong one, with one that was not due."""

    missing: int
    wrong: int
    unexpected: int


def read_digest_counts() -> DigestCounts:
    """The counts of the calling thread's network namespace (the kernel's Documentation/networking/snmp_counter.rst)."""
    try:
        lines = [line.split() for line in _NETSTAT.read_text().splitlines() if line.startswith("TcpExt:")]
    except OSError as error:
        raise KernelError(f"{_NETSTAT}: {error.strerror}", error.errno or 0) from error
    found = dict(zip(*lines, strict=True)) if len(lines) == 2 else {}
    return DigestCounts(*(int(found.get(f"TCPMD5{name}", 0)) for name in ("NotFound", "Failure", "Unexpected")))


@dataclass(frozen=True, slots=True)
class Suspect:
    """A session that is not up though its peer can be reached, and whether a password is ordered for it."""

    peer: str
    keyed: bool


class DigestMeter:
    """Remembers for a while which kind of segment was refused."""

    def __init__(self) -> None:
        self._counts: DigestCounts | None = None
        self._grown: dict[DigestFault, Seconds] = {}

    def feed(self, counts: DigestCounts, now: Seconds) -> None:
        """Take a reading."""
        if self._counts is not None:
            kinds: tuple[DigestFault, ...] = ("missing", "wrong", "unexpected")
            for kind, before, after in zip(kinds, self._counts, counts, strict=True):
                if after > before:
                    self._grown[kind] = now
        self._counts = counts

    def faults(self, suspects: Iterable[Suspect], now: Seconds) -> dict[str, DigestFault]:
        """By peer what is wrong with its digests. `suspects` are all sessions that are down: ours and others'."""
        lately = {kind: at for kind, at in self._grown.items() if now - at <= REMEMBERED}
        if not lately:
            return {}
        suspects = list(suspects)
        found: dict[str, DigestFault] = {}
        for keyed in (True, False):
            alike = [suspect for suspect in suspects if suspect.keyed is keyed]
            kinds = [kind for kind in lately if (kind != "unexpected") is keyed]
            if len(alike) == 1 and kinds:
                found[alike[0].peer] = max(kinds, key=lambda kind: lately[kind])
        return found
