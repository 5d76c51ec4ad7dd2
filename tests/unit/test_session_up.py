"""Whether a session is up is decided once: status, the page, `top` and the metrics say what the verdict rests on."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from dcedge.api.detail import detail_json
from dcedge.api.overview import Wanted, overview_json
from dcedge.api.status import status_json
from dcedge.cli.print_detail import print_detail
from dcedge.cli.print_status import print_status
from dcedge.cli.top import frame
from dcedge.monitor.snapshot import FrrSnapshot, OrderSnapshot, PassSnapshot, Snapshot
from dcedge.monitor.status_collector import Sample, StatusCollector
from dcedge.reconcile.result import PassResult
from tests.unit.bgp.orders import pair, vi
from tests.unit.expose.scene import rendered
from tests.unit.fake.router import FakeRouter
from tests.unit.passes.orders import order
from tests.unit.test_status_collector import counters, session

ORDER = order({"a": vi(1)})
RED = "\x1b[31m"
REFUSED = "BGP Notification received: OPEN Message Error/Bad Peer AS"


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PassResult:
    """Of a pass that did all that was ordered."""
    return FakeRouter(tmp_path, monkeypatch).run(ORDER)


def established(result: PassResult, seconds: float, last_reset: str | None) -> tuple[StatusCollector, Snapshot]:
    """What is seen of a session that came up so long ago."""
    picture = StatusCollector()
    ((place, state),) = session(3).items()
    up = replace(state, last_reset=last_reset, uptime=seconds)
    for at, found in ((0.0, replace(up, state="Active", uptime=None)), (1.0, up), (1.0 + seconds, up)):
        picture.update(ORDER, result, Sample(at, counters(0), {place: found}, ""), {}, frozenset())
    frr, passes, file = FrrSnapshot(available=True, detail=""), PassSnapshot(), OrderSnapshot("order.yaml")
    return picture, picture.snapshot(ORDER, frr, passes, file, None)


class Views(NamedTuple):
    """What each view says of the only session."""

    metric: float
    status: str
    detail: str
    top: str
    page: tuple[int, bool]  # how many are up, at a glance; whether this one is, looked at closely


def views(shown: Snapshot) -> Views:
    hour = StatusCollector().hour
    families = text_string_to_metric_families(rendered(shown).decode())
    (metric,) = (s.value for family in families for s in family.samples if s.name == "dcedge_bgp_session_up")
    seen, detail = overview_json(shown, hour, Wanted()), detail_json(shown, "a", hour, ())
    assert detail is not None
    return Views(
        metric,
        line(lambda console: print_status(console, status_json(shown)), "a ", "Established"),
        line(lambda console: print_detail(console, detail), "  state", "Established"),
        line(lambda console: console.print(frame(seen, Wanted(), 200)), "a ", "/1"),
        (seen["virtual_interfaces"][0]["sessions_up"], detail["virtual_interface"]["bgp"][0]["up"]),
    )


def line(show: Callable[[Console], None], start: str, part: str, *, colour: bool = False) -> str:
    """The line of a screen that begins so and has this in it."""
    out = io.StringIO()
    show(Console(file=out, width=200, highlight=False, color_system="standard" if colour else None))
    return next(line for line in out.getvalue().splitlines() if line.startswith(start) and part in line)


@pytest.mark.parametrize(("seconds", "last_reset"), [(60.0, REFUSED), (1.0, None)], ids=["stands", "never refused"])
def test_a_session_that_is_up_is_so_in_every_view(result: PassResult, seconds: float, last_reset: str | None) -> None:
    picture, shown = established(result, seconds, last_reset)
    (a,) = shown.virtual_interfaces
    assert a.verdict.state == "up"
    assert picture.carrying(ORDER) == {"a": frozenset({"ipv4"})}
    seen = views(shown)
    assert (seen.metric, seen.page) == (1, (1, True))
    assert " 1/1 " in seen.top
    assert "not stable" not in seen.status + seen.detail
    assert "3/1" in seen.status, "its prefixes"


def test_a_session_between_two_refusals_is_up_in_none(result: PassResult) -> None:
    picture, shown = established(result, 1.0, REFUSED)
    (a,) = shown.virtual_interfaces
    assert (a.verdict.state, a.sessions[0].state) == ("down", "Established")
    assert picture.carrying(ORDER) == {}
    seen = views(shown)
    assert (seen.metric, seen.page) == (0, (0, False))
    assert " 0/1 " in seen.top
    assert "Established 1 s, not stable" in seen.status
    assert "3/1" not in seen.status
    assert "Established for 1 s, not stable" in seen.detail
    coloured = line(lambda console: print_status(console, status_json(shown)), "", "not stable", colour=True)
    assert f"{RED}Established" in coloured


def test_of_two_sessions_the_one_that_stands_carries_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = order({"a": vi(1, addresses=(pair(1), pair(1, 6)))})
    result, picture = FakeRouter(tmp_path, monkeypatch).run(both), StatusCollector()
    ((place, four),) = session(3).items()
    ((_, six),) = session(3, "ipv6").items()
    six = replace(six, peer=ip_address("2001:db8:1::1"), last_reset=REFUSED)
    for at in (0.0, 1.0):
        found = {place: four, (six.vrf, str(six.peer)): six}
        picture.update(both, result, Sample(at, counters(0), found, ""), {}, frozenset())
    (a,) = picture._interfaces
    assert [(s.family, s.state, s.up) for s in a.sessions] == [
        ("ipv4", "Established", True),
        ("ipv6", "Established", False),
    ]
    assert picture.carrying(both) == {"a": frozenset({"ipv4"})}
