"""A failed primary is left for the backup, and a drain loses nothing: streams of 1,000 packets/s each way tell.

How long a failure lasts to a millisecond is the benchmark's to say.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab.netns import leave_on_signals
from tests.lab.paths import BACKUP, DETECTION_SECONDS, PRIMARY, Paths, Streams
from tests.lab.wait import until

pytestmark = pytest.mark.native

UNNOTICED_BY_BGP_SECONDS = 20.0  # long before BGP alone notices, whose hold time is 90 s
STATIC = 'static: [10.20.0.0/16, "2001:db8:20::/48"]'


@pytest.fixture(scope="module")
def bird() -> Iterator[Paths]:
    leave_on_signals()
    with Paths("bird") as made:
        made.order()
        yield made


@pytest.fixture(scope="module")
def frr() -> Iterator[Paths]:
    leave_on_signals()
    with Paths("frr") as made:
        made.order()
        yield made


@pytest.fixture
def paths(request: pytest.FixtureRequest) -> Paths:
    """Both paths up and sound, the primary in use both ways; the cloud that the test asks for."""
    made: Paths = request.getfixturevalue(request.param)
    made.wait_up(PRIMARY, BACKUP)
    return made


with_bird = pytest.mark.parametrize("paths", ["bird"], indirect=True)
with_either = pytest.mark.parametrize("paths", ["bird", "frr"], indirect=True)


def losses(streams: Streams) -> dict[str, list[tuple[int, int]]]:
    """Which packets were lost, by stream; none are in it that lost none."""
    assert all(stream.received > 500 for stream in streams.values()), streams
    return {way: stream.missing for way, stream in streams.items() if stream.lost}


@with_either
def test_a_silent_primary_is_left_when_bfd_has_noticed(paths: Paths) -> None:
    lost = paths.outage(paths.spans[PRIMARY].silence, paths.spans[PRIMARY].speak)
    assert max(lost.values()) < UNNOTICED_BY_BGP_SECONDS, lost
    assert min(lost.values()) > DETECTION_SECONDS / 2, "the failure was none"


@with_bird
@pytest.mark.parametrize("silenced", ["IPv4 to the cloud", "IPv4 to the customer"])
def test_one_direction_that_falls_silent_takes_both_to_the_backup(paths: Paths, silenced: str) -> None:
    fibre, out = paths.spans[PRIMARY], silenced.endswith("cloud")
    with paths.streams() as streams:
        fibre.silence(to_cloud=out, to_customer=not out)
        until("the backup to be used both ways", paths.used, accept=lambda used: used == {BACKUP})
        time.sleep(0.1)  # the first packets over it arrive
    fibre.speak()
    assert DETECTION_SECONDS / 2 < streams[silenced].longest_silence < UNNOTICED_BY_BGP_SECONDS
    # By the clock, a receiver that had to wait for a processor stands still too.
    (sound,) = (stream for way, stream in streams.items() if way != silenced)
    holes = [last - first + 1 for first, last in sound.missing]
    assert max(holes, default=0) < 1000 * DETECTION_SECONDS / 2, "the sound direction stood still too"


@with_either
def test_a_cut_primary_is_left_and_taken_up_again_without_loss(paths: Paths) -> None:
    lost = paths.outage(paths.spans[PRIMARY].cut, lambda: None)
    assert max(lost.values()) < UNNOTICED_BY_BGP_SECONDS, lost
    with paths.streams() as streams:
        paths.spans[PRIMARY].splice()
        paths.wait_up(PRIMARY, BACKUP)
        time.sleep(0.1)
    assert losses(streams) == {}


@with_either
def test_a_drain_and_its_end_lose_nothing_and_the_operator_is_told(paths: Paths) -> None:
    edge = paths.edge
    with paths.streams(4, 6) as streams:
        drained = edge.dcedge("drain", PRIMARY)
        used = paths.used()
        seen = edge.virtual_interfaces()[PRIMARY]
        undrained = edge.dcedge("undrain", PRIMARY)
        paths.wait_up(PRIMARY, BACKUP)
        time.sleep(0.1)
    assert losses(streams) == {}
    assert drained.status == 0, drained.said
    assert drained.stdout.splitlines()[-1] == "Traffic has left."
    assert used == {BACKUP}
    assert (seen["verdict"], seen["reason"]) == ("drained", "drained by an operator")
    assert undrained.status == 0, undrained.said
    assert undrained.stdout == f"In use again: {PRIMARY}.\n"


@with_bird
def test_a_drain_that_cannot_be_is_refused_in_words(paths: Paths) -> None:
    edge = paths.edge
    last = edge.dcedge("drain", "--all-but", PRIMARY)
    assert last.status == 0, last.said
    refused = edge.dcedge("drain", PRIMARY)
    assert refused.status == 1
    assert "prod would be left without a path that carries IPv4 and IPv6" in refused.stderr
    both = edge.dcedge("drain", "fra-3", "prod-aa")
    assert both.status == 1
    assert "'fra-3'; did you mean 'fra-" in both.stderr
    assert "'prod-aa'; did you mean 'prod-a'?" in both.stderr
    forced = edge.dcedge("drain", PRIMARY, "--force", "--wait", "1s")
    assert f"Drained: {PRIMARY}." in forced.stdout
    again = edge.dcedge("undrain", PRIMARY, BACKUP)
    assert again.status == 0, again.said
    assert "Not drained before: prod-b." in edge.dcedge("undrain", BACKUP).stdout


@with_bird
def test_of_two_drains_at_once_the_second_sees_the_first(paths: Paths) -> None:
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda name: paths.edge.dcedge("drain", name), (PRIMARY, BACKUP)))
    assert sorted(outcome.status for outcome in outcomes) == [0, 1], outcomes
    assert "without a path" in "".join(outcome.stderr for outcome in outcomes)
    assert paths.edge.dcedge("undrain", PRIMARY, BACKUP).status == 0


@with_bird
def test_a_drain_while_frr_is_away_is_not_called_done_and_outlives_the_daemon(paths: Paths) -> None:
    edge = paths.edge
    edge.frr.stop()
    drained = edge.dcedge("drain", "fra-1", "--force")
    assert drained.status == 1
    assert f"Not drained yet: {PRIMARY}. It is remembered" in drained.stderr
    assert "Drained:" not in drained.stdout
    assert edge.stop_daemon() == 0
    edge.frr.start()
    edge.start_daemon()
    edge.wait_up(BACKUP)
    paths.cloud.wait_established()
    until("the backup to be used both ways", paths.used, accept=lambda used: used == {BACKUP})
    planned = edge.dcedge("plan")
    assert planned.status == 0, planned.said
    assert f"drained: {PRIMARY}" in planned.stdout
    assert edge.dcedge("undrain", "fra-1").status == 0


@with_bird
def test_a_static_path_is_drained_without_loss_and_the_cloud_is_said_to_know_nothing(paths: Paths) -> None:
    edge, router = paths.edge, paths.cloud.router
    paths.order(more={PRIMARY: STATIC})
    try:
        until("the static path to be used", paths.used, accept=lambda used: PRIMARY in used)
        with paths.streams(4, 6) as streams:
            drained = edge.dcedge("drain", PRIMARY)
            used = paths.used()
            undrained = edge.dcedge("undrain", PRIMARY)
            until("the static path to be used again", paths.used, accept=lambda used: PRIMARY in used)
            time.sleep(0.1)
        assert losses(streams) == {}
        assert drained.status == undrained.status == 0, drained.said + undrained.said
        assert used == {BACKUP}
        router.ip("route add 192.0.2.0/24 via 10.255.101.2 metric 1")
        with paths.streams():
            drained = edge.dcedge("drain", PRIMARY, "--wait", "2s")
            seen = edge.virtual_interfaces()[PRIMARY]["reason"]
        assert drained.status == 1
        assert "prod-a is static: a drain cannot be announced" in drained.stderr
        assert "but still carries" in seen
        assert "cannot be announced" in seen
        router.ip("route del 192.0.2.0/24 via 10.255.101.2 metric 1")
        assert edge.dcedge("undrain", PRIMARY).status == 0
    finally:
        paths.order()


@with_bird
def test_a_static_path_that_is_cut_is_left(paths: Paths) -> None:
    paths.order(more={PRIMARY: STATIC, BACKUP: STATIC})
    try:
        until("the static path to be used", paths.used_by_edge, accept=lambda used: used == {PRIMARY})
        paths.cloud.router.ip("route add 192.0.2.0/24 via 10.255.102.2 metric 1")
        with paths.streams() as streams:
            paths.spans[PRIMARY].cut()
            until("the backup to be used", paths.used_by_edge, accept=lambda used: used == {BACKUP})
            time.sleep(0.1)
        assert streams["IPv4 to the cloud"].longest_silence < UNNOTICED_BY_BGP_SECONDS
        assert streams["IPv4 to the customer"].lost == 0
    finally:
        paths.cloud.router.run("ip", "route", "flush", "192.0.2.0/24", "metric", "1")
        paths.spans[PRIMARY].splice()
        paths.order()
