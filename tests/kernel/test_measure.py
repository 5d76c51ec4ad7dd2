"""`dcedge measure` against a cloud whose policer is known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.netns import Workspace, received
from tests.lab.policed import HOST, POLICED_BPS, PolicedLine, found

VOLUME = 3_000_000


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicedLine]:
    with Workspace() as work:
        yield PolicedLine(work, tmp_path_factory.mktemp("measure"))


def test_the_policer_is_found_with_consent_and_within_the_volume(line: PolicedLine) -> None:
    token = line.consent(60)
    words = ("measure", "prod-a", "--to", HOST, "--volume", "3M")
    before = received(line.trunk)
    for refused in ((*words, "--token", token), (*words, "--yes"), (*words, "--token", "00" * 8, "--yes")):
        assert line.run(*refused).returncode == 1
    assert received(line.trunk).bytes - before.bytes < 10_000, "something was sent without --yes or consent"
    before = received(line.trunk)
    done = line.run(*words, "--token", token, "--yes", "--json")
    sent = received(line.trunk)
    assert done.returncode == 0, done.stdout + done.stderr
    rate_bps, burst_bytes = found(done.stdout)
    assert rate_bps == pytest.approx(POLICED_BPS, rel=0.02)
    # A sender that other tests hold up loses of the burst what the bucket gets back meanwhile.
    assert 10_000 < burst_bytes < 23_000
    assert sent.bytes - before.bytes < VOLUME * 1.01
    assert "less than what is ordered" in line.run(*words, "--token", token, "--yes").stdout
