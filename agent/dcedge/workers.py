"""The threads that the event loop leaves its work to, and how it stays ahead of them."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

# On one processor the scheduler lets a busy thread go on until its next tick (10 ms at 100 Hz) before the loop, which
# has worked as much lately, may take the interpreter's lock back. A worker counts for a third of the loop (sched(7)).
_NICE = 5


def workers() -> ThreadPoolExecutor:
    """What an event loop's `to_thread` runs on."""
    return ThreadPoolExecutor(thread_name_prefix="worker", initializer=_step_back)


def _step_back() -> None:
    thread = threading.get_native_id()
    with suppress(PermissionError):  # a sandbox may forbid it
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)
