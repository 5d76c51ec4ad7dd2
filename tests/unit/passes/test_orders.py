"""From nothing to everything as ordered, and back: whole passes on a kernel, an FRR and an nftables in miniature."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcedge.reconcile.result import PassResult
from dcedge.reconcile.state.formats import Runtime
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import FASTER, KINDS, ONE, TWO, order


def told(result: PassResult) -> list[str]:
    """What a pass did and what it could not do, in words."""
    done = [f"{o.action} {o.key}: {o.brief()}" for o in result.done.operations]
    return done + [f"FAILED {failure.operation.key}: {failure.text}" for failure in result.failures]


def test_an_order_becomes_links_addresses_shapers_sessions_and_a_firewall(router: FakeRouter) -> None:
    result = router.run(ONE)
    assert result.complete
    kernel, link = router.kernel, router.kernel.link("eth1.1")
    assert (link.kind, link.data["IFLA_VLAN_ID"], link.mtu, link.up) == ("vlan", 1, 1500, True)
    assert (link.alias, link.altnames) == ("dcedge:a", ["vi-a"])
    assert kernel.addresses("eth1.1") == {"10.255.1.2/30", "2001:db8:1::2/126"}
    assert kernel.root("eth1.1") == ("htb", "dce:")
    assert kernel.htb_class("eth1.1", 1).rate == 50_000_000 // 8
    assert [one.kind for one in link.queues.qdiscs] == ["htb", "tbf", "fq_codel"]
    assert [(one.kind, f"{one.parent >> 16:x}:") for one in link.queues.filters] == [("bpf", "dce:")]
    assert (link.conf4["rp_filter"], link.conf4["accept_redirects"], link.conf4["arp_ignore"]) == (0, 0, 1)
    assert kernel.sysctl("net/ipv6/conf/eth1.1/forwarding") == 1
    assert (kernel.sysctl("net/ipv4/ip_forward"), kernel.sysctl("net/ipv6/conf/all/forwarding")) == (1, 1)
    assert "neighbor 10.255.1.1 remote-as 64512" in router.frr_lines
    assert router.firewall.state == result.intent.firewall


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_is_left_alone(kind: str, router: FakeRouter) -> None:
    """By the process that made it, and by the one after it."""
    assert told(result := router.run(KINDS[kind]))
    assert result.complete, told(result)
    for _ in range(2):
        assert told(router.run(KINDS[kind])) == []
        assert router.kernel.done == []
        router.start()


@pytest.mark.parametrize("kind", KINDS)
def test_a_purge_leaves_the_router_as_it_was(kind: str, router: FakeRouter) -> None:
    before = router.kernel.picture()
    router.run(KINDS[kind])
    result = router.purge()
    assert not result.failures, told(result)
    assert router.kernel.picture() == before
    assert (router.frr_lines, router.firewall.state) == (set(), {})


@pytest.mark.parametrize("kind", KINDS)
def test_one_order_becomes_another(kind: str, router: FakeRouter) -> None:
    router.run(KINDS[kind])
    aim = KINDS["static routes that share"]
    result = router.run(aim)
    assert result.complete, told(result)
    assert told(router.run(aim)) == []


def test_another_rate_changes_the_classes_in_place_and_nothing_else(router: FakeRouter) -> None:
    router.run(TWO)
    result = router.run(FASTER)
    assert [str(operation.key) for operation in result.done.operations] == ["shaper eth1.1"]
    assert [operation.disruption for operation in result.done.operations] == ["none"]
    assert set(router.kernel.done) <= {"RTM_NEWTCLASS eth1.1", "RTM_NEWQDISC eth1.1"}
    assert router.kernel.htb_class("eth1.1", 1).rate == 10_000_000
    assert router.kernel.htb_class("eth2.2", 1).rate == 6_250_000


def test_what_is_ordered_no_more_goes_and_its_peer_hears_first(router: FakeRouter) -> None:
    router.run(TWO)
    assert router.run(ONE).complete
    assert router.kernel.names == {"eth1", "eth2", "eth1.1"}
    assert not any("10.255.2.1" in line for line in router.frr_lines)


def test_nobody_can_hold_the_same_thing_of_a_link_twice(router: FakeRouter) -> None:
    """The children of a link are remembered by it: each once, however often it is observed."""
    for ordered in (KINDS["untagged, alone on its port"], TWO):
        for _ in range(3):
            result = router.run(ordered)
        seen = router.reconciler.kernel.seen
        for name in result.indices:
            children = list(seen.children(name))
            assert len(children) == len(set(children)), f"{name}: {children}"


def test_a_kernel_that_lacks_queues_and_marks_gets_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    router = FakeRouter(tmp_path, monkeypatch, lacks=("fq_codel", "cake", "skbedit"))
    assert router.run(ONE).complete
    assert [one.kind for one in router.kernel.link("eth1.1").queues.qdiscs] == ["htb", "tbf", "pfifo"]
    assert told(router.run(ONE)) == []


def test_without_nftables_everything_else_is_as_ordered(router: FakeRouter) -> None:
    router.firewall.absent = "nft refuses an inet table here"
    result = router.run(ONE)
    assert (result.failures, result.firewall_detail) == ((), "nft refuses an inet table here")
    assert router.kernel.addresses("eth1.1")
    router.firewall.absent = ""
    assert router.run(ONE).firewall_detail == ""
    assert router.firewall.state == result.intent.firewall


def test_without_frr_the_kernel_is_as_ordered_and_frr_follows_when_it_is_there(router: FakeRouter) -> None:
    router.frr.absent = True
    result = router.run(ONE)
    assert (result.failures, result.complete, result.frr_detail) == ((), False, "bgpd is not running")
    assert router.kernel.root("eth1.1") == ("htb", "dce:")
    router.frr.absent = False
    result = router.run(ONE)
    assert result.complete
    assert result.done
    assert {operation.key for operation in result.done.operations} <= result.intent.frr.keys()


def test_a_withdrawn_path_takes_no_traffic_and_comes_back(router: FakeRouter) -> None:
    ordered = KINDS["static routes that share"]
    router.run(ordered)
    assert router.kernel.gateways("10.20.0.0/16") == [("10.255.1.1", "10.255.2.1")]
    result = router.run(ordered, runtime=Runtime(withdrawn=frozenset({"b"})))
    assert [str(o.key.type) for o in result.done.operations] == ["route"]
    assert router.kernel.gateways("10.20.0.0/16") == [("10.255.1.1",)]
    assert router.run(ordered).complete
    assert router.kernel.gateways("10.20.0.0/16") == [("10.255.1.1", "10.255.2.1")]


def test_a_drained_path_ranks_behind_the_others(router: FakeRouter) -> None:
    ordered = KINDS["static routes that share"]
    router.run(ordered)
    router.run(ordered, runtime=Runtime(drained=frozenset({"a"})))
    assert router.kernel.gateways("10.20.0.0/16") == [("10.255.2.1",), ("10.255.1.1",)]
    router.run(ordered)
    assert router.kernel.gateways("10.20.0.0/16") == [("10.255.1.1", "10.255.2.1")]


def test_what_moves_into_a_vrf_and_out_of_it_keeps_its_ipv6_addresses_and_those_of_others(router: FakeRouter) -> None:
    """The kernel takes them from a link that changes its VRF, and from all in a VRF that goes."""
    router.run(ONE)
    router.kernel.add_address("eth1.1", "2001:db8:99::1/64")
    for ordered, vrf in ((order({"a": vi(1)}, gateway={"vrf": "blue"}), True), (ONE, False)):
        result = router.run(ordered)
        assert (result.complete, result.changed_meanwhile) == (True, False)
        assert ("blue" in router.kernel.names) is vrf
        assert router.kernel.addresses("eth1.1") == {"10.255.1.2/30", "2001:db8:1::2/126", "2001:db8:99::1/64"}
