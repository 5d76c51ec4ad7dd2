"""TCP-MD5's counters are the whole router's: a session is blamed only where it can be no other."""

from __future__ import annotations

from dcedge.health.digest import REMEMBERED, DigestCounts, DigestMeter, Suspect, read_digest_counts

KEYED, OTHER_KEYED, BARE = Suspect("10.0.0.1", True), Suspect("10.0.0.5", True), Suspect("10.0.0.9", False)


def meter(*counts: DigestCounts) -> DigestMeter:
    made = DigestMeter()
    for second, reading in enumerate(counts):
        made.feed(reading, second)
    return made


def test_the_one_session_with_a_password_that_is_down_is_meant() -> None:
    wrong = meter(DigestCounts(0, 4, 0), DigestCounts(0, 5, 0))
    assert wrong.faults([KEYED, BARE], 2) == {"10.0.0.1": "wrong"}
    missing = meter(DigestCounts(1, 4, 0), DigestCounts(2, 4, 0))
    assert missing.faults([KEYED], 2) == {"10.0.0.1": "missing"}


def test_the_one_session_without_a_password_is_meant_by_a_digest_nobody_ordered() -> None:
    assert meter(DigestCounts(0, 0, 0), DigestCounts(0, 0, 3)).faults([KEYED, BARE], 2) == {"10.0.0.9": "unexpected"}


def test_of_two_that_may_be_meant_none_is_blamed() -> None:
    assert meter(DigestCounts(0, 4, 0), DigestCounts(0, 5, 0)).faults([KEYED, OTHER_KEYED], 2) == {}


def test_what_was_counted_before_the_start_or_long_ago_blames_nobody() -> None:
    assert meter(DigestCounts(7, 7, 7)).faults([KEYED], 1) == {}
    assert meter(DigestCounts(0, 0, 0), DigestCounts(0, 1, 0)).faults([KEYED], REMEMBERED + 2) == {}


def test_a_changed_fault_is_the_latest() -> None:
    both = meter(DigestCounts(0, 0, 0), DigestCounts(0, 1, 0), DigestCounts(1, 1, 0))
    assert both.faults([KEYED], 3) == {"10.0.0.1": "missing"}


def test_the_kernel_has_these_counters() -> None:
    assert all(count >= 0 for count in read_digest_counts())
