"""The status screen and its JSON, as an operator and a script read them."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from dcedge.api.status import status_chunks, status_json
from dcedge.cli.print_status import print_status
from dcedge.kernel.port.ethtool import LinkMode
from dcedge.kernel.port.optics import Lane, Optics
from dcedge.monitor.health.verdict import Verdict
from dcedge.monitor.snapshot import FrrSnapshot, OrderSnapshot, PassSnapshot, Snapshot
from tests.unit.expose.scene import TAKEN, down, session, snapshot, up


def screen(shown: Snapshot, width: int = 200, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, force_terminal=colour)
    print_status(console, status_json(shown))
    return out.getvalue()


def row(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_what_is_down_is_seen_before_anything_else_with_its_reason() -> None:
    lines = screen(snapshot()).splitlines()
    assert lines[0].startswith("edge-1  AS 65010")
    trouble = next(line for line in lines[1:] if line.strip())
    assert trouble.split()[:2] == ["down", "prod-b"]
    assert "the cloud does not answer on TCP 179" in trouble


def test_a_row_tells_rate_round_trip_loss_and_sessions() -> None:
    text = screen(snapshot())
    for part in ("up", "500M", "480M", "120M", "2.00 ms", "0%", "Established 2h00m", "BFD up", "3/2"):
        assert part in row(text, "prod-a"), part
    assert "100%" in row(text, "prod-b")


def test_who_is_full_is_told_how_long() -> None:
    assert "prod-a was saturated for 12 s of the last minute" in screen(snapshot())


def test_a_dual_stack_virtual_interface_has_a_line_for_each_family() -> None:
    lines = screen(snapshot(up())).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("prod-a"))
    assert "Established" in lines[at + 1]


def test_the_last_line_says_that_all_is_as_ordered() -> None:
    assert screen(snapshot(up())).splitlines()[-1] == "everything as ordered"


def test_a_planned_virtual_interface_raises_no_complaint() -> None:
    text = screen(snapshot(up(), down()._replace(admin="planned")))
    assert text.splitlines()[-1] == "everything as ordered (1 planned)"


def test_the_last_line_says_what_is_not_as_ordered() -> None:
    shown = snapshot(
        frr=FrrSnapshot(available=False, detail="no bgpd.vty in /run/frr"),
        order=OrderSnapshot("/etc/dcedge/order.yaml", TAKEN, True, ("order.yaml:3:5: routr: unknown key",)),
        passes=PassSnapshot(TAKEN, 0.1, failing=("create shaper eth1.101: No such file or directory",)),
    )
    text = screen(shown)
    assert "FRR does not answer: no bgpd.vty in /run/frr" in text
    assert "order.yaml:3:5: routr: unknown key" in text
    assert "create shaper eth1.101: No such file or directory" in text
    last = text.splitlines()[-1]
    for part in (
        "not as ordered",
        "was refused",
        "FRR does not answer",
        "1 operation pending",
        "1 virtual interface down",
    ):
        assert part in last


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    text = screen(snapshot(), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "prod-a" in text
    assert "prod-b" in text


def test_colour_is_for_terminals_only() -> None:
    assert "\x1b[" not in screen(snapshot())
    assert "\x1b[" in screen(snapshot(), colour=True)


def test_a_peers_text_reaches_neither_terminal_nor_markup() -> None:
    hostile = "\x1b]0;owned\x07[bold red]not markup[/]\nnew line"
    vi = down()._replace(verdict=Verdict("down", hostile), sessions=(session(state=hostile),))
    text = screen(snapshot(vi))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold red]not markup[/]" in text


def test_a_router_without_anything_ordered_has_a_screen_too() -> None:
    empty = replace(snapshot(), connections=(), virtual_interfaces=())
    assert screen(empty).splitlines()[-1] == "everything as ordered"


def test_the_json_is_what_programs_rely_on() -> None:
    status = json.loads(json.dumps(status_json(snapshot())))
    assert set(status) == {"router", "frr", "connections", "virtual_interfaces", "stamp", "pass", "order"}
    a, b = status["virtual_interfaces"]
    assert (a["name"], a["connection"], a["virtual_gateway"], a["verdict"]) == ("prod-a", "fra-1", "prod", "up")
    assert (a["interface"], a["ordered_bps"]) == ("eth1.101", 500_000_000)
    assert a["bgp"][0]["state"] == "Established"
    assert a["bgp"][0]["uptime_seconds"] == 7200
    assert a["bgp"][0]["prefixes"] == {"received": 4, "accepted": 3, "advertised": 2}
    assert a["probe"]["rtt_seconds"] == pytest.approx(0.002)
    assert [probe["family"] for probe in a["probes"]] == ["ipv4", "ipv6"]
    assert (b["probe"]["rtt_seconds"], b["probe"]["sent"], b["probe"]["lost"]) == (None, 5, 5)
    assert status["pass"]["drift_repaired"] == {"address": 2, "link": 1}
    assert status["order"]["load_failed"] is False


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 120])
def test_the_status_sent_in_pieces_is_the_whole(count: int) -> None:
    shown = replace(snapshot(), virtual_interfaces=tuple(up(f"vi-{number}") for number in range(count)))
    assert json.loads(b"".join(status_chunks(shown))) == json.loads(json.dumps(status_json(shown)))


def test_a_connection_tells_its_speed_its_errors_and_its_light_where_a_transceiver_does() -> None:
    shown = snapshot()
    assert "LIGHT IN" not in screen(shown)
    optics = Optics("FINISAR", "FTLX1471", "ABC", (Lane(-15.2, -2.5),), -14.0, -10.2, ("receive power low",))
    first, *others = shown.connections
    lit = first._replace(mode=LinkMode(10_000, "full"), optics=(("eth1", optics),))
    text = screen(replace(shown, connections=(lit, *others)))
    assert "10G full  -15.2 dBm" in row(text, "fra-1")
    assert "3/0" in row(text, "fra-1")
    document = status_json(replace(shown, connections=(lit, *others)))["connections"][0]
    assert document["optics"][0]["receive_alarm_dbm"] == -14.0
    assert document["optics"][0]["alarms"] == ["receive power low"]
