"""What a cloud announces, beside what was agreed on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dcedge.monitor.health.judge import judge
from tests.unit.health.test_verdict import ACTIVE, GOOD, PEER, SENT, UP, Row

ROWS = [
    Row(
        "more is announced than was agreed on, and the policy refuses it",
        replace(GOOD, sessions=(replace(UP, received=1, announced=10_001, receive_limit=1000),)),
        "degraded",
        f"{PEER} announces 10001 prefixes, more than the order's receive_limit of 1000; 1 of them",
        "cloud",
    ),
    Row(
        "more is accepted than was agreed on",
        replace(GOOD, sessions=(replace(UP, received=1001, receive_limit=1000),)),
        "degraded",
        f"{PEER} announces 1001 prefixes, more than the order's receive_limit of 1000; 1001 of them",
        "cloud",
    ),
    Row(
        "as many as were agreed on",
        replace(GOOD, sessions=(replace(UP, received=1, announced=1000, receive_limit=1000),)),
        "up",
        "as ordered",
        "unknown",
    ),
    Row(
        "what is announced is nothing that was ordered",
        replace(GOOD, sessions=(replace(UP, received=0, announced=5),)),
        "degraded",
        f"{PEER} announces 5 prefixes, but none that is accepted here",
        "unknown",
    ),
    Row(
        "torn down for too many, with the limit",
        replace(
            GOOD,
            sessions=(
                replace(ACTIVE, receive_limit=1000, last_reset=SENT + "Cease/Maximum Number of Prefixes Reached"),
            ),
        ),
        "down",
        "the cloud announces more prefixes than the order's receive_limit of 1000",
        "cloud",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.case for row in ROWS])
def test_the_verdict_on_what_is_announced(row: Row) -> None:
    verdict = judge(row.facts)
    assert (verdict.state, verdict.side) == (row.state, row.side)
    assert row.says in verdict.reason
