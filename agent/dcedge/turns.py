"""Long work in a worker thread, and the event loop, which is not to wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

EVERY = 16


def in_turns(items: Iterable[T], every: int = EVERY) -> Iterator[T]:
    """The items, with the interpreter's lock free for a moment after every so many.

    Who waits for the lock may ask for it only after the switch interval, and on a busy processor gets it no sooner than
    the scheduler's next tick; that for each of the loop's system calls. Who finds it free has it at once.
    """
    for number, item in enumerate(items):
        yield item
        if number % every == every - 1:
            time.sleep(0)
