"""TCP-MD5's counters are the whole router's: a session is blamed only where it can be no other."""

from __future__ import annotations

from collections.abc import Collection

from dcedge.monitor.health.digest import REMEMBERED, DigestCounts, DigestMeter, Suspect, read_digest_counts

KEYED, OTHER_KEYED, BARE = Suspect("10.0.0.1", True), Suspect("10.0.0.5", True), Suspect("10.0.0.9", False)


class Router:
    """Readings of the counters, a second apart."""

    def __init__(self) -> None:
        self.meter = DigestMeter()
        self.now = 0.0
        self.counts = DigestCounts(7, 7, 7)

    def second(self, *suspects: Suspect, missing: int = 0, wrong: int = 0, unexpected: int = 0) -> None:
        self.counts = DigestCounts(self.counts[0] + missing, self.counts[1] + wrong, self.counts[2] + unexpected)
        self.meter.feed(self.counts, suspects, self.now)
        self.now += 1

    def refused(self, kind: str, suspects: Collection[Suspect], seconds: int = 4) -> dict[str, str]:
        self.second(*suspects)
        for _ in range(seconds):
            self.second(*suspects, **{kind: 1})
        return dict(self.meter.faults(self.now))


def test_the_one_session_with_a_password_that_is_down_is_meant() -> None:
    assert Router().refused("wrong", [KEYED, BARE]) == {"10.0.0.1": "wrong"}
    assert Router().refused("missing", [KEYED]) == {"10.0.0.1": "missing"}


def test_the_one_session_without_a_password_is_meant_by_a_digest_nobody_ordered() -> None:
    assert Router().refused("unexpected", [KEYED, BARE]) == {"10.0.0.9": "unexpected"}


def test_of_two_that_may_be_meant_none_is_blamed() -> None:
    assert Router().refused("wrong", [KEYED, OTHER_KEYED]) == {}


def test_one_segment_while_the_peer_is_being_configured_blames_nobody() -> None:
    assert Router().refused("missing", [KEYED], seconds=1) == {}


def test_a_session_is_not_blamed_for_what_another_did_before_it_went_down() -> None:
    router = Router()
    assert router.refused("wrong", [KEYED]) == {"10.0.0.1": "wrong"}
    router.second(OTHER_KEYED)
    assert router.meter.faults(router.now) == {}


def test_a_peer_that_was_heard_since_is_not_blamed_any_more() -> None:
    router = Router()
    assert router.refused("missing", [KEYED])
    router.meter.forget("10.0.0.1")
    assert router.meter.faults(router.now) == {}


def test_what_was_counted_before_the_start_or_long_ago_blames_nobody() -> None:
    router = Router()
    router.second(KEYED)
    assert router.meter.faults(router.now) == {}
    assert router.refused("wrong", [KEYED])
    assert router.meter.faults(router.now + REMEMBERED) == {}


def test_a_changed_fault_is_the_latest() -> None:
    router = Router()
    router.refused("wrong", [KEYED])
    assert router.refused("missing", [KEYED]) == {"10.0.0.1": "missing"}


def test_the_kernel_has_these_counters() -> None:
    assert all(count >= 0 for count in read_digest_counts())
