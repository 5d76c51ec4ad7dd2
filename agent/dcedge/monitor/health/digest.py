"""TCP-MD5 seen to fail: the kernel's counts of segments whose digest is not as the session's key asks.

The counts are the whole network namespace's, so a fault is laid to a session only where no other can be meant.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dcedge.errors import KernelError
from dcedge.monitor.health.facts import DigestFault
from dcedge.order.field_types import Seconds

# What a peer that is refused sends again within: a connect-retry time is 120 s at most by RFC 4271, 10, and far less
# in practice.
REMEMBERED: Seconds = 60.0
# A refused SYN is sent again after 1, 3, 7 s (RFC 6298); one that is not may be from a peer that is being configured.
SUSTAINED: Seconds = 2.0
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


class _Seen(NamedTuple):
    fault: DigestFault
    first: Seconds
    last: Seconds


class DigestMeter:
    """Lays refused segments to the one session that they can be from, at the time, and remembers that for a while."""

    def __init__(self) -> None:
        self._counts: DigestCounts | None = None
        self._seen: dict[str, _Seen] = {}

    def feed(self, counts: DigestCounts, suspects: Collection[Suspect], now: Seconds) -> None:
        """Take a reading. `suspects` are all sessions that are down now, ours and others'; who is none is forgotten."""
        self._seen = {s.peer: self._seen[s.peer] for s in suspects if s.peer in self._seen}
        before, self._counts = self._counts, counts
        if before is None:
            return
        faults: tuple[DigestFault, ...] = ("missing", "wrong", "unexpected")
        for fault, was, is_now in zip(faults, before, counts, strict=True):
            alike = [suspect for suspect in suspects if suspect.keyed is (fault != "unexpected")]
            if is_now <= was or len(alike) != 1:
                continue
            last = self._seen.get(alike[0].peer)
            goes_on = last is not None and last.fault == fault and now - last.last <= REMEMBERED
            self._seen[alike[0].peer] = _Seen(fault, last.first if last is not None and goes_on else now, now)

    def forget(self, peer: str) -> None:
        """What was seen of a peer holds no more: it has been heard with a good digest since."""
        self._seen.pop(peer, None)

    def faults(self, now: Seconds) -> dict[str, DigestFault]:
        """By peer what is wrong with its digests, where it has been so over and over."""
        return {
            peer: seen.fault
            for peer, seen in self._seen.items()
            if seen.last - seen.first >= SUSTAINED and now - seen.last <= REMEMBERED
        }
