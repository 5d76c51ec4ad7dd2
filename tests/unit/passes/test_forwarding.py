"""Somebody switches forwarding off: noticed, repaired at once, and suppressed where it is meant."""

from __future__ import annotations

import pytest

from tests.unit.fake.router import FakeRouter
from tests.unit.passes.orders import ONE
from tests.unit.passes.test_repairs import prompt, repaired

IPV4, IPV6 = "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"


@pytest.mark.parametrize("path", [IPV4, IPV6])
def test_forwarding_that_is_switched_off_is_heard_and_put_back(router: FakeRouter, path: str) -> None:
    router.run(ONE)
    events = router.kernel.events()
    router.kernel.set_sysctl(path, 0)
    looks = router.reconciler.kernel.resyncs
    assert "sysctl" in repaired(prompt(router, events, ONE))
    assert router.kernel.sysctl(path) == 1
    assert router.reconciler.kernel.resyncs == looks, "thousands of links need not be looked at for that"


def test_a_setting_for_all_links_that_comes_later_is_heard(router: FakeRouter) -> None:
    router.run(ONE)
    events = router.kernel.events()
    router.kernel.set_sysctl("net/ipv4/conf/all/rp_filter", 1)
    assert repaired(prompt(router, events, ONE)) == {"link"}
    assert router.kernel.link("eth1.1").conf4["rp_filter"] == 2


def test_forwarding_that_is_switched_off_three_times_in_ten_minutes_is_left_off_and_said(router: FakeRouter) -> None:
    router.run(ONE)
    for _ in range(3):
        assert router.kernel.sysctl(IPV4) == 1
        router.clock.now += 150
        router.kernel.set_sysctl(IPV4, 0)
        router.run(ONE)
    router.kernel.set_sysctl(IPV4, 0)
    for _ in range(3):
        router.clock.now += 1000
        router.run(ONE)
    assert router.kernel.sysctl(IPV4) == 0
    (said,) = router.queue.drift_notes()
    assert said == (
        "repair of sysctl net.ipv4.ip_forward is suppressed until the next apply: something else keeps undoing it"
    )
