"""The pre-flight on machines as they are out there: each thing good, a warning or wrong, with what mends it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from dcedge.frr.descriptors import Others
from dcedge.frr.vty import FrrClient
from dcedge.monitor.preflight import frr, kernel, machine, managers, ports
from dcedge.monitor.preflight.check import CheckResult, HostFiles, PreflightInput
from dcedge.monitor.preflight.results import results_json, results_text
from dcedge.order.resolve import ResolvedInterface
from tests.unit.kernel.orders import interfaces_of, vi

RELEASE = "6.1.0-28-amd64"


@dataclass
class Machine:
    """A machine's files below a folder, with one port of the order's; its FRR is silent."""

    root: Path

    def has(self, name: str, text: str = "") -> None:
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def router(self, interfaces: list[ResolvedInterface] | None = None) -> PreflightInput:
        found = tuple(interfaces_of(a=vi(1)) if interfaces is None else interfaces)
        return PreflightInput(
            host=HostFiles(self.root),
            frr=cast("FrrClient", SilentFrr()),
            frr_folder=self.root / "etc/frr",
            state_dir=Path("/var/lib/dcedge"),
            interfaces=found,
            ports=("eth1",),
            indices={"eth1": 7},
        )


class SilentFrr:
    """An FRR whose zebra alone runs."""

    version = "10.3"

    def unavailable(self) -> dict[str, str]:
        return {"bfdd": "bfdd is not running", "bgpd": "bgpd is not running"}

    def wedged_others(self) -> tuple[str, ...]:
        return ("staticd",)

    def processes(self) -> dict[str, int]:
        return {}


@pytest.fixture
def host(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.has("/proc/sys/kernel/osrelease", f"{RELEASE}\n")
    made.has("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0\n")
    return made


def only(lines: object) -> CheckResult:
    (line,) = cast("list[CheckResult]", list(lines))  # type: ignore[call-overload]
    return line


def modules(host: Machine, *, loaded: str = "", built_in: str = "", there: str = "") -> CheckResult:
    host.has("/proc/modules", "".join(f"{name} 16384 0 - Live 0x0\n" for name in loaded.split()))
    folder = f"/lib/modules/{RELEASE}"
    host.has(f"{folder}/modules.builtin", "".join(f"kernel/net/{name}.ko\n" for name in built_in.split()))
    host.has(f"{folder}/modules.dep", "".join(f"kernel/net/{name}.ko.xz: other.ko\n" for name in there.split()))
    return only(kernel.modules(host.router()))


def test_modules_that_are_loaded_built_in_or_there(host: Machine) -> None:
    line = modules(host, loaded="8021q", built_in="nf_tables", there="sch-htb sch_fq_codel")
    assert (line.state, line.text) == ("good", "sch_htb, sch_fq_codel will be loaded when needed, the others are there")


def test_a_module_that_this_kernel_lacks(host: Machine) -> None:
    line = modules(host, built_in="nf_tables sch_htb", there="sch_fq_codel")
    assert (line.state, line.text) == ("wrong", f"{RELEASE} has no 8021q, which the order needs")
    assert "linux-image-amd64" in line.mend


def test_modules_that_cannot_be_loaded_any_more(host: Machine) -> None:
    host.has("/proc/sys/kernel/modules_disabled", "1\n")
    line = modules(host, loaded="nf_tables sch_htb sch_fq_codel", there="8021q")
    assert line.state == "wrong"
    assert line.mend == "printf '%s\\n' 8021q > /etc/modules-load.d/dcedge.conf"


def test_what_the_order_does_not_ask_for_is_not_needed(host: Machine) -> None:
    host.has("/proc/modules", "nf_tables 1 0 - Live 0\nsch_htb 1 0 - Live 0\n")
    plain = host.router(interfaces_of(a=vi(1, vlan=0, shaping={"queue": "pfifo"})))
    assert only(kernel.modules(plain)).state == "good"


@pytest.mark.parametrize(
    ("setting", "value", "state"),
    [
        ("rp_filter", 1, "warning"),
        ("rp_filter", 2, "good"),
        ("arp_ignore", 1, None),
        ("arp_ignore", 8, "warning"),
        ("arp_filter", 1, "warning"),
        ("log_martians", 1, "warning"),
    ],
)
def test_settings_that_are_combined(host: Machine, setting: str, value: int, state: str | None) -> None:
    host.has(f"/proc/sys/net/ipv4/conf/all/{setting}", f"{value}\n")
    lines = [line for line in kernel.combined_settings(host.router()) if line.what == setting]
    assert [line.state for line in lines] == ([state] if state else [])
    if state == "warning":
        assert f"net.ipv4.conf.all.{setting} is {value}" in lines[0].text
        assert lines[0].mend.startswith(f"sysctl -w net.ipv4.conf.all.{setting}=")


@pytest.mark.parametrize(("value", "states"), [(0, []), (1, ["warning"])])
def test_a_router_that_answers_no_pings_is_said(host: Machine, value: int, states: list[str]) -> None:
    """Clouds watch a static path by pings (NQA), and some a BGP session's as well."""
    host.has("/proc/sys/net/ipv4/icmp_echo_ignore_all", f"{value}\n")
    assert [line.state for line in kernel.combined_settings(host.router()) if line.what == "pings"] == states


def test_ipv6_that_is_switched_off_is_wrong_only_where_it_is_ordered(host: Machine) -> None:
    host.has("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1\n")
    (line,) = (line for line in kernel.combined_settings(host.router()) if line.what == "IPv6")
    assert (line.state, line.mend) == ("wrong", "sysctl -w net.ipv6.conf.all.disable_ipv6=0  # and in /etc/sysctl.d")
    four = [replace(one, addresses=one.addresses[:1]) for one in interfaces_of(a=vi(1))]
    (line,) = (line for line in kernel.combined_settings(host.router(four)) if line.what == "IPv6")
    assert line.state == "good"


@pytest.mark.parametrize(("count", "state"), [(100, "good"), (850, "warning"), (999, "wrong")])
def test_the_connection_table(host: Machine, count: int, state: str) -> None:
    host.has("/proc/sys/net/netfilter/nf_conntrack_count", f"{count}\n")
    host.has("/proc/sys/net/netfilter/nf_conntrack_max", "1000\n")
    line = only(kernel.connection_table(host.router()))
    assert line.state == state
    assert f"{count} of at most 1000" in line.text
    assert state == "good" or line.mend.startswith("sysctl -w net.netfilter.nf_conntrack_max=4000")


def test_frr_whose_daemons_are_not_all_there(host: Machine) -> None:
    said = [(line.state, line.text) for line in frr.daemons(host.router())]
    assert said[:2] == [("wrong", "bfdd is not running"), ("wrong", "bgpd is not running")]
    assert said[2] == ("warning", "staticd runs but does not answer: vtysh, and whatever uses it, hangs")
    mend = next(frr.daemons(host.router())).mend
    assert f"set bfdd=yes in {host.root}/etc/frr/daemons" in mend


def test_frrs_descriptors_are_counted(host: Machine) -> None:
    host.has("/etc/frr/daemons", "bgpd=yes\n")
    (one,) = interfaces_of(a=vi(1, bgp={"bfd": True}))
    many = [replace(one, vrf=f"vrf-{number}") for number in range(300)]
    lines = list(frr.options(host.router(many)))
    assert {line.state for line in lines} == {"wrong"}
    assert any("too few for 600 BFD sessions in 300 VRFs" in line.text for line in lines)
    assert all(line.mend.startswith(("set MAX_FDS=2048 in ", "set MAX_FDS=4096 in ")) for line in lines)
    others = Others(frozenset(f"red{number}" for number in range(300)))
    alone = host.router([one])
    assert {line.state for line in frr.options(alone)} == {"good"}
    (line,) = (line for line in frr.options(replace(alone, others=others)) if line.state == "wrong")
    assert "too few for 2 BFD sessions in 300 VRFs of others" in line.text


@pytest.mark.parametrize(
    ("admin", "conf", "says"),
    [
        (
            "unmanaged",
            "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n",
            ["does not touch our ports"],
        ),
        ("configured", "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n", ["manages eth1"]),
        ("unmanaged", "[Network]\nManageForeignRoutes=yes\n", ["removes foreign routes and rules"]),
    ],
)
def test_networkd(host: Machine, admin: str, conf: str, says: list[str]) -> None:
    assert only(managers.networkd(host.router())).text == "does not run"
    host.has("/run/systemd/netif/state", "OPER_STATE=routable\n")
    host.has("/run/systemd/netif/links/7", f"ADMIN_STATE={admin}\n")
    host.has("/etc/systemd/networkd.conf.d/90-ours.conf", conf)
    lines = list(managers.networkd(host.router()))
    assert len(lines) == len(says)
    for line, said in zip(lines, says, strict=True):
        assert said in line.text
        assert (line.state == "good") is (line.mend == "")


def test_network_manager_and_netplan(host: Machine) -> None:
    assert only(managers.network_manager(host.router())).state == "good"
    host.has("/run/NetworkManager/devices/7", "[device]\nmanaged=true\n")
    line = only(managers.network_manager(host.router()))
    assert (line.state, line.mend[:35]) == ("warning", "nmcli device set eth1 managed no; p")
    host.has("/etc/netplan/50-cloud-init.yaml", "network:\n  ethernets:\n    eth10: {}\n    eth1:\n      dhcp4: true\n")
    line = only(managers.netplan(host.router()))
    assert (line.state, line.text) == (
        "warning",
        "/etc/netplan/50-cloud-init.yaml has eth1: `netplan apply` reconfigures it",
    )


@pytest.mark.parametrize(("current", "state"), [("tsc", "good"), ("kvm-clock", "good"), ("acpi_pm", "warning")])
def test_the_clock_source(host: Machine, current: str, state: str) -> None:
    folder = "/sys/devices/system/clocksource/clocksource0"
    host.has(f"{folder}/current_clocksource", f"{current}\n")
    host.has(f"{folder}/available_clocksource", f"tsc {current}\n")
    line = only(machine.clock_source(host.router()))
    assert line.state == state
    assert state == "good" or line.mend == f"echo tsc > {folder}/current_clocksource"


def test_a_disk_with_room_and_where_its_folder_is_not_there_yet(host: Machine) -> None:
    line = only(machine.disk(host.router()))
    assert line.state in {"good", "warning", "wrong"}
    assert "for /var/lib/dcedge" in line.text


def test_interrupts_that_all_go_to_one_processor(host: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for number, processor in ((30, 2), (31, 2)):
        host.has(f"/sys/class/net/eth1/device/msi_irqs/{number}")
        host.has(f"/proc/irq/{number}/effective_affinity_list", f"{processor}\n")
    line = only(ports.interrupts(host.router()))
    assert (line.state, line.text) == ("warning", "all 2 interrupts go to processor 2 of 4")
    host.has("/proc/irq/31/effective_affinity_list", "3\n")
    assert only(ports.interrupts(host.router())).state == "good"


@pytest.mark.parametrize(("autoneg", "receive", "transmit", "warned"), [(1, 1, 0, True), (1, 0, 1, False)])
def test_a_port_that_a_switch_can_stop(
    host: Machine, monkeypatch: pytest.MonkeyPatch, autoneg: int, receive: int, transmit: int, *, warned: bool
) -> None:
    # As a driver fills struct ethtool_pauseparam (linux/ethtool.h).
    monkeypatch.setattr(ports, "_asked", lambda *_: (autoneg, receive, transmit))
    lines = list(ports.flow_control(replace(host.router(), indices={"eth1": 2})))
    assert [line.mend for line in lines] == ["ethtool -A eth1 autoneg off rx off tx off"] * warned


def test_a_port_that_is_not_there(host: Machine) -> None:
    router = replace(host.router(), ports=("eth1", "eth9"))
    assert [line.what for line in ports.present(router)] == ["port eth9"]


def test_what_mends_stands_under_what_is_wrong() -> None:
    lines = [CheckResult("disk", "good", "room", "df"), CheckResult("port eth1", "wrong", "is not there", "ip link")]
    assert results_text(lines).splitlines() == [
        "good     disk       room",
        "wrong    port eth1  is not there",
        "                    -> ip link",
        "1 good, 1 wrong",
    ]
    assert results_json(lines)[1] == {"what": "port eth1", "state": "wrong", "text": "is not there", "mend": "ip link"}
