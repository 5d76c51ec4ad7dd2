"""System limits that follow from the order, and FRR's own."""

from __future__ import annotations

from pathlib import Path

from dcedge.kernel.limits import frr_descriptor_problem, kernel_limits
from dcedge.kernel.objects import Sysctl
from tests.unit.kernel.orders import interfaces_of, vi

KEYED = {"password": {"credential": "key"}}


def limits(count: int, bgp: object = None) -> dict[str, int]:
    (one,) = interfaces_of(a=vi(1, bgp=bgp))
    found = kernel_limits(len(one.addresses) * count, one.keys * count)
    return {setting.path: setting.value for setting in found}


def test_a_small_order_asks_for_nothing() -> None:
    assert limits(10, bgp=KEYED) == {}


def test_every_neighbour_of_a_large_order_has_room() -> None:
    found = limits(4000)
    for family in ("ipv4", "ipv6"):
        first, second, third = (found[f"net/{family}/neigh/default/gc_thresh{number}"] for number in (1, 2, 3))
        assert 4000 < first < second < third


def test_one_more_virtual_interface_changes_no_limit() -> None:
    assert limits(4000, bgp=KEYED) == limits(4001, bgp=KEYED)


def test_keys_have_room_only_where_there_are_keys() -> None:
    assert "net/core/optmem_max" not in limits(1000)
    assert limits(1000, bgp=KEYED)["net/core/optmem_max"] >= 2 * 1000 * 136


def test_a_limit_is_never_lowered() -> None:
    wanted = Sysctl("net/core/optmem_max", 1000, at_least=True)
    assert wanted.changes_from(Sysctl("net/core/optmem_max", 999))
    assert not wanted.changes_from(Sysctl("net/core/optmem_max", 1001))
    assert Sysctl("net/core/optmem_max", 1000).changes_from(Sysctl("net/core/optmem_max", 1001))


def test_too_few_descriptors_are_complained_of(tmp_path: Path) -> None:
    limits_file = "Limit                     Soft Limit           Hard Limit           Units\n"
    limits_file += "Max open files            1024                 1048576              files\n"
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "limits").write_text(limits_file)
    daemons = tmp_path / "daemons"
    daemons.write_text("bgpd=yes\nMAX_FDS=1024\n")
    assert frr_descriptor_problem(100, {"bgpd": 7}, proc=tmp_path, daemons=daemons) is None
    problem = frr_descriptor_problem(1000, {"bgpd": 7}, proc=tmp_path, daemons=daemons)
    assert problem is not None
    assert problem.startswith("bgpd runs with 1024 file descriptors, too few for 1000 BGP peers: set MAX_FDS=4096")
    assert frr_descriptor_problem(1000, {}, proc=tmp_path, daemons=daemons) is not None
    daemons.write_text("# MAX_FDS=1024\nMAX_FDS=4096\n")
    assert frr_descriptor_problem(1000, {}, proc=tmp_path, daemons=daemons) is None
    assert frr_descriptor_problem(600, {}, proc=tmp_path, daemons=tmp_path / "none") is not None
