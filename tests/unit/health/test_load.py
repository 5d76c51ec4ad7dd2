"""Loss beside load: only what is lost under load alone is laid to a policer."""

from __future__ import annotations

from dcedge.monitor.health.facts import LoadFacts
from dcedge.monitor.health.loss_under_load import LoadMeter, ProbeTotals

ORDERED = 50_000_000


class Line:
    """A virtual interface whose polls are played in."""

    def __init__(self) -> None:
        self.meter = LoadMeter()
        self.sent = self.lost = 0
        self._seen: LoadFacts | None = None

    def polls(self, count: int, *, bps: float, lost_of_five: int) -> None:
        for _ in range(count):
            self.sent += 5
            self.lost += lost_of_five
            self._seen = self.meter.feed("prod-a", ProbeTotals(self.sent, self.lost, 0, 0), ORDERED, bps / 100, bps)

    @property
    def tells(self) -> bool:
        return self._seen is not None

    @property
    def seen(self) -> LoadFacts:
        assert self._seen is not None
        return self._seen


def test_loss_under_load_alone_is_told_from_loss_at_any_time() -> None:
    policed, lossy = Line(), Line()
    for line, quiet in ((policed, 0), (lossy, 2)):
        line.polls(10, bps=20_000, lost_of_five=quiet)
        assert not line.tells, "nothing was seen under load yet"
        line.polls(10, bps=30e6, lost_of_five=2)
        assert 0.35 < line.seen.busy_loss < 0.45
        assert (line.seen.busy_bps, line.seen.outward) == (30e6, True)
    assert policed.seen.quiet_loss == 0
    assert lossy.seen.quiet_loss > 0.3


def test_what_was_quiet_is_remembered_through_hours_of_load_and_a_mended_policer_is_believed() -> None:
    line = Line()
    line.polls(10, bps=20_000, lost_of_five=0)
    line.polls(7200, bps=30e6, lost_of_five=2)
    assert line.seen.quiet_loss == 0
    line.polls(40, bps=45e6, lost_of_five=0)
    assert line.seen.busy_loss < 0.02


def test_the_poll_in_which_load_begins_counts_for_neither() -> None:
    line = Line()
    line.polls(10, bps=20_000, lost_of_five=0)
    line.polls(1, bps=30e6, lost_of_five=5)
    line.polls(10, bps=20_000, lost_of_five=0)
    line.polls(10, bps=30e6, lost_of_five=0)
    assert (line.seen.busy_loss, line.seen.quiet_loss) == (0, 0)


def test_an_outage_says_nothing_of_a_policer() -> None:
    line = Line()
    line.polls(10, bps=20_000, lost_of_five=0)
    line.polls(100, bps=20_000, lost_of_five=5)
    line.polls(10, bps=30e6, lost_of_five=2)
    assert line.seen.quiet_loss == 0


def test_long_after_the_load_nothing_is_said() -> None:
    line = Line()
    line.polls(10, bps=20_000, lost_of_five=0)
    line.polls(10, bps=30e6, lost_of_five=2)
    assert line.tells
    line.polls(60, bps=20_000, lost_of_five=0)
    assert not line.tells
