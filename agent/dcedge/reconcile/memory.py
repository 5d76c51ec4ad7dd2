"""How the interpreter treats a process that holds hundreds of thousands of lasting objects."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # <malloc.h>
_MAPPED_BYTES = 128 * 1024
_SWITCH_SECONDS = 0.0005
_COLLECTOR = (5_000, 10, 1_000_000)  # the oldest generation is left to `collect`


def prepare() -> None:
    """At the daemon's start, before the first thread.

    The event loop asks for the interpreter's lock after every system call; by default a busy worker thread keeps it
    for 5 ms each time, which at some hundred probes a tick holds the loop for seconds. And glibc would give each
    thread an arena of its own (mallopt(3)), though only one of them runs at a time; and after the first long text that
    is given back keep all of its size on the heap, where something small behind it holds it for good.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(*_COLLECTOR)
    with suppress(AttributeError):  # another C library
        malloc = ctypes.CDLL(None)
        malloc.mallopt(_M_ARENA_MAX, 1)
        malloc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def collect() -> None:
    """Once in a while, at a time of our choosing: free cyclic garbage."""
    gc.collect()


@contextmanager
def building() -> Iterator[None]:
    """While much that is to last is made: the cyclic collector rests, and what was made is out of its sight afterwards.

    A full collection looks at every object, which holds the whole process for a quarter of a second; what the order
    and the passes make has no cycles and goes by reference counts. What malloc has free is given back (malloc_trim(3)).
    """
    gc.collect()  # what is garbage now would be out of sight too
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
