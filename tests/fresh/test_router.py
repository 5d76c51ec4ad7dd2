"""The pages' commands on a router with the package on it, systemd as process 1 and clouds around it. One story."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fresh.hand import STANDS_FOR, Hand, Shell
from tests.fresh.pages import block_with
from tests.lab.bed import PASSWORDS
from tests.lab.netns import execute, leave_on_signals
from tests.lab.wait import until
from tests.system.router import Router, order

pytestmark = pytest.mark.timeout(240)

EVERY = ("prod-a", "prod-b", "dev-a", "depot-a")
INVALID, PENDING, NO_DAEMON = 3, 2, 4
BIND_SERVICE = 1 << 10  # CAP_NET_BIND_SERVICE (capability.h)


@pytest.fixture(scope="session")
def router() -> Iterator[Router]:
    leave_on_signals()
    with Router() as made:
        yield made


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that whoever types is in."""
    return tmp_path_factory.mktemp("desk")


@pytest.fixture
def hand(desk: Path, record: Path) -> Hand:
    return Hand(shell_in(desk), record)


def shell_in(folder: Path, *prefix: str) -> Shell:
    """A shell of root's, or of whomever the prefix makes it."""

    def run(line: str, answers: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        environment |= {"COLUMNS": "160", "SYSTEMD_PAGER": "cat", "MANPAGER": "cat"}
        words = [*prefix, "bash", "-c", line]
        return subprocess.run(
            words, input=answers, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=200
        )

    return run


def browser(address: str, _: str) -> subprocess.CompletedProcess[str]:
    """What opening an address shows."""
    with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310  the page's own address
        return subprocess.CompletedProcess([address], 0, answer.read().decode(), "")


def test_before_there_is_an_order_each_verb_says_what_is_missing(router: Router, hand: Hand) -> None:
    hand.types("dcedge check", status=INVALID, says=("order.yaml",))
    hand.types("dcedge status", status=NO_DAEMON)


def test_frr_gets_its_daemons(router: Router, hand: Hand) -> None:
    hand.types("systemctl restart frr")
    assert "bgpd" in execute("vtysh", "-c", "show daemons").stdout


def test_the_order_starts_from_a_sample_and_is_checked_whole(router: Router, hand: Hand) -> None:
    hand.types("cp /usr/share/doc/dcedge/examples/order-otc.yaml /etc/dcedge/order.yaml")
    hand.types("dcedge check", says=("good",))
    router.edge.order.write_text(order(dev_a={"vlan": 4095}))
    hand.types("dcedge check", status=INVALID, says=("4095 is not a VLAN ID",))
    router.edge.order.write_text(order())
    password = router.edge.credentials / "prod-a"
    password.unlink()  # the testbed's own; it has left the one of dev-a too
    hand.types(
        "install -m 0600 /dev/stdin /etc/dcedge/credentials/prod-a",
        answers=f"{PASSWORDS['prod-a']}\n",
    )
    assert password.stat().st_mode & 0o777 == 0o600


def test_a_plan_is_shown_before_it_is_carried_out_once(router: Router, hand: Hand) -> None:
    hand.types("dcedge check", says=("3 connections", "4 virtual interfaces"))
    planned = ("eth1.101", "eth2.102", "eth2.201", "eth3.203")
    hand.types("dcedge plan", status=PENDING, says=planned)
    hand.types("dcedge check && dcedge plan", status=PENDING, says=("good", *planned))
    hand.types("dcedge apply", says=("31 of 31 operations done",))
    hand.types("dcedge plan")
    hand.types("ip link show vi-NAME", says=("eth1.101",))


def test_the_daemon_can_be_run_by_hand(router: Router, hand: Hand, desk: Path) -> None:
    def run(line: str, answers: str) -> subprocess.CompletedProcess[str]:
        with subprocess.Popen(
            ["bash", "-c", f"exec {line}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as daemon:
            until("it to answer", router.edge.status)
            daemon.terminate()
            said = daemon.communicate(timeout=60)[0].decode()
        return subprocess.CompletedProcess([line], daemon.returncode, said, "")

    hand.types("dcedge run", shell=run)


def test_the_service_keeps_the_router_as_ordered(router: Router, hand: Hand) -> None:
    hand.types("systemctl enable --now dcedge")
    router.wait_up(*EVERY[:3])
    router.edge.wait_up("depot-a")
    hand.types("systemctl status dcedge", says=("active (running)", "4 of 4"))
    hand.types("dcedge status", says=(" answers", *EVERY))
    execute("ip", "link", "delete", "dev", "eth1.101")
    router.wait_up("prod-a")


def test_what_is_to_be_known_can_be_asked_for(router: Router, hand: Hand) -> None:
    hand.types("dcedge status NAME", says=("prod-a", "Established"))
    hand.types("dcedge top", says=EVERY)
    hand.types("dcedge explain NAME", says=("prod-a",))
    names = {vi["name"] for vi in json.loads(hand.types("dcedge status --json"))["virtual_interfaces"]}
    assert names == set(EVERY)
    hand.types("http://127.0.0.1:9478/", says=("<html", "dcedge"), shell=browser)
    metrics = hand.types("http://127.0.0.1:9478/metrics", shell=browser)
    up = r'^dcedge_virtual_interface_up\{[^}]*virtual_interface="prod-a"[^}]*\} 1\.0$'
    assert re.search(up, metrics, re.MULTILINE)
    hand.types("journalctl -u dcedge", says=("create link",))
    hand.types("journalctl -u dcedge DCEDGE_VIRTUAL_INTERFACE=prod-a", says=("create link eth1.101",))
    hand.types("man dcedge", says=("measure", "--order"))


def test_the_status_page_comes_through_a_tunnel(router: Router, hand: Hand, desk: Path, keys: Path) -> None:
    """From a host on the router's LAN, whose own loopback has nothing at that port."""
    host = router.edge.host

    def run(line: str, answers: str) -> subprocess.CompletedProcess[str]:
        options = f"-i {keys}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        command = host.command("bash", "-c", f"exec {line.replace('ssh', f'ssh {options}', 1)}")
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as tunnel:
            fetched = until("the page", lambda: host.call(opened, "http://127.0.0.1:9478/"))
            said = tunnel.communicate("exit\n", timeout=60)[0]
        return subprocess.CompletedProcess([line], tunnel.returncode, said + fetched, "")

    assert host.call(opened, "http://127.0.0.1:9478/") == ""
    hand.types("ssh -L 9478:127.0.0.1:9478 ROUTER", says=("<html",), shell=run)


def opened(address: str) -> str:
    """What an address shows, or nothing where nobody answers."""
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        return browser(address, "").stdout
    return ""


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Path]:
    """A key that lets whoever has it in, and the router's side of SSH."""
    execute("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key"))
    allowed = Path("/root/.ssh/authorized_keys")
    allowed.parent.mkdir(mode=0o700, exist_ok=True)
    allowed.write_text((tmp_path / "key.pub").read_text())
    execute("systemctl", "start", "ssh")
    yield tmp_path
    execute("systemctl", "stop", "ssh")


def test_a_member_of_the_group_may_read_and_only_root_may_change(router: Router, hand: Hand, desk: Path) -> None:
    execute("useradd", "anna")
    anna = shell_in(Path("/"), "runuser", "-u", "anna", "--")
    hand.types("dcedge status", shell=anna, status=1)
    hand.types("adduser anna dcedge")
    hand.types("dcedge status", shell=anna, says=EVERY)
    hand.types("dcedge drain NAME…", shell=anna, status=1, says=("root",))


def test_a_changed_order_is_planned_and_carried_out(router: Router, hand: Hand, desk: Path) -> None:
    new = desk / "new.yaml"
    new.write_text(order(dev_a={"bandwidth": "150M"}))
    hand.types("dcedge plan --order new.yaml", status=PENDING, says=("eth2.201",))
    hand.types("cp new.yaml /etc/dcedge/order.yaml.new && mv /etc/dcedge/order.yaml.new /etc/dcedge/order.yaml")
    hand.types("systemctl reload dcedge")
    assert ordered(router) == 150_000_000
    router.edge.order.write_text(order(dev_a={"vlan": 4095}))
    hand.types("systemctl reload dcedge", status=1)
    hand.types("journalctl -u dcedge", says=("4095 is not a VLAN ID",))
    hand.types("dcedge status", says=("4095 is not a VLAN ID",))
    assert ordered(router) == 150_000_000
    router.edge.order.write_text(order())
    hand.types("dcedge apply", says=("1 of 1 operations done",))
    assert ordered(router) == 200_000_000
    hand.types("dcedge reload")


def test_what_takes_much_away_is_refused_until_it_is_said(router: Router, hand: Hand) -> None:
    router.edge.order.write_text(order(dev_a={"admin": "down"}, depot_a={"admin": "down"}))
    hand.types("systemctl reload dcedge", status=1)
    for command, status in (("dcedge check", 0), ("dcedge plan", PENDING)):
        hand.types(command, status=status, says=("removes 2 of 4 virtual interfaces", "depot-a, dev-a"))
    router.edge.wait_up(*EVERY)
    hand.types("dcedge apply --allow-removal N", says=("operations done",))
    assert router.edge.virtual_interfaces()["dev-a"]["verdict"] == "down"
    hand.types("dcedge rollback", says=("operations done",))
    router.edge.order.write_text(order())
    hand.types("dcedge apply")
    router.edge.wait_up(*EVERY)


def test_a_change_that_could_cut_off_is_confirmed_or_goes_away(router: Router, hand: Hand) -> None:
    router.edge.order.write_text(order(dev_a={"bandwidth": "120M"}))
    hand.types("dcedge apply --confirm 5m", says=("dcedge confirm",))
    hand.types("dcedge confirm", says=("Confirmed",))
    assert ordered(router) == 120_000_000
    hand.types("dcedge rollback", says=("1 of 1 operations done",))
    assert ordered(router) == 200_000_000
    router.edge.order.write_text(order())
    hand.types("dcedge apply")


def ordered(router: Router) -> int:
    """The bandwidth of `dev-a`, in bits a second, as the agent has it."""
    return int(router.edge.virtual_interfaces()["dev-a"]["ordered_bps"])


def test_traffic_is_taken_off_a_line_and_comes_back(router: Router, hand: Hand) -> None:
    for drain, undrain in (
        ("dcedge drain NAME…", "dcedge undrain NAME…"),
        ("dcedge drain fra-1", "dcedge undrain fra-1"),
    ):
        hand.types(drain, says=("Drained: prod-a", "Traffic has left"))
        hand.types("dcedge status", says=("drained",))
        hand.types(undrain, says=("In use again: prod-a",))
    hand.types("dcedge drain NAME…", meaning={"NAME…": "--all-but fra-2 fra-3"}, says=("Drained: prod-a",))
    hand.types("dcedge undrain NAME…")
    hand.types("dcedge drain NAME…", meaning={"NAME…": "dev-a"}, status=1, says=("--force",))


def test_the_policer_is_measured_with_the_clouds_consent(router: Router, hand: Hand, desk: Path) -> None:
    command = "dcedge measure --answer ADDRESS"
    assert router.prod.host_address(4) == STANDS_FOR["ADDRESS"]
    router.wait_up("prod-a")

    def run(line: str, answers: str) -> subprocess.CompletedProcess[str]:
        log = desk / "answer"
        with log.open("w") as output:
            words = router.prod.host.command("bash", "-c", f"exec {line} --for 20")
            answering = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
        token = until("the token", lambda: re.findall(r"token is (\w+)", log.read_text()))[0]
        hand.types(
            "dcedge measure VI --to ADDRESS --token TOKEN --volume 20M --yes",
            meaning={"TOKEN": token},
            says=("frames", "no policer found"),
        )
        return subprocess.CompletedProcess([line], answering.wait(60), log.read_text(), "")

    hand.types(command, shell=run, says=("answered 1 measurement\n",))


def test_graceful_restart_is_said_to_the_cloud_from_the_next_session_on(router: Router, hand: Hand) -> None:
    cloud = {"ADDRESS": "10.255.101.1"}
    router.edge.order.write_text(
        order(prod_a={"bgp": {"password": {"credential": "prod-a"}, "graceful_restart": True}})
    )
    hand.types("systemctl reload dcedge")
    hand.types("vtysh -c 'clear bgp ADDRESS'", meaning=cloud)

    def negotiated() -> str:
        return hand.types("vtysh -c 'show bgp neighbors ADDRESS'", meaning=cloud)

    until("the session to be graceful", negotiated, accept=lambda said: "Local GR Mode: Restart" in said)
    hand.types("systemctl stop frr")
    until("that to be said", lambda: hand.types("dcedge status"), accept=lambda said: "FRR does not answer" in said)
    execute("systemctl", "start", "frr")
    router.wait_up(*EVERY[:3])
    router.edge.order.write_text(order())
    hand.types("systemctl reload dcedge")


def test_whoever_helps_gets_a_bundle_without_passwords(router: Router, hand: Hand, desk: Path) -> None:
    hand.types("dcedge bundle", says=("review it",))
    (made,) = desk.glob("*.tar.gz")
    unpacked = execute("tar", "-xzOf", str(made)).stdout
    assert "create link" in unpacked
    assert not [secret for secret in PASSWORDS.values() if secret in unpacked]


def test_the_unit_is_given_a_capability_more(router: Router, hand: Hand, desk: Path) -> None:
    """What the page says to write is what the editor leaves; `systemctl edit` wants a terminal."""
    (desk / "wanted").write_text(block_with("config/operations.md", "CAP_NET_BIND_SERVICE"))
    editor = desk / "editor"
    editor.write_text(f'#!/bin/sh\nfor file; do :; done\ncp {desk}/wanted "$file"\n')
    editor.chmod(0o755)

    def on_a_terminal(line: str, answers: str) -> subprocess.CompletedProcess[str]:
        return shell_in(desk)(f"SYSTEMD_EDITOR={editor} script -qec '{line}' /dev/null", answers)

    hand.types("systemctl edit dcedge", shell=on_a_terminal)
    hand.types("systemctl restart dcedge")
    process = execute("systemctl", "show", "--value", "-p", "MainPID", "dcedge").stdout.strip()
    (effective,) = re.findall(r"^CapEff:\s+(\w+)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert int(effective, 16) & BIND_SERVICE
    router.edge.wait_up(*EVERY)


def test_stopped_and_purged_nothing_of_it_is_left_in_the_kernel_or_in_frr(router: Router, hand: Hand) -> None:
    hand.types("systemctl stop dcedge")
    hand.types("dcedge purge", says=("operations done",))
    assert "@eth" not in execute("ip", "-br", "link").stdout
    assert "neighbor" not in execute("vtysh", "-c", "show running-config").stdout
    hand.types("systemctl enable --now dcedge")
    router.edge.wait_up("depot-a")


def test_the_package_is_removed_and_purged(router: Router, hand: Hand) -> None:
    hand.types("apt remove dcedge", answers="y\n")
    assert "@eth" not in execute("ip", "-br", "link").stdout
    assert router.edge.order.exists()
    hand.types("apt purge dcedge", answers="y\n")
    assert not [place for place in ("/etc/dcedge", "/var/lib/dcedge", "/usr/lib/dcedge") if Path(place).exists()]
