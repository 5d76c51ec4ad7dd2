"""Where the daemon's log goes: to the journal with its fields, or as text with key=value to standard error.

A message that comes again and again is logged a few times, then its count. Secrets are hidden in all text,
that of exceptions too; the fields beside it hold nothing but the order's names and words of our own.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from cysystemd.journal import send

from dcedge.logging.masking import hide
from dcedge.settings import LogLevel

FIELDS = ("virtual_interface", "action", "resource", "reason", "disruption")  # of a record, given as its `extra`
_BESIDE_TEXT = ("virtual_interface", "disruption")  # the others are in the message's words already
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}  # syslog(3)
_REPEATS_LOGGED = 3
_WINDOW_SECONDS = 60.0
_KNOWN_MAX = 1000  # messages that are counted at a time

Key = tuple[int, str]


class Collapse(logging.Filter):
    """Lets the first few of the same messages in a minute through; `overdue` says what became of the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: OrderedDict[Key, list[float]] = OrderedDict()  # when it came first, and how often

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log this one."""
        key = (record.levelno, record.getMessage())
        first = self._seen.setdefault(key, [self._clock(), 0])
        first[1] += 1
        return first[1] <= _REPEATS_LOGGED

    def overdue(self, *, end: bool = False) -> Iterator[tuple[int, str]]:
        """Level and text of the messages that were held back, once their minute is over."""
        now = self._clock()
        while self._seen:
            (level, text), (began, count) = next(iter(self._seen.items()))
            if not end and now - began < _WINDOW_SECONDS and len(self._seen) <= _KNOWN_MAX:
                return
            del self._seen[level, text]
            if count > _REPEATS_LOGGED:
                yield level, f"{text} (and {count - _REPEATS_LOGGED:.0f} times more in {now - began:.0f} s)"


class CollapsingHandler(logging.Handler):
    """Logs records by `write`, repetitions collapsed."""

    def __init__(self, write: Callable[[logging.LogRecord], None], collapse: Collapse | None = None) -> None:
        super().__init__()
        self._write = write
        self._collapse = collapse or Collapse()

    def emit(self, record: logging.LogRecord) -> None:
        self.settle()
        if self._collapse.filter(record):
            self._write(record)

    def settle(self, *, end: bool = False) -> None:
        """Log what was held back, where its minute is over."""
        for level, text in self._collapse.overdue(end=end):
            self._write(logging.LogRecord(__name__, level, __file__, 0, text, None, None))

    def close(self) -> None:
        self.settle(end=True)
        super().close()


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """The fields that a record was given."""
    return {name: str(value) for name in FIELDS if (value := getattr(record, name, "")) != ""}


def to_journal(record: logging.LogRecord, send: Callable[..., object] = send) -> None:
    """One entry of the journal (systemd.journal-fields(7)); our own fields begin with DCEDGE_."""
    send(
        message=_text(record),
        priority=_PRIORITY.get(record.levelno, 6),
        syslog_identifier="dcedge",
        code_file=record.pathname,
        code_line=record.lineno,
        dcedge_module=record.name,
        **{f"dcedge_{name}": value for name, value in fields_of(record).items()},
    )


def to_stderr(record: logging.LogRecord) -> None:
    """One line of text."""
    given = fields_of(record)
    fields = "".join(f" {name}={_quoted(given[name])}" for name in _BESIDE_TEXT if name in given)
    sys.stderr.write(f"{record.levelname} {_text(record)}{fields}\n")
    sys.stderr.flush()


def set_up(level: LogLevel = LogLevel.INFO) -> CollapsingHandler:
    """At the daemon's start: the journal where standard error leads there (JOURNAL_STREAM, systemd.exec(5)).

    The level is for dcedge's own records; what libraries have to say of less than INFO, nobody wants to hear.
    """
    handler = CollapsingHandler(to_journal if _stderr_is_the_journal() else to_stderr)
    severity = getattr(logging, level.name)
    logging.basicConfig(level=max(logging.INFO, severity), handlers=[handler], force=True)
    logging.getLogger("dcedge").setLevel(severity)
    return handler


def _stderr_is_the_journal() -> bool:
    try:
        where = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{where.st_dev}:{where.st_ino}"


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    return hide(text)


def _quoted(value: str) -> str:
    return value if value.replace("-", "").replace("_", "").replace(".", "").isalnum() else f'"{value}"'
