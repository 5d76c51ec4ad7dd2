"""The support tarball: complete as far as the machine goes, and without any secret."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path

import pytest

from dcedge.cli import bundle
from dcedge.cli.bundle import redacted, write_bundle
from dcedge.errors import DcedgeError
from dcedge.logging.masking import hold
from dcedge.order.credentials import Secret, as_kept
from dcedge.order.model import Credential
from dcedge.reconcile.state.formats import Pending
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings

IN_ORDER, UNUSED, KEPT, IN_FRR = "Kaiserlei-101", 'Griesheim-"201"', "from-before-77", "Schwanheim-4711"
SAVED = "Fechenheim-88"
SECRETS = (IN_ORDER, UNUSED, KEPT, IN_FRR, SAVED, "Kelsterbach", "snmp, words", "written-there")
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
WRONG = """\
    pasword: 'x, written-there'
    secret: |
      written-there
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A router whose commands all tell secrets, FRR's among them."""
    tools = tmp_path / "tools"
    tools.mkdir()
    telling = "\n".join(
        (
            f"neighbor 10.255.101.1 password {IN_ORDER}",
            f"in a log: {UNUSED} and {KEPT} and {IN_FRR} and {SAVED}",
            f"in JSON: {json.dumps(UNUSED)}",
            f"% Unknown command: {IN_FRR[3:]}",
            " password Kelsterbach",
            '"community": "snmp, words"',
        )
    )
    (tmp_path / "telling").write_text(telling)
    monkeypatch.setattr(bundle, "FRR_FOLDER", tmp_path)
    (tmp_path / "dcedge-test-none").mkdir()
    (tmp_path / "dcedge-test-none" / "frr.conf").write_text(f"router bgp 1\n neighbor 10.8.8.8 password {SAVED}\n")
    (tmp_path / "running").write_text(f" neighbor 10.9.9.9 password {IN_FRR}\n")
    for name in {words[0] for words in bundle.COMMANDS.values()} | {"vtysh"}:
        shown = 'case "$*" in *running-config) cat running;; *) cat telling;; esac'
        (tools / name).write_text(f'#!/bin/sh\necho "$0 $*"\ncd {tmp_path}\n{shown}\n')
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
    made.order.write_text(f"# {IN_ORDER} and written-there must not be here\n{ORDER}{WRONG}")
    made.credentials.mkdir()
    for name, secret in (("prod-a", IN_ORDER), ("unused", UNUSED)):
        (made.credentials / name).touch(mode=0o600)
        (made.credentials / name).write_text(f"{secret}\n")
    store = Store(made.state_dir)
    store.orders.save_last_good(f"{ORDER}{WRONG}")
    store.orders.save_last_good(ORDER)
    store.pending_order.save(
        Pending.starting(ORDER, None, as_kept({Credential(credential="kept"): Secret(KEPT)}), 60.0)
    )
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
    assert {
        "about",
        "host",
        "order.yaml",
        "plan.json",
        "status.json",
        "kernel/links.json",
        "system/journal",
    } <= found.keys()
    assert "show running-config" in found["frr/running-config"]
    assert "virtual_interfaces:" in found["order.yaml"]
    assert "pasword: ***" in found["order.yaml"]
    assert "pasword: ***" in found["state/previous-order.yaml"]
    assert found["state/last-good-order.yaml"] == ORDER
    assert "password ***" in found["frr/running-config"]
    pieces = {piece for secret in SECRETS for piece in (secret, json.dumps(secret)[1:-1], secret[:5], secret[-5:])}
    told = {(member, piece) for member, text in found.items() for piece in pieces if piece in text}
    assert told == set()


def test_what_cannot_be_had_is_noted_in_its_place(settings: Settings, tmp_path: Path) -> None:
    found = contents(write_bundle(settings, tmp_path / "here.tar.gz"))
    assert found["status.json"].startswith("(not available: no daemon answers")
    assert found["kernel/qdiscs"].startswith(("(not available", "qdisc"))  # ours went, the system's may be there


def test_an_existing_file_is_not_overwritten(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "here.tar.gz").write_text("mine")
    with pytest.raises(DcedgeError, match="exists"):
        write_bundle(settings, tmp_path / "here.tar.gz")
    assert (tmp_path / "here.tar.gz").read_text() == "mine"


def test_a_file_elsewhere_is_not_reached_by_a_link_in_the_state_folder(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("root's own words")
    for name in ("history.jsonl", "previous-order.yaml"):
        (settings.state_dir / name).unlink(missing_ok=True)
        (settings.state_dir / name).symlink_to(tmp_path / "shadow")
    (settings.state_dir / "indices.json").hardlink_to(tmp_path / "shadow")
    found = contents(write_bundle(settings, tmp_path))
    assert found["state/history.jsonl"].startswith("(not available: ")
    assert not [member for member, text in found.items() if "root's own words" in text]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password: hunter2,", "password: ***,"),
        (" ip ospf message-digest-key 1 md5 hunter2", " ip ospf message-digest-key 1 md5 ***"),
        ("bgp: {password: {credential: prod-a}}", "bgp: {password: {credential: prod-a}}"),
        ("the key is abcd1234 here", "the key is *** here"),
        ("Unknown command: d1234", "Unknown command: ***"),
        ("bgp:\n  password:\n    credential: prod-a", "bgp:\n  password:\n    credential: prod-a"),
        ('{"secret": "a, \\"b", "x": 1}', '{"secret": "***", "x": 1}'),
        ("key='it''s, all'; x", "key='***'; x"),
        ('"key-string" : "hush"', '"key-string" : "***"'),
    ],
)
def test_redaction(text: str, left: str) -> None:
    held = hold("abcd1234")
    assert redacted(text) == left
    assert held.value == "abcd1234"
