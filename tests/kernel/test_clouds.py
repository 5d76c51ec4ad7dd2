"""Clouds that run BIRD 2 and BIRD 3, with all that they may offer: a 4-byte AS, add-path, extended messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from tests.lab.clouds import BirdCloud
from tests.lab.frr import lacks
from tests.lab.netns import leave_on_signals
from tests.lab.other_frr import BIRD_3
from tests.lab.paths import BACKUP, PRIMARY, Paths, order_of
from tests.lab.wait import until

pytestmark = [pytest.mark.native, pytest.mark.frr]

CLOUD_ASN = 4_200_000_001
CUSTOMER, LAN = "10.255.101.2", "192.0.2.0/24"
PASSWORD = "Kaiserlei-101"
BFD = "bfd: {interval: 300ms, multiplier: 3}"


@pytest.fixture(scope="module", params=["bird", "bird3"])
def paths(request: pytest.FixtureRequest) -> Iterator[Paths]:
    """Two paths to such a cloud; the daemon does not run yet."""
    leave_on_signals()
    program: Literal["bird", "bird3"] = request.param
    if program == "bird3" and not BIRD_3.exists():
        lacks("BIRD 3, which comes with a later Debian")
    with Paths(program, asn=CLOUD_ASN) as made:
        made.edge.credential("prod", PASSWORD)
        yield made


@pytest.fixture(params=["plain", "MD5", "BFD", "MD5 and BFD"])
def up(request: pytest.FixtureRequest, paths: Paths) -> Paths:
    """Both paths up, with what the test asks for at both ends."""
    password, bfd = "MD5" in request.param, "BFD" in request.param
    for name in (PRIMARY, BACKUP):
        paths.cloud.change(name, password=PASSWORD if password else None, bfd=bfd, offers_more=True, prefix_cap=None)
    bgp = ", ".join([*(["password: {credential: prod}"] if password else []), BFD if bfd else "bfd: false"])
    text = order_of({PRIMARY: "primary", BACKUP: "backup"}, dict.fromkeys((PRIMARY, BACKUP), f"bgp: {{{bgp}}}"))
    paths.edge.order.write_text(text.replace("asn: 64512", f"asn: {CLOUD_ASN}"))
    if paths.edge.running:
        assert paths.edge.dcedge("apply").status == 0
    else:
        paths.edge.start_daemon()
    paths.wait_up(PRIMARY, BACKUP)
    return paths


def wait_down(paths: Paths, why: str) -> None:
    """Wait until the primary is said to be down for this reason, and not for another one."""
    until(
        f"{why} to be said",
        lambda: paths.edge.virtual_interfaces()[PRIMARY],
        accept=lambda vi: vi["verdict"] == "down" and why in vi["reason"],
    )


def test_prefixes_pass_both_ways_and_a_drain_is_heeded(up: Paths) -> None:
    up.cloud.wait_route(CUSTOMER, LAN)
    seen = up.edge.virtual_interfaces()[PRIMARY]["bgp"]
    assert [session["prefixes"]["accepted"] for session in seen] == [1, 1]
    drained = up.edge.dcedge("drain", PRIMARY)
    assert drained.status == 0, drained.said
    until("the backup to be used", up.used, accept=lambda used: used == {BACKUP})
    assert up.edge.dcedge("undrain", PRIMARY).status == 0
    up.wait_up(PRIMARY, BACKUP)


def test_what_the_cloud_says_is_told_as_it_says_it(up: Paths) -> None:
    assert isinstance(up.cloud, BirdCloud)
    up.cloud.shut(PRIMARY, "Wartung bis fünf")
    wait_down(up, "Wartung bis fünf")
    up.cloud.open(PRIMARY)
    up.wait_up(PRIMARY, BACKUP)
    up.cloud.change(PRIMARY, prefix_cap=0)
    wait_down(up, "we announce more prefixes than the cloud accepts")
    up.cloud.change(PRIMARY, prefix_cap=None)
    up.wait_up(PRIMARY, BACKUP)
