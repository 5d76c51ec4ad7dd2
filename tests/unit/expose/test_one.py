"""All about one virtual interface, as `dcedge status NAME` prints it; and the overview that `dcedge top` shows."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dcedge.api.detail import Detail, detail_json, percentile
from dcedge.api.overview import Overview, Wanted, overview_json
from dcedge.cli.print_detail import print_detail
from dcedge.cli.top import frame, run_top, spark
from dcedge.errors import DcedgeError
from dcedge.monitor.health.tracker import Transition
from dcedge.monitor.health.verdict import Verdict
from dcedge.monitor.last_hour import Hour
from dcedge.monitor.snapshot import FrrSnapshot, Snapshot
from dcedge.probe.histogram import BOUNDS, Histogram
from tests.unit.expose.scene import TAKEN, complete, down, session, snapshot, up
from tests.unit.expose.town import Town

HISTORY = (Transition(TAKEN - 35, "up", "down", "BGP to 10.0.0.1 is Active"),)


def detail(name: str, shown: Snapshot | None = None) -> Detail:
    found = detail_json(shown or complete(), name, Hour(), HISTORY)
    assert found is not None
    return found


def said(name: str, shown: Snapshot | None = None) -> str:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    print_detail(console, detail(name, shown))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_it_begins_with_the_verdict_and_what_to_do() -> None:
    text = said("prod-b")
    assert text.startswith("prod-b  down for 35 s: BGP to 10.0.0.1 is Active for 35 s: the cloud does not answer")
    assert "Side: not known" in text
    assert "dcedge explain prod-b" in text


def test_what_is_as_ordered_asks_for_nothing() -> None:
    text = said("prod-a")
    assert "Next:" not in text
    assert "Side:" not in text


def test_it_tells_every_layer() -> None:
    text = said("prod-a")
    for part in (
        "receives -15.2 dBm (alarm below -14.0 dBm)",
        "receive power low",
        "keepalive 20 s, hold 60 s",
        "up, ordered 300.00 ms × 3; detects a dead path within 900.00 ms",
        "3 of at most 200 accepted, 2 of at most 100 advertised",
        "5 packets dropped, 6 marked, 1500 bytes waiting",
        "12 s of the last minute",
        "p50",
        "1500 bytes get through",
        "up → down: BGP to 10.0.0.1 is Active",
    ):
        assert part in text, part


def test_the_verdict_says_what_to_do_next() -> None:
    shown = snapshot(down()._replace(verdict=Verdict("down", "no carrier", "carrier", "line")))
    assert "fibre" in detail("prod-b", shown)["next_step"]
    shown = snapshot(up()._replace(verdict=Verdict("drained", "drained by an operator")))
    assert "undrain" in detail("prod-a", shown)["next_step"]
    assert detail("prod-a")["next_step"] == ""


@pytest.mark.parametrize(
    ("last", "earlier", "told"),
    [
        ("BFD down received", "Interface down", "1 time; last reset: BFD down received"),
        (None, "Interface down", "1 time; earlier reset: Interface down"),
        (None, None, "1 time"),
    ],
)
def test_it_tells_why_a_session_was_lost_as_far_as_that_is_known(
    last: str | None, earlier: str | None, told: str
) -> None:
    lost = session()._replace(last_reset=last, earlier_reset=earlier)
    text = said("prod-a", snapshot(up()._replace(sessions=(lost,))))
    assert told in [line.strip().removeprefix("lost").strip() for line in text.splitlines()]


def test_nobody_is_nobody() -> None:
    assert detail_json(snapshot(), "nobody", Hour(), ()) is None


def test_percentiles_lie_in_the_bucket_that_they_fall_into() -> None:
    histogram = Histogram()
    assert percentile(histogram, 50) is None
    for rtt, times in ((0.001, 90), (0.02, 9), (100.0, 1)):
        for _ in range(times):
            histogram.observe(rtt)
    assert 0.0008 < (percentile(histogram, 50) or 0) <= 0.0016
    assert 0.0128 < (percentile(histogram, 95) or 0) <= 0.0256
    assert percentile(histogram, 99.5) == BOUNDS[-1]


def overview(shown: Snapshot | None = None, wanted: Wanted | None = None) -> Overview:
    return overview_json(shown or snapshot(), Hour(), wanted or Wanted())


def screen(seen: Overview, width: int = 160, height: int | None = None, lost: str = "") -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(frame(seen, Wanted(), width, height=height, lost=lost))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_top_has_the_worst_first() -> None:
    lines = screen(overview(), width=200)
    assert lines[0].split()[2:] == ["1", "down", "1", "up"]
    names = [line.split()[0] for line in lines if line.startswith("prod-")]
    assert names == ["prod-b", "prod-a"]
    assert "the cloud does not answer on TCP 179" in next(line for line in lines if line.startswith("prod-b"))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (200, 12), (80, 8)])
def test_top_fits_the_terminal(width: int, height: int) -> None:
    town = Town(40)
    lines = screen(overview_json(town.snapshot(), town.hour(), Wanted(most=height)), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("more" in line for line in lines[-1:])


def test_top_says_when_the_daemon_is_gone_or_frr() -> None:
    assert "no daemon answers" in screen(overview(), height=24, lost="no daemon answers on x")[-1]
    gone = snapshot(frr=FrrSnapshot(available=False, detail="no bgpd.vty"))
    assert "FRR does not answer" in screen(overview(gone))[0]


def test_top_that_is_piped_looks_once_at_everything() -> None:
    asked: list[Wanted] = []

    def ask(wanted: Wanted) -> Overview:
        asked.append(wanted)
        return overview()

    console = Console(file=io.StringIO(), width=200)
    run_top(console, ask, Wanted("prod"), 2.0)
    assert [(wanted.text, wanted.most) for wanted in asked] == [("prod", 500)]

    def refuse(_: Wanted) -> Overview:
        raise DcedgeError("no daemon answers")

    with pytest.raises(DcedgeError):
        run_top(console, refuse, Wanted(), 2.0)


def test_a_sparkline_has_the_latest_at_the_right_and_gaps() -> None:
    assert spark([1, 2, 3, 4], length=4) == "▃▅▇█"
    assert spark([None, 1.0], length=4) == "   █"
    assert spark([0.0, 0.01], floor=0.1, length=2) == "▁▁"
    assert spark([1, 9, 1, 1], length=2) == "█▁"
    assert spark([], length=3) == "   "
