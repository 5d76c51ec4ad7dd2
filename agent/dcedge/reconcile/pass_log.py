"""The last passes: what each observed, why it ran, and what came of it. For debug logs and for SIGUSR1."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dcedge.reconcile import clock
from dcedge.reconcile.result import DirtySet, PassRequest, PassResult
from dcedge.units import counted

log = logging.getLogger(__name__)

_KEPT = 40
_LINKS_SHOWN = 12


@dataclass(slots=True)
class LoggedPass:
    """One pass, as it is remembered."""

    began: float  # seconds since 1970
    text: str
    outcome: str = "running, or aborted"


class PassLog:
    """Remembers the last passes."""

    def __init__(self) -> None:
        self._entries: deque[LoggedPass] = deque(maxlen=_KEPT)

    def began(self, request: PassRequest, reasons: Sequence[str]) -> LoggedPass:
        """A pass begins."""
        text = f"{where(request.dirty, ordered=request.ordered)}, reason: {'; '.join(reasons)}"
        log.debug("pass begins: %s", text)
        logged = LoggedPass(clock.now(), text)
        self._entries.append(logged)
        return logged

    def ended(self, logged: LoggedPass, result: PassResult) -> None:
        """A pass that began has ended so."""
        outcome = (
            f"{counted(len(result.done.operations), 'operation')}, {counted(len(result.failures), 'failure')}, "
            f"{result.duration * 1000:.1f} ms"
        )
        log.debug("pass ends: %s", outcome)
        logged.outcome = outcome

    def lines(self) -> Iterator[str]:
        """A line a pass, the oldest first; times in UTC."""
        for entry in self._entries:
            began = datetime.fromtimestamp(entry.began, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            yield f"{began} {entry.text}: {entry.outcome}"


def where(dirty: DirtySet | None, *, ordered: bool) -> str:
    """What a pass observes, in words."""
    if dirty is None:
        return "full resync"
    links = sorted(dirty.links)
    shown = ", ".join(map(str, links[:_LINKS_SHOWN])) + (", …" if len(links) > _LINKS_SHOWN else "")
    parts = [
        "changes of the order" if ordered else "",
        f"links {shown}{' and their queues' if dirty.queues else ''}" if links else "",
        "FRR" if dirty.frr else "",
        "the firewall" if dirty.firewall else "",
    ]
    return ", ".join(filter(None, parts)) or "differences to the order"
