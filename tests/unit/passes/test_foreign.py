"""Ours against theirs: what others have made survives everything, and what stands in our place is said, not touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyroute2.netlink.rtnl import TC_H_INGRESS

from dcedge.api.plan import preview_notes
from dcedge.netlink.descriptions import INGRESS_HANDLE
from dcedge.order.model import Order
from dcedge.reconcile.state.formats import Runtime
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import FASTER, KINDS, ONE, TWO, order

UNTAGGED = order({"a": vi(1, vlan=0)})


def others_move_in(router: FakeRouter) -> None:
    """A bridge, a VLAN on our port, addresses and queues that somebody else needs."""
    kernel = router.kernel
    kernel.add_link("br0", kind="bridge", up=True)
    kernel.add_link("eth1.900", below="eth1", up=True, vlan=900)
    kernel.add_address("eth1.900", "198.51.100.1/24")
    kernel.add_qdisc("eth1.900", "pfifo", 0x10 << 16)
    kernel.add_qdisc("eth1", "pfifo", 0x20 << 16)
    kernel.add_address("eth1", "203.0.113.1/24")


def theirs(router: FakeRouter) -> tuple[object, ...]:
    kernel = router.kernel
    return (
        {"br0", "eth1.900"} <= kernel.names,
        kernel.addresses("eth1.900"),
        kernel.root("eth1.900"),
        kernel.root("eth1"),
        kernel.addresses("eth1"),
    )


def test_what_others_have_survives_orders_repairs_and_a_purge(router: FakeRouter) -> None:
    others_move_in(router)
    before = theirs(router)
    for ordered in (ONE, TWO, FASTER, ONE):
        assert router.run(ordered).complete
        assert theirs(router) == before
    router.kernel.remove_link("eth1.1")
    assert router.run(ONE).complete
    router.purge()
    assert theirs(router) == before
    assert router.kernel.names == {"eth1", "eth2", "br0", "eth1.900"}


def test_a_purge_by_a_process_that_knows_nothing_takes_ours_only(router: FakeRouter) -> None:
    router.run(TWO)
    others_move_in(router)
    before = theirs(router)
    router.store.clear()
    router.start()
    router.purge()
    assert theirs(router) == before
    assert router.kernel.names == {"eth1", "eth2", "br0", "eth1.900"}


def refuses(router: FakeRouter, ordered: Order, key: str) -> str:
    """The words in which a pass says that something is not ours to take."""
    result = router.run(ordered)
    (failure,) = (failure for failure in result.failures if str(failure.operation.key) == key)
    assert failure.operation.affects == ("a",)
    return failure.text


def test_a_link_of_somebody_elses_under_our_name_is_said_and_not_touched(router: FakeRouter) -> None:
    router.kernel.add_link("eth1.1", below="eth1", alias="the lab's", up=True, vlan=1)
    router.kernel.add_address("eth1.1", "198.51.100.1/24")
    for _ in range(2):
        told = refuses(router, TWO, "link eth1.1")
        assert told == "eth1.1 exists and is not dcedge's: remove it, or order another VLAN"
        assert router.kernel.addresses("eth1.1") == {"198.51.100.1/24"}
        assert (router.kernel.link("eth1.1").alias, router.kernel.root("eth1.1")) == ("the lab's", None)
        assert router.kernel.addresses("eth2.2"), "the others are as ordered"
    assert not router.run(order({"b": vi(2, connection="fra-2")})).failures
    assert router.kernel.link("eth1.1").alias == "the lab's", "not ordered any more, and still not ours"
    router.purge()
    assert router.kernel.link("eth1.1").alias == "the lab's"


def test_a_device_of_another_kind_under_our_name_is_not_touched(router: FakeRouter) -> None:
    router.kernel.add_link("eth1.1", kind="dummy")
    assert "is not dcedge's" in refuses(router, ONE, "link eth1.1")
    router.purge()
    assert router.kernel.link("eth1.1").kind == "dummy"


def test_once_theirs_is_gone_ours_takes_its_place(router: FakeRouter) -> None:
    router.kernel.add_link("eth1.1", kind="dummy")
    assert router.run(ONE).failures
    router.kernel.remove_link("eth1.1")
    assert router.run(ONE).complete
    assert router.kernel.link("eth1.1").alias == "dcedge:a"


def test_a_vlan_that_others_have_under_another_name_is_said_with_that_name(router: FakeRouter) -> None:
    router.kernel.add_link("uplink", below="eth1", vlan=1)
    assert "VLAN 1 on eth1 is uplink already, which is not dcedge's" in refuses(router, ONE, "link eth1.1")
    assert router.kernel.names == {"eth1", "eth2", "uplink"}


@pytest.mark.parametrize(("master", "kind"), [("br0", "bridge"), ("bond7", "bond"), ("team0", "team"), ("red", "vrf")])
def test_a_port_that_another_device_has_is_not_torn_out_of_it(router: FakeRouter, master: str, kind: str) -> None:
    router.kernel.add_link(master, kind=kind, up=True)
    router.kernel.set_link("eth1", master=router.kernel.link(master).index)
    before = router.kernel.picture()
    told = refuses(router, UNTAGGED, "link eth1")
    assert told == f"eth1 is a member of {master} ({kind}): take it out there, or order another port"
    assert router.kernel.link("eth1").master == router.kernel.link(master).index
    preview = router.reconciler.preview(router.reconciler.intent(UNTAGGED, Runtime()))
    assert told in [operation.refusal for operation in preview.plan.operations]
    router.purge()
    assert router.kernel.picture() == before


def test_a_bond_does_not_take_what_another_device_has(router: FakeRouter) -> None:
    router.kernel.add_link("br0", kind="bridge", up=True)
    router.kernel.set_link("eth1", master=router.kernel.link("br0").index)
    before = router.kernel.picture()
    told = refuses(router, KINDS["a bond"], "member eth1")
    assert told == "eth1 is a member of br0 (bridge): take it out there, or order another port"
    assert router.kernel.link("eth1").master == router.kernel.link("br0").index
    assert router.kernel.link("eth2").master == router.kernel.link("bond0").index, "the bond has its other member"
    router.kernel.set_link("eth1", master=0)
    assert router.run(KINDS["a bond"]).complete
    router.kernel.set_link("eth1", master=router.kernel.link("br0").index)
    router.purge()
    assert router.kernel.picture() == before


def test_a_queue_that_others_have_on_our_port_stays(router: FakeRouter) -> None:
    router.kernel.add_qdisc("eth1", "pfifo", 0x20 << 16)
    told = refuses(router, UNTAGGED, "shaper eth1")
    assert told == "eth1 has somebody else's pfifo 20:: remove it, or order without a rate"
    assert router.kernel.root("eth1") == ("pfifo", "20:")
    router.purge()
    assert router.kernel.root("eth1") == ("pfifo", "20:")


def test_an_untagged_port_keeps_what_others_have_on_it(router: FakeRouter) -> None:
    router.kernel.add_address("eth1", "203.0.113.1/24")
    assert router.run(UNTAGGED).complete
    assert router.kernel.addresses("eth1") == {"203.0.113.1/24", "10.255.1.2/30", "2001:db8:1::2/126"}
    router.purge()
    assert router.kernel.addresses("eth1") == {"203.0.113.1/24"}
    assert (router.kernel.link("eth1").alias, router.kernel.link("eth1").altnames) == ("", [])


def test_however_many_untagged_ports_are_given_up_their_queues_are_asked_for_at_once(router: FakeRouter) -> None:
    asked = []
    both = {"a": vi(1, vlan=0), "b": vi(2, vlan=0, connection="fra-2")}
    for interfaces in ({"a": both["a"]}, both):
        assert router.run(order(interfaces)).complete
        router.kernel.asked.clear()
        router.purge()
        assert router.kernel.root("eth1") is None
        asked.append(sum(look.what == "RTM_GETQDISC" for look in router.kernel.asked))
    assert asked[0] == asked[1]


def test_a_vrf_of_somebody_elses_is_used_and_left(router: FakeRouter) -> None:
    router.kernel.add_link("blue", kind="vrf", up=True, data={"IFLA_VRF_TABLE": 77})
    ordered = order({"a": vi(1, static=("10.20.0.0/16",))}, gateway={"vrf": "blue"})
    assert router.run(ordered).complete
    assert router.kernel.link("eth1.1").master == router.kernel.link("blue").index
    assert [key.table for key in router.kernel.routes] == [77]
    router.purge()
    assert "blue" in router.kernel.names


def test_the_mtu_of_a_port_goes_back_only_as_far_as_others_need_it(router: FakeRouter) -> None:
    jumbo = order(
        {"a": vi(1)}, connections={"fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G", "mtu": 8500}}
    )
    router.run(jumbo)
    assert router.kernel.link("eth1").mtu == 8500
    router.kernel.add_link("eth1.900", below="eth1", mtu=4000, vlan=900)
    router.purge()
    assert (router.kernel.link("eth1").mtu, router.kernel.link("eth1.900").mtu) == (4000, 4000)


def test_a_link_that_lost_its_mark_is_known_by_the_state_file(router: FakeRouter) -> None:
    router.run(ONE)
    router.kernel.set_link("eth1.1", alias="")
    assert router.run(ONE).complete
    assert router.kernel.link("eth1.1").alias == "dcedge:a"


@pytest.mark.parametrize(("name", "vlan"), [("eth1", 0), ("eth1.1", 1)], ids=["untagged", "a VLAN"])
@pytest.mark.parametrize("kind", ["clsact", "ingress"])
def test_what_others_have_on_the_way_in_goes_together_with_ours(
    router: FakeRouter, kind: str, name: str, vlan: int
) -> None:
    """Programs of Cilium and of many others stand at a clsact."""
    plain, wanted = (order({"a": vi(1, vlan=vlan, shaping={"ingress": shaped})}) for shaped in (False, True))
    router.run(plain)
    router.kernel.add_qdisc(name, kind, INGRESS_HANDLE, TC_H_INGRESS)
    result = router.run(wanted)
    assert result.complete, result.failures
    assert not router.run(wanted).done.operations
    router.run(plain)
    kinds = [qdisc.kind for qdisc in router.kernel.link(name).queues.qdiscs if qdisc.parent == TC_H_INGRESS]
    assert kinds == (["clsact"] if kind == "clsact" else [])
    assert not [one for one in router.kernel.link(name).queues.filters if one.kind == "u32"]


@pytest.mark.parametrize(
    "wanted",
    [order({"a": vi(1, vlan=0)}, gateway={"vrf": "red"}), KINDS["a bond"]],
    ids=["an untagged virtual interface in a VRF", "a bond"],
)
def test_somebodys_vlan_on_a_port_of_ours_keeps_its_addresses(router: FakeRouter, wanted: Order) -> None:
    router.kernel.add_link("eth1.77", below="eth1", up=True, vlan=77)
    for address in ("2001:db8:77::1/64", "203.0.113.77/24"):
        router.kernel.add_address("eth1.77", address)
    assert router.run(wanted).complete
    assert router.kernel.addresses("eth1.77") == {"2001:db8:77::1/64", "203.0.113.77/24"}
    router.purge()
    assert router.kernel.addresses("eth1.77") == {"2001:db8:77::1/64", "203.0.113.77/24"}


@pytest.mark.parametrize("kind", ["bond", "team"])
@pytest.mark.parametrize("ordered", [ONE, TWO], ids=["one", "two"])
def test_vlans_on_one_member_of_somebodys_bond_are_said_to_miss_what_comes_by_the_others(
    router: FakeRouter, kind: str, ordered: Order
) -> None:
    router.kernel.add_link("lag0", kind=kind, up=True)
    router.kernel.set_link("eth1", master=router.kernel.link("lag0").index)
    (said,) = router.run(ordered).warnings
    assert said == (
        f"port eth1 is a member of lag0 ({kind}): what the other end sends over other members"
        " does not come in here; order port lag0"
    )
    preview = router.reconciler.preview(router.reconciler.intent(ordered, Runtime()))
    assert said in preview_notes(preview)
    router.kernel.set_link("eth1", master=0)
    assert not router.run(ordered).warnings


@pytest.mark.parametrize("kind", ["bridge", "vrf"])
def test_vlans_on_a_port_that_is_in_a_bridge_or_a_vrf_are_none_of_its(router: FakeRouter, kind: str) -> None:
    """The kernel gives a port's VLANs their packets before the bridge has them (__netif_receive_skb_core)."""
    router.kernel.add_link("m0", kind=kind, up=True)
    router.kernel.set_link("eth1", master=router.kernel.link("m0").index)
    result = router.run(ONE)
    assert result.complete
    assert not result.warnings


def test_the_members_of_an_ordered_bond_are_no_warning(router: FakeRouter) -> None:
    assert router.run(KINDS["a bond"]).complete
    assert not router.run(KINDS["a bond"]).warnings


def test_somebodys_address_in_our_subnet_that_was_there_first_is_said(router: FakeRouter) -> None:
    """The kernel has it as the primary one, whose address BGP would begin with."""
    router.kernel.add_address("eth1", "10.255.1.3/30")
    result = router.run(UNTAGGED)
    assert result.complete
    assert result.warnings == (
        "10.255.1.2/30 on eth1 comes after somebody's address in its subnet, which is the source of what this router"
        " sends to the cloud: see `ip address show dev eth1`, and remove that one",
    )
    assert not router.run(UNTAGGED).done.operations
    router.kernel.remove_address("eth1", "10.255.1.3/30")
    router.kernel.add_address("eth1", "10.255.1.3/30")
    router.kernel.add_address("eth1", "198.51.100.1/24")
    assert not router.run(UNTAGGED).warnings, "what came later has no say"


def test_the_vrfs_of_others_count_among_what_frr_can_bear(
    router: FakeRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemons = tmp_path / "daemons"
    daemons.write_text("MAX_FDS=1024\n")
    monkeypatch.setattr("dcedge.reconcile.reconciler.DAEMONS_FILE", daemons)
    fast = order({"a": vi(1, bgp={"bfd": True})})

    def of_bfdd() -> list[str]:
        return [text for text in router.run(fast).warnings if "BFD sessions" in text and "too few" in text]

    assert of_bfdd() == []
    router.frr.others_vrfs = frozenset(f"red{number}" for number in range(300))
    (said,) = of_bfdd()
    assert "too few for 2 BFD sessions in 300 VRFs of others: set MAX_FDS=2048" in said
