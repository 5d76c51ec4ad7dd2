"""`dcedge measure` against a cloud whose policer is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from tests.lab.netns import Workspace, received
from tests.lab.policed import HOST, POLICED_BPS, PolicedLine, found
from tests.lab.wait import until

VOLUME = 3_000_000


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicedLine]:
    with Workspace() as work:
        yield PolicedLine(work, tmp_path_factory.mktemp("measure"))


def test_the_policer_is_found_with_consent_and_within_the_volume(line: PolicedLine) -> None:
    token = line.consent(600)
    words = ("measure", "prod-a", "--to", HOST, "--volume", "3M")
    before = received(line.trunk)
    for refused in ((*words, "--token", token), (*words, "--yes"), (*words, "--token", "00" * 8, "--yes")):
        assert line.run(*refused).returncode == 1
    assert received(line.trunk).bytes - before.bytes < 10_000, "something was sent without --yes or consent"
    before = received(line.trunk)
    done = line.run(*words, "--token", token, "--yes", "--json")
    sent = received(line.trunk)
    assert sent.bytes - before.bytes < VOLUME * 1.01

    def measured() -> Sequence[float]:
        again = line.run(*words, "--token", token, "--yes", "--json")
        assert again.returncode == 0, again.stdout + again.stderr
        return found(again.stdout) if json.loads(again.stdout)["policer"] else (0.0, 0.0)

    assert done.returncode == 0, done.stdout + done.stderr
    # A sender that other tests hold up loses of the burst what the bucket gets back meanwhile: all of it in 8 ms.
    rate_bps, _ = until("a sender that nobody holds up", measured, 90, accept=lambda seen: 10_000 < seen[1] < 23_000)
    assert rate_bps == pytest.approx(POLICED_BPS, rel=0.02)
    assert "less than what is ordered" in line.run(*words, "--token", token, "--yes").stdout
