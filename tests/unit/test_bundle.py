"""The support tarball: complete as far as the machine goes, and without any secret."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest

from dcedge import bundle
from dcedge.bundle import redacted, write_bundle
from dcedge.errors import DcedgeError
from dcedge.settings import Settings
from dcedge.store import Pending, Store

SECRETS = ("Kaiserlei-101", 'Griesheim-"201"', "from-before-77", "vty-secret", "snmp-words")
ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections:
  fra-1: {provider: otc, port: eth1, bandwidth: 1G}
virtual_gateways:
  prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 101
    bandwidth: 50M
    addresses: [{customer: 10.255.101.2/30, cloud: 10.255.101.1}]
    bgp: {password: {credential: prod-a}}
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A router whose commands all tell secrets, FRR's among them."""
    tools = tmp_path / "tools"
    tools.mkdir()
    telling = "\n".join(
        (
            f"neighbor 10.255.101.1 password {SECRETS[0]}",
            f"in a log: {SECRETS[1]} and {SECRETS[2]}",
            f" password {SECRETS[3]}",
            f'"community": "{SECRETS[4]}"',
        )
    )
    (tmp_path / "telling").write_text(telling)
    for name in {words[0] for words in bundle.COMMANDS.values()} | {"vtysh"}:
        (tools / name).write_text(f'#!/bin/sh\necho "$0 $*"\ncat {tmp_path}/telling\n')
        (tools / name).chmod(0o755)
    (tools / "tc").unlink()
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    made = Settings(
        order=tmp_path / "order.yaml",
        credentials=tmp_path / "credentials",
        socket=tmp_path / "no.sock",
        state_dir=tmp_path / "state",
        frr_pathspace="dcedge-test-none",
    )
    made.order.write_text(f"# {SECRETS[0]} must not be here\n{ORDER}")
    made.credentials.mkdir()
    for name, secret in (("prod-a", SECRETS[0]), ("unused", SECRETS[1])):
        (made.credentials / name).touch(mode=0o600)
        (made.credentials / name).write_text(f"{secret}\n")
    store = Store(made.state_dir)
    store.save_last_good_order(ORDER)
    store.save_pending(Pending.starting(ORDER, None, {"{}": SECRETS[2]}, 60.0))
    return made


def contents(path: Path) -> dict[str, str]:
    with tarfile.open(path) as tar:
        return {
            member.name.partition("/")[2]: file.read().decode()
            for member in tar.getmembers()
            if (file := tar.extractfile(member)) is not None
        }


def test_it_has_all_and_no_secret(settings: Settings, tmp_path: Path) -> None:
    path = write_bundle(settings, tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = contents(path)
    assert {"about", "order.yaml", "plan.json", "status.json", "kernel/links.json", "system/journal"} <= found.keys()
    assert "show running-config" in found["frr/running-config"]
    assert "virtual_interfaces:" in found["order.yaml"]
    assert "password ***" in found["frr/running-config"]
    told = {(member, secret) for member, text in found.items() for secret in SECRETS if secret in text}
    assert told == set()


def test_what_cannot_be_had_is_noted_in_its_place(settings: Settings, tmp_path: Path) -> None:
    found = contents(write_bundle(settings, tmp_path / "here.tar.gz"))
    assert found["status.json"].startswith("(not to be had: no daemon answers")
    assert found["kernel/qdiscs"].startswith(("(not to be had", "qdisc"))  # ours went, the system's may be there


def test_an_existing_file_is_not_overwritten(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "here.tar.gz").write_text("mine")
    with pytest.raises(DcedgeError, match="exists"):
        write_bundle(settings, tmp_path / "here.tar.gz")
    assert (tmp_path / "here.tar.gz").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password: hunter2,", "password: ***,"),
        (" ip ospf message-digest-key 1 md5 hunter2", " ip ospf message-digest-key 1 md5 ***"),
        ("bgp: {password: {credential: prod-a}}", "bgp: {password: {credential: prod-a}}"),
        ("the key is abcd1234 here", "the key is *** here"),
    ],
)
def test_redaction(text: str, left: str) -> None:
    assert redacted(text, {"abcd1234"}) == left
