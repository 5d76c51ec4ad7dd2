"""Debian 12 becomes Debian 13 under a router that works. One story: each test goes on from the last.

`fetch-dist-upgrade` has installed the package for Debian 12 beforehand, and fetched what apt asks for here.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from tests.lab.netns import execute
from tests.lab.wait import until
from tests.system.router import DEPOT, EVERY, Router, journal, nothing_lost, order, show, systemctl

pytestmark = pytest.mark.timeout(2500)

PASSWORDS = {"prod-a": "Kaiserlei-101", "dev-a": "Griesheim-201"}
UPGRADE_SECONDS = 2400.0  # 5 min where the machine has nothing else to do
KEPT = ("/etc/dcedge/order.yaml", "/etc/dcedge/credentials/*", "/var/lib/dcedge/*.yaml", "/var/lib/dcedge/owned.json")


def kept() -> dict[str, str]:
    """What is the operator's and what the agent remembers: each file's mode, owner and contents."""
    found = {}
    for pattern in KEPT:
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            about = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path)] = f"{about.st_mode:o} {about.st_uid} {digest}"
    return found


def version() -> str:
    """Which version of the package is installed, and how."""
    return execute("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Version}", "dcedge").stdout


def test_a_router_on_debian_12_is_as_ordered(router: Router) -> None:
    assert re.fullmatch(r"ii  \S+~deb12", version())
    router.edge.order.write_text(order())
    for name, secret in PASSWORDS.items():
        router.edge.credential(name, secret)
    systemctl("start", "frr.service")
    systemctl("enable", "--now", "dcedge.service")
    router.wait_up(*EVERY[:3])
    router.edge.wait_up("depot-a")


def test_an_upgrade_of_debian_brings_the_package_for_it_and_no_packet_is_lost(router: Router) -> None:
    """FRR's own upgrade stops FRR for as long as apt has it unpacked; what rests on no session is to notice nothing."""
    before, process = kept(), show("MainPID")
    assert {"/etc/dcedge/credentials/dev-a", "/var/lib/dcedge/last-good-order.yaml"} <= before.keys()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    words = ("-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-unsafe-io")
    with nothing_lost(router, DEPOT, router.depot):
        said = execute("apt-get", "-q", "-y", *words, "full-upgrade", timeout=UPGRADE_SECONDS, environment=environment)
    assert re.fullmatch(r"ii  \S+~deb13", version()), said.stdout
    assert "Removing dcedge" not in said.stdout
    assert kept() == before
    assert show("MainPID") not in {"0", process}
    assert systemctl("is-enabled", "dcedge.service").stdout.strip() == "enabled"


def test_it_runs_on_the_new_python_and_all_is_up(router: Router) -> None:
    assert execute("python3", "--version").stdout.startswith("Python 3.13.")
    outcome = router.edge.dcedge("check")
    assert outcome.status == 0, outcome.said
    mapped = Path(f"/proc/{show('MainPID')}/maps").read_text()
    assert "python3.13" in mapped
    assert "python3.11" not in mapped
    router.edge.wait_up(*EVERY)
    until("nothing to be planned", lambda: router.edge.dcedge("plan"), accept=lambda outcome: outcome.status == 0)
    assert "Traceback" not in journal()
