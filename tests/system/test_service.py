"""The package on a router with systemd, from installation to purge. One story: each test goes on from the last."""

from __future__ import annotations

import os
import platform
import pwd
import re
import signal
import time
from pathlib import Path

import pytest

from tests.lab import traffic
from tests.lab.netns import execute
from tests.lab.wait import until
from tests.system.router import (
    DEPOT,
    EVERY,
    Router,
    cursor,
    install,
    journal,
    nothing_lost,
    order,
    package,
    show,
    systemctl,
    uptimes,
    wait_for_new_process,
)

pytestmark = pytest.mark.timeout(180)

CAPABILITIES = 1 << 12 | 1 << 13  # CAP_NET_ADMIN, CAP_NET_RAW (capability.h)
LATE_SECONDS = 10.0  # a port's light after the agent's start
PENDING = Path("/var/lib/dcedge/pending.json")
PROBES = {
    "read root's files": "cat /root/secret",
    "write into /etc": "touch /etc/written",
    "load a module": "modprobe ip6_gre",
    "see other users' processes": "test -d /proc/1",
    "open a packet socket": 'python3 -c "import socket; socket.socket(17, 3)"',
}


def test_installing_changes_nothing_and_starts_nothing(router: Router) -> None:
    before = execute("ip", "-br", "link").stdout
    install(package())
    assert show("ActiveState") == "inactive"
    assert systemctl("is-enabled", "dcedge.service", check=False).stdout.strip() == "disabled"
    assert execute("ip", "-br", "link").stdout == before
    assert pwd.getpwnam("dcedge").pw_uid < 1000
    assert router.edge.dcedge("check", "--order", "/usr/share/doc/dcedge/examples/order.yaml").status == 0


def test_it_is_active_before_frr_is_there_and_all_is_up_soon_after(router: Router) -> None:
    edge = router.edge
    edge.order.write_text(order())
    for name, secret in (("prod-a", "Kaiserlei-101"), ("dev-a", "Griesheim-201")):
        edge.credential(name, secret)
    systemctl("enable", "--now", "dcedge.service")
    assert show("ActiveState") == "active"
    links = execute("ip", "-br", "link").stdout
    assert all(f"{link}@" in links for link in ("eth1.101", "eth2.102", "eth2.201", "eth3.203"))
    until("the absent FRR to be said", lambda: show("StatusText"), accept=lambda text: "FRR does not answer" in text)
    assert edge.status()["frr"]["available"] is False
    systemctl("start", "frr.service")
    router.wait_up(*EVERY[:3])
    edge.wait_up("depot-a")
    until("all to be said to be well", lambda: show("StatusText"), accept=lambda t: "4 of 4" in t and "as ordered" in t)


def test_it_has_frr_save_what_runs_where_only_frr_may_look(router: Router) -> None:
    folder, edge = Path("/etc/frr"), router.edge
    if platform.freedesktop_os_release()["VERSION_ID"] == "12":
        folder.chmod(0o700)  # as later Debians have it
    assert folder.stat().st_mode & 0o777 == 0o700
    edge.order.write_text(order(dev_a={"bgp": {"password": {"credential": "dev-a"}, "receive_limit": 77}}))
    systemctl("reload", "dcedge.service")
    saved = folder / "frr.conf"
    until("FRR to have saved", saved.read_text, accept=lambda text: "maximum-prefix 77" in text)
    assert "not saved" not in edge.dcedge("status").said
    edge.order.write_text(order())
    systemctl("reload", "dcedge.service")


def test_it_runs_as_its_own_user_with_two_capabilities(router: Router) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{show('MainPID')}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert set(status["Uid"].split()) == {str(pwd.getpwnam("dcedge").pw_uid)}
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[kind], 16) == CAPABILITIES, kind
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_what_it_may_not_do_it_cannot(router: Router) -> None:
    Path("/root/secret").write_text("for root")
    text = Path("/usr/lib/systemd/system/dcedge.service").read_text()
    for what, command in PROBES.items():
        assert execute("sh", "-c", command, check=False).returncode == 0, f"root itself cannot {what}"
        Path("/etc/written").unlink(missing_ok=True)
    execute("modprobe", "-r", "ip6_gre")
    script = "; ".join(
        f"{command} 2>/dev/null && echo can {what.replace(chr(39), '')}" for what, command in PROBES.items()
    )
    changed = re.sub(r"^ExecStart=.*$", f"ExecStart=/bin/sh -c '{script}; echo tried all'", text, flags=re.MULTILINE)
    changed = re.sub(r"^(Type=notify|Restart=.*|Watchdog.*|RuntimeDirectory.*)$", "", changed, flags=re.MULTILINE)
    Path("/run/systemd/system/probe.service").write_text(changed.replace("[Service]", "[Service]\nType=oneshot"))
    systemctl("daemon-reload")
    systemctl("start", "probe.service")
    said = until("the probe", lambda: journal(unit="probe.service"), accept=lambda text: "tried all" in text)
    assert "can " not in said
    assert not Path("/etc/written").exists()


def test_a_reload_changes_just_what_was_edited(router: Router) -> None:
    edge, began, before = router.edge, cursor(), uptimes(router)
    edge.order.write_text(order(dev_a={"bandwidth": "150M"}))
    with nothing_lost(router, router.prod.host_address(4), router.prod.host):
        systemctl("reload", "dcedge.service")
    assert edge.virtual_interfaces()["dev-a"]["ordered_bps"] == 150_000_000
    said = [
        line
        for line in journal("--after-cursor", began).splitlines()
        if re.search("create|change|replace|delete", line)
    ]
    assert said
    assert all("eth2.201" in line for line in said), said
    assert uptimes(router) == before


def test_a_reload_of_a_bad_order_fails_and_says_why(router: Router) -> None:
    edge, began = router.edge, cursor()
    edge.order.write_text(order(dev_a={"vlan": 4095}))
    assert systemctl("reload", "dcedge.service", check=False).returncode != 0
    until("the reason", lambda: journal("--after-cursor", began), accept=lambda text: "4095 is not a VLAN ID" in text)
    assert show("ActiveState") == "active"
    assert edge.virtual_interfaces()["dev-a"]["ordered_bps"] == 150_000_000
    edge.order.write_text(order())
    systemctl("reload", "dcedge.service")


def test_a_reload_takes_a_new_password_that_only_root_can_read(router: Router) -> None:
    edge = router.edge
    edge.credential("dev-a", "Nied-4712")
    assert edge.credentials.stat().st_mode & 0o777 == 0o700
    assert (edge.credentials / "dev-a").stat().st_uid == 0
    router.dev.change("dev-a", password="Nied-4712")
    systemctl("reload", "dcedge.service")
    router.wait_up("dev-a")
    assert "password Nied-4712" in edge.frr.vtysh("show running-config")


def test_it_starts_though_the_folder_of_its_passwords_is_gone(router: Router) -> None:
    edge, before = router.edge, uptimes(router)
    aside = edge.credentials.rename(edge.credentials.with_name("aside"))
    systemctl("restart", "dcedge.service")
    assert show("ActiveState") == "active"
    assert edge.credentials.stat().st_mode & 0o777 == 0o700
    until("the password to be missed", lambda: edge.dcedge("status").said, accept=lambda text: "credential" in text)
    assert uptimes(router) == before
    edge.credentials.rmdir()
    aside.rename(edge.credentials)
    systemctl("reload", "dcedge.service")
    edge.wait_up(*EVERY)


def test_a_bundle_for_support_has_the_journal_and_no_secret(router: Router) -> None:
    Path("/run/bundle").mkdir()
    outcome = router.edge.dcedge("bundle", "--output", "/run/bundle/b.tar.gz", timeout=120)
    assert outcome.status == 0, outcome.said
    execute("tar", "-C", "/run/bundle", "-xzf", "/run/bundle/b.tar.gz")
    found = {path.name: path.read_text() for path in Path("/run/bundle").glob("*/*/*")}
    assert "create link eth1.101" in found["journal"]
    assert "password ***" in found["running-config"]
    for secret in ("Kaiserlei-101", "Griesheim-201", "Nied-4712"):
        assert execute("grep", "-r", secret, "/run/bundle", check=False).stdout == ""


def test_a_wedged_agent_is_started_again(router: Router) -> None:
    drop_in = Path("/run/systemd/system/dcedge.service.d/soon.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nWatchdogSec=5s\n")
    systemctl("daemon-reload")
    systemctl("restart", "dcedge.service")
    began, before = cursor(), show("MainPID")
    with nothing_lost(router, router.prod.host_address(4), router.prod.host):
        os.kill(int(before), signal.SIGSTOP)
        wait_for_new_process(before)
    assert "watchdog" in journal("--after-cursor", began).lower()
    drop_in.unlink()
    systemctl("daemon-reload")


def test_no_packet_is_lost_to_a_kill_a_restart_and_an_upgrade(router: Router) -> None:
    before = uptimes(router)
    with nothing_lost(router, router.prod.host_address(4), router.prod.host):
        process = show("MainPID")
        os.kill(int(process), signal.SIGKILL)
        process = wait_for_new_process(process)
        systemctl("restart", "dcedge.service")
        process = wait_for_new_process(process)
        install(package(newer=True))
        wait_for_new_process(process)
        router.edge.wait_up(*EVERY)
    assert uptimes(router) == before
    assert systemctl("is-enabled", "dcedge.service").stdout.strip() == "enabled"
    assert "+next" in execute("dpkg-query", "-W", "dcedge").stdout


def test_a_restart_of_frr_loses_nothing_where_it_is_graceful_or_nothing_rests_on_it(router: Router) -> None:
    lan = router.edge.host_address(4)
    with (
        nothing_lost(router, router.prod.host_address(4), router.prod.host),
        nothing_lost(router, lan, router.edge.host, source=router.prod.host, port=5302),
        nothing_lost(router, DEPOT, router.depot, port=5303),
    ):
        systemctl("restart", "frr.service")
        router.wait_up(*EVERY[:3])
    assert "does not keep its routes" not in router.edge.dcedge("status").stdout


def test_frr_that_is_stopped_with_the_router_bids_farewell_to_the_clouds(router: Router) -> None:
    """The clouds would keep the graceful path of a router that is down for the restart time, two minutes."""
    systemctl_of_a_router_that_goes_down = Path("/run/going-down/systemctl")
    systemctl_of_a_router_that_goes_down.parent.mkdir()
    systemctl_of_a_router_that_goes_down.write_text("#!/bin/sh\necho stopping\n")
    systemctl_of_a_router_that_goes_down.chmod(0o755)
    drop_in = Path("/run/systemd/system/frr.service.d/going-down.conf")
    drop_in.write_text("[Service]\nEnvironment=PATH=/run/going-down:/usr/sbin:/usr/bin:/sbin:/bin\n")
    systemctl("daemon-reload")
    systemctl("stop", "frr.service")
    router.prod.wait_route("10.255.101.2", "192.0.2.0/24", present=False)
    drop_in.unlink()
    systemctl("daemon-reload")
    systemctl("start", "frr.service")
    router.wait_up(*EVERY[:3])


def test_an_unconfirmed_change_goes_away_even_if_the_agent_never_starts_again(router: Router) -> None:
    edge = router.edge
    edge.order.write_text(order(dev_a={"bandwidth": "120M"}))
    assert edge.dcedge("apply", "--confirm", "8s").status == 0
    systemctl("stop", "dcedge.service")
    ours = show("MainPID", "dcedge-rollback.service")
    for process in execute("pgrep", "-f", "rollback --at-deadline").stdout.split():
        if process != ours:
            os.kill(int(process), signal.SIGKILL)  # what `apply` left behind, and whoever called it is gone
    assert PENDING.exists()
    assert "rate 120Mbit" in shaper()
    until("the change to go away", shaper, accept=lambda text: "rate 200Mbit" in text)
    until("that to be noted", PENDING.exists, accept=lambda there: not there)
    edge.order.write_text(order())
    systemctl("start", "dcedge.service")
    edge.wait_up(*EVERY)


def shaper() -> str:
    """The shaper of `dev-a`."""
    return execute("tc", "class", "show", "dev", "eth2.201").stdout


def test_frr_first_and_a_port_late_end_converged(router: Router) -> None:
    """As after a reboot: nothing is in the kernel, FRR comes up with what it saved, a port is missing for a while."""
    edge = router.edge
    systemctl("stop", "dcedge.service", "frr.service")
    for link in ("eth1.101", "eth2.102", "eth2.201", "eth3.203"):
        execute("ip", "link", "delete", "dev", link)
    router.unplug_depot()
    systemctl("start", "frr.service")
    systemctl("start", "dcedge.service")
    began = time.monotonic()
    assert show("ActiveState") == "active"
    until("the port to be missed", lambda: edge.virtual_interfaces()["depot-a"]["verdict"], accept=lambda v: v != "up")
    router.wait_up(*EVERY[:3])
    time.sleep(max(0.0, began + LATE_SECONDS - time.monotonic()))
    router.plug_depot()
    edge.wait_up("depot-a")
    until(f"an answer from {DEPOT}", lambda: traffic.reaches(edge.host, DEPOT))
    assert edge.dcedge("plan").status == 0, edge.dcedge("plan").said


def test_stopping_leaves_traffic_alone(router: Router) -> None:
    with nothing_lost(router, router.prod.host_address(4), router.prod.host):
        systemctl("stop", "dcedge.service")
    assert show("Result") == "success"


def test_removal_leaves_the_router_as_found_and_purge_no_trace(router: Router) -> None:
    removal = execute("dpkg", "-r", "dcedge", timeout=120)
    links = execute("ip", "-br", "link").stdout
    assert "@eth" not in links, f"{removal.stdout}{removal.stderr}"
    config = router.edge.frr.vtysh("show running-config")
    assert "neighbor" not in config
    assert "dcedge" not in config
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "0"
    assert router.edge.order.exists()
    execute("dpkg", "-P", "dcedge", timeout=120)
    for place in ("/etc/dcedge", "/var/lib/dcedge", "/usr/lib/dcedge", "/usr/share/dcedge", "/run/dcedge"):
        assert not Path(place).exists(), place
