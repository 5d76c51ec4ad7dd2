"""What systemd is told of the daemon (sd_notify(3)): that it is ready, a line people can read, that it is alive."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from cysystemd.daemon import Notification, notify

from dcedge.api.status import NOT_ISOLATED
from dcedge.logging.masking import hide
from dcedge.monitor.health.verdict import STATES
from dcedge.monitor.snapshot import Snapshot
from dcedge.units import counted

T = TypeVar("T")

# As long as a pass may take before it counts as stuck: thousands of peers are 80,000 lines for FRR, 10 ms each.
PASS_SECONDS_MAX = 900.0
_BEATS = 3  # within the time that systemd grants
_STATUS_MAX = 400  # characters


class Supervisor:
    """The daemon's word to systemd; says nothing where it was not started by it."""

    def __init__(self) -> None:
        self._spoken_to = "NOTIFY_SOCKET" in os.environ
        self._status = ""
        self._is_ready = False
        granted = os.environ.get("WATCHDOG_USEC", "") if os.environ.get("WATCHDOG_PID") == str(os.getpid()) else ""
        self._interval = int(granted) / 1e6 / _BEATS if granted.isdecimal() else None

    def ready(self) -> None:
        """A pass has been made; it is told once."""
        if not self._is_ready:
            self._is_ready = True
            self._tell(Notification.READY)

    def stopping(self) -> None:
        """It ends."""
        self._tell(Notification.STOPPING)

    def status(self, text: Callable[[], str]) -> None:
        """The line that `systemctl status` shows; told only when it is another one."""
        line = " ".join(hide(text()).split())[:_STATUS_MAX] if self._spoken_to else ""
        if line != self._status:
            self._status = line
            self._tell(Notification.STATUS, line)

    async def watch(self, work: Awaitable[T], seconds: float) -> T:
        """Await a part of the loop; as long as it takes at most `seconds`, systemd hears that the loop is alive.

        What takes longer is stuck: systemd hears nothing more, and kills the daemon.
        """
        task = asyncio.ensure_future(work)
        deadline = time.monotonic() + seconds
        try:
            while not task.done():
                if self._interval is not None and time.monotonic() < deadline:
                    self._tell(Notification.WATCHDOG)
                await asyncio.wait({task}, timeout=self._interval)
            return task.result()
        finally:
            task.cancel()
            del task  # else its error, the error's frames and this one hold each other, and all that those knew

    def _tell(self, what: Notification, value: str = "") -> None:
        if self._spoken_to:
            notify(what, value)


def status_line(snapshot: Snapshot) -> str:
    """What is to be known at a glance: what does not work first."""
    said: list[str] = []
    if not snapshot.frr.available:
        said.append(f"FRR does not answer ({snapshot.frr.detail})" if snapshot.frr.detail else "FRR does not answer")
    said.append(_verdicts(vi.verdict.state for vi in snapshot.virtual_interfaces))
    if snapshot.passes.failing:
        said.append(f"{counted(len(snapshot.passes.failing), 'operation')} failing")
    if snapshot.order.problems:
        said.append(f"order file refused: {snapshot.order.problems[0]}")
    wanted = [vi for vi in snapshot.virtual_interfaces if vi.admin == "up"]
    worst = [vi for state in ("down", "degraded") for vi in wanted if vi.verdict.state == state]
    if any(note.startswith(NOT_ISOLATED) for note in snapshot.passes.notes):
        said.append("not as ordered: isolation and guard are not in force")
    elif worst and snapshot.frr.available:
        said.append(f"{worst[0].name}: {worst[0].verdict.reason}")
    elif snapshot.frr.available and not snapshot.passes.failing and not snapshot.order.problems:
        said.append("everything as ordered")
    return "; ".join(said)


def _verdicts(states: Iterable[str]) -> str:
    counts = Counter(states)
    total = sum(counts.values())
    others = [f"{counts[state]} {state}" for state in STATES if state != "up" and counts[state]]
    return ", ".join([f"{counts['up']} of {counted(total, 'virtual interface')} up", *others])
