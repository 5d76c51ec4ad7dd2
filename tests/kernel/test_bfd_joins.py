"""A session with BFD comes up whatever FRR makes of a BFD that is down, and comes back with the agent stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.netns import leave_on_signals
from tests.lab.paths import BACKUP, PRIMARY, Paths
from tests.lab.wait import until

pytestmark = [pytest.mark.native, pytest.mark.frr]

PEERS = ("10.255.101.1", "2001:db8:101::1")


@pytest.fixture(scope="module")
def made() -> Iterator[Paths]:
    leave_on_signals()
    with Paths("bird") as paths:
        yield paths


@pytest.fixture
def paths(made: Paths) -> Paths:
    """Both paths up, BFD at both ends."""
    made.cloud.change(PRIMARY, bfd=True)
    made.order()
    made.wait_up(PRIMARY, BACKUP)
    wait_for_bfd(made, "up")
    return made


def bfd_states(paths: Paths) -> dict[str, str]:
    """The BFD sessions of the primary's neighbours, as bfdd has them."""
    found = paths.edge.frr.json("show bfd peers json")
    return {peer["peer"]: peer["status"] for peer in found if peer["peer"] in PEERS}


def wait_for_bfd(paths: Paths, state: str) -> None:
    """Wait until both of the primary's BFD sessions are there and `state`."""
    until(f"BFD to be {state}", lambda: bfd_states(paths), accept=lambda seen: seen == dict.fromkeys(PEERS, state))


def wait_established(paths: Paths) -> None:
    """Wait until both of the primary's BGP sessions are up, without asking the agent."""
    paths.edge.frr.wait_established(*PEERS)


def wait_degraded(paths: Paths) -> None:
    """Wait until the primary is in use and only its BFD is found fault with."""
    wait_established(paths)
    until(
        "BFD alone to be down",
        lambda: paths.edge.virtual_interfaces()[PRIMARY],
        accept=lambda vi: vi["verdict"] == "degraded" and "is down while BGP is up" in vi["reason"],
    )


def test_a_cloud_that_has_no_bfd_is_reached_all_the_same(made: Paths) -> None:
    made.cloud.change(PRIMARY, bfd=False)
    made.order()
    wait_established(made)
    wait_for_bfd(made, "down")  # it has joined, and is no reason to lose the session
    wait_degraded(made)
    # A cloud that begins BFD when BGP is up.
    made.cloud.change(PRIMARY, bfd=True)
    wait_for_bfd(made, "up")
    made.wait_up(PRIMARY, BACKUP)


def test_a_session_that_is_lost_while_the_cloud_has_no_bfd_comes_back(paths: Paths) -> None:
    paths.cloud.change(PRIMARY, bfd=False)
    wait_degraded(paths)
    paths.edge.frr.vtysh("clear bgp 10.255.101.1")
    until(
        "BGP to be lost and up again",
        lambda: paths.edge.frr.json(f"show bgp neighbors {PEERS[0]} json")[PEERS[0]],
        accept=lambda seen: seen["bgpState"] == "Established" and seen["bgpTimerUpMsec"] < 20_000,
    )
    wait_degraded(paths)


def test_with_the_agent_stopped_a_cut_line_comes_back(paths: Paths) -> None:
    assert paths.edge.stop_daemon() == 0
    paths.spans[PRIMARY].cut()
    wait_for_bfd(paths, "down")
    paths.spans[PRIMARY].splice()
    wait_established(paths)
    wait_for_bfd(paths, "up")


def test_with_the_agent_stopped_a_restarted_frr_comes_back(paths: Paths) -> None:
    until("our part to be saved", lambda: paths.edge.frr.saved, accept=lambda text: all(peer in text for peer in PEERS))
    assert paths.edge.stop_daemon() == 0
    paths.edge.frr.kill()
    paths.edge.frr.boot()
    wait_established(paths)
    wait_for_bfd(paths, "up")
