"""SIGUSR1: what the daemon is at, told on standard error, which is the journal where systemd starts it.

The threads' stacks come from the interpreter itself (faulthandler), also where the event loop is stuck; the passes and
the tasks from the loop, as soon as it has its turn.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dcedge.logging.masking import hide

_STDERR = 2


def dump_on_signal(loop: asyncio.AbstractEventLoop, *parts: Callable[[], Iterable[str]]) -> None:
    """From now on SIGUSR1 tells the threads, then each part's lines, then the loop's tasks."""

    def tell() -> None:
        lines = [*(line for part in parts for line in part()), *task_lines(loop)]
        sys.stderr.write(hide("\n".join(lines)) + "\n")
        sys.stderr.flush()

    loop.add_signal_handler(signal.SIGUSR1, tell)
    # After the loop's own handler, which it calls when it is done.
    faulthandler.register(signal.SIGUSR1, file=_STDERR, all_threads=True, chain=True)


def task_lines(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    """A line a task: where it waits, from its outermost coroutine inwards."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    yield f"tasks: {len(tasks)}"
    for task in tasks:
        yield f"  {task.get_name()}: {' > '.join(_waits(task.get_coro())) or 'under way'}"


def _waits(coroutine: Any) -> Iterator[str]:
    """Each coroutine in a chain of awaits, and the line that it waits in."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        yield f"{coroutine.__qualname__}:{frame.f_lineno}"
        coroutine = coroutine.cr_await
