"""System limits that follow from the order."""

from __future__ import annotations

from dcedge.kernel.sysctl.limits import kernel_limits
from dcedge.kernel.sysctl.resource import Sysctl
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
