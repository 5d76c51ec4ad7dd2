"""A long list of accepted prefixes comes and goes beside sessions with BFD, and nobody notices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from tests.lab.netns import leave_on_signals
from tests.lab.paths import BACKUP, PRIMARY, Paths, order_of
from tests.lab.wait import until

pytestmark = [pytest.mark.native, pytest.mark.frr]

FEW, MANY = 300, 2000
PEERS = {"10.255.101.1", "10.255.102.1", "2001:db8:101::1", "2001:db8:102::1"}
CHANGE_SECONDS = 120


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    leave_on_signals()
    with Paths("bird") as made:
        made.order()
        made.wait_up(PRIMARY, BACKUP)
        yield made


def order_with(count: int) -> str:
    """The order, with so many accepted prefixes of which the cloud announces two."""
    text = order_of({PRIMARY: "primary", BACKUP: "backup"}, {})
    more = (f"172.{16 + n // 256}.{n % 256}.0/24" for n in range(16 * 256))
    return text.replace("accept: [", f"accept: [{', '.join(islice(more, count - 2))}, ")


def lost(paths: Paths) -> dict[str, tuple[int, int]]:
    """How often each session was lost so far: BGP's, and BFD's."""
    frr = paths.edge.frr
    bgp = {
        peer: facts["connectionsDropped"]
        for family in frr.json("show bgp vrf all summary json")["default"].values()
        for peer, facts in family["peers"].items()
    }
    bfd = {peer["peer"]: peer["session-down"] for peer in frr.json("show bfd peers counters json")}
    return {peer: (bgp[peer], bfd[peer]) for peer in sorted(PEERS)}


def entries(paths: Paths) -> int:
    """How many prefixes bgpd accepts by name."""
    running = paths.edge.frr.vtysh("show running-config")
    return sum(
        " permit " in line and line.startswith("ip prefix-list dcedge-prod-v4-in ") for line in running.splitlines()
    )


def test_many_more_accepted_prefixes_cost_no_session_and_no_packet(paths: Paths) -> None:
    paths.edge.order.write_text(order_with(FEW))
    done = paths.edge.dcedge("apply", timeout=CHANGE_SECONDS)
    assert done.status == 0, done.said
    before = lost(paths)
    with paths.streams() as streams:
        for count in (MANY, FEW):
            paths.edge.order.write_text(order_with(count))
            planned = paths.edge.dcedge("plan", "--json", timeout=CHANGE_SECONDS).json()
            in_frr = {o["disruption"] for o in planned["operations"] if o["kind"].startswith("bgp-")}
            assert in_frr == {"none"}
            done = paths.edge.dcedge("apply", timeout=CHANGE_SECONDS)
            assert done.status == 0, done.said
            assert entries(paths) == count - 1  # the other one is IPv6
            until("the session to be as before", lambda: lost(paths), accept=lambda seen: seen == before)
    assert {way: stream.missing for way, stream in streams.items() if stream.lost} == {}
    assert all(stream.received > 1000 for stream in streams.values())
    assert lost(paths) == before


def test_no_other_daemon_is_given_the_list(paths: Paths) -> None:
    for daemon in ("zebra", "bfdd"):
        assert "172.16.0.0/24" not in paths.edge.frr.ask(daemon, "show running-config")
