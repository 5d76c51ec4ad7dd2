"""The daemon's log: levels and fields for the journal, one line of text elsewhere, no flood anywhere."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dcedge.logging import handlers as logs
from dcedge.logging.handlers import Collapse, CollapsingHandler, to_journal, to_stderr


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def logger(handler: logging.Handler) -> logging.Logger:
    made = logging.Logger("dcedge.test")  # noqa: LOG001  one of its own, apart from the tests' own log
    made.addHandler(handler)
    return made


def test_the_journal_gets_severity_and_fields() -> None:
    sent: list[dict[str, Any]] = []

    def send(**fields: Any) -> None:
        sent.append(fields)

    log = logger(CollapsingHandler(lambda record: to_journal(record, send)))
    log.warning("no %s", "light", extra={"virtual_interface": "prod-a", "disruption": "none"})
    log.info("well")
    assert sent[0] | {"code_line": 0, "code_file": ""} == {
        "message": "no light",
        "priority": 4,
        "syslog_identifier": "dcedge",
        "code_file": "",
        "code_line": 0,
        "dcedge_module": "dcedge.test",
        "dcedge_virtual_interface": "prod-a",
        "dcedge_disruption": "none",
    }
    assert sent[1]["priority"] == 6
    assert "dcedge_virtual_interface" not in sent[1]


def test_elsewhere_a_line_has_them_as_key_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    log = logger(CollapsingHandler(to_stderr))
    log.info("create link eth1.101", extra={"virtual_interface": "prod-a,prod-b", "disruption": "link"})
    assert capsys.readouterr().err == 'INFO create link eth1.101 virtual_interface="prod-a,prod-b" disruption=link\n'


def test_a_flood_is_told_a_few_times_and_then_how_often_it_came() -> None:
    clock, told = Clock(), []
    handler = CollapsingHandler(lambda record: told.append(record.getMessage()), Collapse(clock))
    log = logger(handler)
    for _ in range(1000):
        clock.now += 0.01
        log.error("again")
    log.error("another")
    assert told == ["again"] * 3 + ["another"]
    clock.now += logs._WINDOW_SECONDS
    handler.settle()
    assert told[4:] == ["again (and 997 times more in 70 s)"]
    log.error("again")
    assert told[5:] == ["again"]


def test_what_was_held_back_is_told_at_the_end() -> None:
    clock, told = Clock(), []
    handler = CollapsingHandler(lambda record: told.append((record.levelname, record.getMessage())), Collapse(clock))
    for _ in range(4):
        logger(handler).warning("again")
    handler.close()
    assert told[3:] == [("WARNING", "again (and 1 times more in 0 s)")]


def test_messages_that_all_differ_take_no_memory_for_ever() -> None:
    collapse = Collapse(Clock())
    log = logger(CollapsingHandler(lambda _: None, collapse))
    for number in range(logs._KNOWN_MAX * 3):
        log.error("message %d", number)
    assert len(collapse._seen) <= logs._KNOWN_MAX + 1
