"""What goes into a ticket, onto the screen and to programs."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

from rich.console import Console

from dcedge.explain.evidence import Capture, DaemonSays, Evidence, PathCheck, TaggedSender
from dcedge.explain.report import explanation_json, print_explanation, ticket
from dcedge.explain.walk import explain
from tests.unit.explain.scene import ACTIVE, NOW, PEER, SILENT, WELL

WRONG_VLAN = replace(
    WELL,
    facts=replace(WELL.facts, link=replace(WELL.facts.link, silent=4.0), sessions=(ACTIVE,), probes=(SILENT,)),
    paths=(PathCheck(PEER, 4, 0, neighbour=False),),
    capture=Capture(4, strangers=(TaggedSender((111,), "00:1b:21:aa:bb:cc", PEER),)),
    daemon=DaemonSays("down", "no frame is received", "frames", "cloud", NOW - 3600, 64, 64, 2),
)


def screen(evidence: Evidence) -> str:
    output = StringIO()
    print_explanation(Console(file=output, width=120), evidence, explain(evidence))
    return output.getvalue()


def test_a_ticket_has_all_that_the_provider_asks_for() -> None:
    text = ticket(WRONG_VLAN, explain(WRONG_VLAN))
    for part in (
        "Circuit: DTAG-4711, Frankfurt A, Open Telekom Cloud Direct Connect",
        "Virtual interface: prod-a, VLAN 101, 50Mbit/s, MTU 1500",
        "Addresses: customer 10.255.101.2/30 AS 65010, cloud 10.255.101.1 AS 64512",
        "Since: 2023-11-14 21:13:20 UTC (down)",
        f"Fault: ordered VLAN 101, seeing VLAN 111 from 00:1b:21:aa:bb:cc ({PEER})",
        "Faulty side as seen from here: the cloud",
        "- carrier: carrier, 1G, full duplex",
        "Please: Set this virtual interface to VLAN 101 on your side",
    ):
        assert part in text


def test_the_screen_shows_the_walk_the_fault_and_the_ticket() -> None:
    text = screen(WRONG_VLAN)
    assert "failed   tagged frames" in text
    assert "skipped  ARP and ND" in text
    assert "not reached" in text
    assert "Next, for the provider: Set this virtual interface to VLAN 101" in text
    assert "For a ticket to the provider:" in text


def test_what_is_this_routers_own_fault_is_no_ticket_to_the_provider() -> None:
    shut = replace(WELL, facts=replace(WELL.facts, port=replace(WELL.facts.port, admin_up=False)))
    assert "For a ticket" not in screen(shut)


def test_health_is_one_line_and_an_empty_ticket() -> None:
    assert "Nothing is wrong." in screen(WELL)
    told = explanation_json(WELL, explain(WELL))
    assert (told["finding"], told["ticket"]) == (None, "")


def test_programs_get_it_all_and_what_a_peer_said_is_escaped() -> None:
    evil = replace(ACTIVE, last_reset="BGP Notification received: Cease/Administrative Shutdown \x1b[2J\nprod-b up")
    told = explanation_json(
        replace(WELL, facts=replace(WELL.facts, sessions=(evil,))),
        explain(replace(WELL, facts=replace(WELL.facts, sessions=(evil,)))),
    )
    text = json.dumps(told)
    assert json.loads(text)["finding"]["layer"] == "open"
    assert "\\u001b" not in text
    assert "\x1b" not in told["ticket"]
    assert told["daemon"] == {
        "verdict": "up",
        "reason": "as ordered",
        "layer": "none",
        "side": "unknown",
        "since": NOW - 3600,
    }


def test_what_could_not_be_seen_is_said() -> None:
    assert "not checked: the daemon is not running" in screen(
        replace(WELL, daemon=None, unseen=("the daemon is not running: no history, no loss over time",))
    )
