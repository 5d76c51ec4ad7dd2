"""An order that FRR as it runs cannot bear: said by check and plan, refused by apply before anything has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcedge.cli import refusal
from dcedge.order.findings import OrderInvalidError
from dcedge.order.load import Loaded, load_order
from dcedge.settings import Settings
from tests.lab.wait import until
from tests.unit.test_cli import AS_ROOT, Router, router, start

__all__ = ["router"]

HEAD = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections: {c1: {provider: generic, port: eth1, bandwidth: 100G}}
"""


def with_vrfs(count: int) -> str:
    """An order with so many VRFs, a virtual interface in each."""
    gateways = "".join(f"  g{n}: {{vpc: v{n}, asn: 64512, accept: any, vrf: vrf{n}}}\n" for n in range(count))
    interfaces = "".join(
        f"  a{n}: {{connection: c1, virtual_gateway: g{n}, vlan: {n + 1}, bandwidth: 50M,"
        f" addresses: [{{customer: 198.51.100.2/30, cloud: 198.51.100.1}}]}}\n"
        for n in range(count)
    )
    return f"{HEAD}virtual_gateways:\n{gateways}virtual_interfaces:\n{interfaces}"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An FRR that is given the default of 1,024 descriptors."""
    folder = tmp_path / "frr"
    folder.mkdir()
    (folder / "daemons").write_text("bgpd=yes\nbfdd=yes\n")
    monkeypatch.setattr(refusal, "DAEMONS_FILE", folder / "daemons")
    return Settings(order=tmp_path / "order.yaml", state_dir=tmp_path / "state", socket=tmp_path / "none")


def order(settings: Settings, vrfs: int) -> Loaded:
    settings.order.write_text(with_vrfs(vrfs))
    return load_order(settings.order)


def test_what_would_have_bfdd_abort_is_refused(settings: Settings) -> None:
    many = order(settings, 300)
    (said,) = refusal.refusals(settings, many)
    assert said.severity == "warning"
    assert "would be refused by `apply`" in said.message
    assert "1024 file descriptors, too few for 300 VRFs: set MAX_FDS=2048 in" in said.message
    with pytest.raises(OrderInvalidError, match="too few for 300 VRFs"):
        refusal.refuse_overload(settings, many)


def test_with_descriptors_enough_it_is_not(settings: Settings) -> None:
    refusal.refuse_overload(settings, order(settings, 100))
    (settings.order.parent / "frr" / "daemons").write_text("MAX_FDS=4096\n")
    refusal.refuse_overload(settings, order(settings, 300))
    assert refusal.refusals(settings, order(settings, 300)) == []


@AS_ROOT
def test_the_pre_flight_of_a_whole_machine_ends_with_what_is_wrong(router: Router) -> None:
    """Whatever machine this is: FRR does not run under the name that is asked for."""
    ordinary = ("env",)  # /sys, which a fork would have of the machine, is to be the router's
    told = router.dcedge("check", "--host", started_by=ordinary)
    assert told.status == 1, told.said
    assert "wrong    FRR " in told.stdout
    assert "bgpd is not running" in told.stdout
    lines = router.dcedge("check", "--host", "--json", started_by=ordinary).json()["host"]
    assert {line["state"] for line in lines} <= {"good", "warning", "wrong", "unknown"}
    assert all(line["mend"] for line in lines if line["state"] == "wrong")
    assert any(line["what"] == "port eth1" and line["state"] == "good" for line in lines)
    router.order.unlink()
    told = router.dcedge("check", "--host", started_by=ordinary)
    assert told.stdout.count("FRR's options") == 1, "also before there is an order"


@AS_ROOT
def test_the_daemon_logs_what_is_not_good_when_it_starts(router: Router) -> None:
    start(router)
    log = router.folder / "log"
    until("the pre-flight", log.read_text, accept=lambda said: "ERROR this host: FRR: bgpd is not running" in said)
    assert "(fix: set bgpd=yes in /etc/frr/dcedge-test-none/daemons" in log.read_text()
