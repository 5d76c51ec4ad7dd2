"""IPv6 of a router that has its own: defaults by advertisement, and a kernel without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import ONE, order
from tests.unit.passes.test_orders import told

ONLY_IPV4 = order({"a": vi(1, addresses=({"customer": "10.255.1.2/30", "cloud": "10.255.1.1"},))})
ACCEPT_RA = "net/ipv6/conf/{}/accept_ra"


@pytest.fixture
def router(router: FakeRouter) -> FakeRouter:
    """Its management port has its IPv6 default by a router's advertisement."""
    router.kernel.add_link("mgmt0", up=True)
    router.kernel.add_advertised_default("mgmt0")
    return router


def test_an_order_without_ipv6_leaves_ipv6_alone(router: FakeRouter) -> None:
    assert router.run(ONLY_IPV4).complete
    assert router.kernel.sysctl("net/ipv6/conf/all/forwarding") == 0
    assert router.kernel.has_advertised_default()
    assert router.kernel.sysctl(ACCEPT_RA.format("mgmt0")) == 1
    assert router.kernel.sysctl(ACCEPT_RA.format("eth1.1")) == 0, "no default route comes from a cloud's side"
    assert told(router.run(ONLY_IPV4)) == []


def test_with_ipv6_the_default_by_advertisement_stays_and_is_seen_to_first(router: FakeRouter) -> None:
    result = router.run(ONE)
    assert result.complete
    assert router.kernel.sysctl("net/ipv6/conf/all/forwarding") == 1
    assert router.kernel.has_advertised_default()
    changed = [o.key.name for o in result.done.operations if o.key.type == "sysctl"]
    assert changed.index("net.ipv6.conf.mgmt0.accept_ra") < changed.index("net.ipv6.conf.all.forwarding")
    assert told(router.run(ONE)) == []
    router.purge()
    assert router.kernel.sysctl(ACCEPT_RA.format("mgmt0")) == 1
    assert router.kernel.sysctl("net/ipv6/conf/all/forwarding") == 0


def test_only_links_that_have_such_a_default_heed_advertisements_and_none_of_ours(router: FakeRouter) -> None:
    router.kernel.add_link("lan0", up=True)
    router.run(ONE)
    router.kernel.add_advertised_default("eth1.1")
    router.run(ONE)
    assert [router.kernel.sysctl(ACCEPT_RA.format(link)) for link in ("lan0", "eth1", "mgmt0")] == [1, 1, 2]
    assert router.kernel.sysctl(ACCEPT_RA.format("eth1.1")) != 2


def test_the_default_of_a_port_in_somebodys_vrf_stays_too(router: FakeRouter) -> None:
    router.kernel.add_link("mgmt1", up=True)
    router.kernel.add_advertised_default("mgmt1", table=1100)
    router.run(ONE)
    assert router.kernel.sysctl(ACCEPT_RA.format("mgmt1")) == 2


def test_after_a_reboot_the_default_may_come_later_than_the_order(router: FakeRouter) -> None:
    router.run(ONE)
    router.kernel.set_sysctl(ACCEPT_RA.format("mgmt0"), 1)
    router.kernel.set_sysctl("net/ipv6/conf/all/forwarding", 0)
    router.kernel.routes.clear()
    router.start()
    assert router.run(ONE).complete
    assert router.kernel.sysctl(ACCEPT_RA.format("mgmt0")) == 2
    assert told(router.run(ONE)) == []


def test_a_purge_does_not_wait_for_the_settings_of_a_port_that_is_gone(router: FakeRouter) -> None:
    router.run(ONE)
    router.kernel.remove_link("mgmt0")
    result = router.purge()
    assert result.complete, result.failures
    assert router.kernel.sysctl("net/ipv6/conf/all/forwarding") == 0


def test_what_systemd_networkd_reads_by_itself_is_left_to_it(router: FakeRouter) -> None:
    router.kernel.set_sysctl(ACCEPT_RA.format("mgmt0"), 0)
    router.run(ONE)
    assert router.kernel.sysctl(ACCEPT_RA.format("mgmt0")) == 0


@pytest.mark.parametrize("gateway", [{}, {"vrf": "blue"}])
def test_a_kernel_without_ipv6_carries_ipv4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: dict[str, object]
) -> None:
    router = FakeRouter(tmp_path, monkeypatch, lacks=("ipv6",))
    before = router.kernel.picture()
    wanted = order({"a": vi(1, addresses=({"customer": "10.255.1.2/30", "cloud": "10.255.1.1"},))}, gateway=gateway)
    result = router.run(wanted)
    assert result.complete, told(result)
    assert told(router.run(wanted)) == []
    router.purge()
    assert router.kernel.picture() == before
