"""What is set for all links and combined by the kernel with ours: ours win, and others' stays as it is."""

from __future__ import annotations

import pytest

from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import KINDS, ONE, order
from tests.unit.passes.test_orders import told

ALL = "net/ipv4/conf/all"
IN_VRF = order({"a": vi(1)}, gateway={"vrf": "blue"})


def rp_filter(router: FakeRouter, link: str) -> int:
    return router.kernel.link(link).conf4["rp_filter"]


def test_where_all_links_are_strict_ours_are_loose_and_the_rest_stays(router: FakeRouter) -> None:
    router.kernel.set_sysctl(f"{ALL}/rp_filter", 1)
    port = rp_filter(router, "eth1")
    assert router.run(IN_VRF).complete
    assert (rp_filter(router, "eth1.1"), rp_filter(router, "blue")) == (2, 2)
    assert told(router.run(IN_VRF)) == []
    assert (router.kernel.sysctl(f"{ALL}/rp_filter"), rp_filter(router, "eth1")) == (1, port)


@pytest.mark.parametrize("kind", ["both families", "untagged, alone on its port", "two tags", "a VRF"])
def test_what_is_hardened_under_way_does_not_stop_traffic_over_a_backup(router: FakeRouter, kind: str) -> None:
    router.run(KINDS[kind])
    router.kernel.set_sysctl(f"{ALL}/rp_filter", 1)
    result = router.run(KINDS[kind])
    assert result.complete
    assert "ipv4.rp_filter 0 -> 2" in {operation.describe() for operation in result.done.operations}
    router.kernel.set_sysctl(f"{ALL}/rp_filter", 0)
    assert router.run(KINDS[kind]).complete
    assert told(router.run(KINDS[kind])) == []


def test_a_link_that_is_made_strict_is_put_right(router: FakeRouter) -> None:
    router.run(ONE)
    router.kernel.link("eth1.1").conf4["rp_filter"] = 1
    router.run(ONE)
    assert rp_filter(router, "eth1.1") == 0


def test_a_strict_vrf_of_somebody_elses_is_left_alone_and_said(router: FakeRouter) -> None:
    router.kernel.add_link("blue", kind="vrf", up=True, data={"IFLA_VRF_TABLE": 7})
    router.kernel.link("blue").conf4["rp_filter"] = 1
    result = router.run(IN_VRF)
    assert rp_filter(router, "blue") == 1
    assert [text for text in result.warnings if "net.ipv4.conf.blue.rp_filter" in text]


def test_a_router_that_answers_no_arp_is_said(router: FakeRouter) -> None:
    router.kernel.set_sysctl(f"{ALL}/arp_ignore", 8)
    assert [text for text in router.run(ONE).warnings if "net.ipv4.conf.all.arp_ignore is 8" in text]
    router.kernel.set_sysctl(f"{ALL}/arp_ignore", 1)
    assert not router.run(ONE).warnings
