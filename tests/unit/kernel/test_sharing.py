"""Rates that several share: where the tree stands, and what each is sure of."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dcedge.kernel.capabilities import EVERYTHING
from dcedge.kernel.queue.classify import Classifier
from dcedge.kernel.queue.resource import Shaper
from dcedge.kernel.queue.shaping import CONTROL, SHARED_MINORS, WHOLE, HtbClass
from dcedge.kernel.queue.shared_tree import Share, shared_tree
from dcedge.kernel.queue.sharing import shared_shapers
from dcedge.order.load import parse_order
from dcedge.plan.resource import Key
from dcedge.reconcile.desired import NOTHING, derive
from dcedge.reconcile.state.formats import Runtime
from tests.unit.kernel.orders import interfaces_of, vi

Connections = dict[str, dict[str, object]]
CIRCUIT: Connections = {
    "fra-3": {"provider": "azure", "port": "eth4", "bandwidth": "10G"},
    "er-1": {"provider": "azure", "over": "fra-3", "outer": 10, "protocol": "802.1ad", "bandwidth": "1G"},
}
HOSTED: Connections = {
    "fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "10G"},
    "h-1": {"provider": "generic", "over": "fra-1", "bandwidth": "100M"},
}
OVERSUBSCRIBED: Connections = {
    "fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "60M", "oversubscribe": True}
}


def shapers(connections: Connections, **interfaces: dict[str, object]) -> dict[str, Shaper]:
    found = shared_shapers(interfaces_of(connections=connections, **interfaces), EVERYTHING, {})
    return {shaper.link: shaper for shaper in found}


def classes_of(shaper: Shaper) -> dict[int, HtbClass]:
    assert shaper.tree is not None
    return {htb.minor: htb for htb in shaper.tree.classes}


def test_a_circuit_is_shaped_on_its_outer_tag() -> None:
    found = shapers(
        CIRCUIT, a=vi(101, connection="er-1", bandwidth=None), b=vi(102, connection="er-1", bandwidth="200M")
    )
    assert list(found) == ["eth4.10"]
    classes = classes_of(found["eth4.10"])
    assert classes[WHOLE].rate_bytes == 125_000_000
    assert classes[SHARED_MINORS + 102].ceil_bytes == 25_000_000
    assert found["eth4.10"].affects == ("a", "b")


def test_a_hosted_connection_without_a_tag_is_a_part_of_its_port() -> None:
    found = shapers(HOSTED, a=vi(101, connection="h-1", bandwidth="80M"), b=vi(102, connection="h-1", bandwidth="80M"))
    classes = classes_of(found["eth1"])
    parent = classes[SHARED_MINORS + 101].parent
    assert classes[parent].ceil_bytes == 12_500_000
    assert classes[SHARED_MINORS + 102].parent == parent
    assert classes[parent].parent == WHOLE


def test_there_is_no_tree_where_everything_fits() -> None:
    assert shapers(OVERSUBSCRIBED, a=vi(1, bandwidth="30M"), b=vi(2, bandwidth="30M")) == {}
    assert shapers(CIRCUIT, a=vi(101, connection="er-1", bandwidth=None)) == {}
    assert list(shapers(OVERSUBSCRIBED, a=vi(1, bandwidth="40M"), b=vi(2, bandwidth="30M"))) == ["eth1"]


@given(rate=st.integers(2_000_000, 100_000_000_000), rates=st.lists(st.integers(1_000_000, 10_000_000_000), min_size=2))
def test_what_is_sure_is_never_more_than_the_whole(rate: int, rates: list[int]) -> None:
    shares = [Share(SHARED_MINORS + n, each, 1500, 0, "fq_codel", None) for n, each in enumerate(rates, 1)]
    classes = {htb.minor: htb for htb in shared_tree(rate, (), shares, Classifier(b"", 0)).classes}
    whole, control = classes.pop(WHOLE), classes.pop(CONTROL)
    assert whole.rate_bytes == rate // 8
    # A byte a second each, at least, is rounded up.
    assert control.rate_bytes + sum(htb.rate_bytes for htb in classes.values()) <= whole.rate_bytes + len(classes)
    assert all(htb.priority > control.priority for htb in classes.values())
    assert all(htb.rate_bytes <= htb.ceil_bytes <= whole.rate_bytes for htb in classes.values())


def test_a_changed_rate_of_one_changes_what_all_share() -> None:
    def text(rate: str) -> str:
        return (
            "router: {asn: 65010, router_id: 10.255.0.1}\n"
            "connections: {fra-1: {provider: generic, port: eth1, bandwidth: 60M, oversubscribe: true}}\n"
            "virtual_gateways: {prod: {vpc: prod, asn: 64512, accept: [10.20.0.0/16]}}\n"
            "virtual_interfaces:\n"
            "  a: {connection: fra-1, virtual_gateway: prod, vlan: 1, bandwidth: 40M,"
            " addresses: [{customer: 10.255.1.2/30, cloud: 10.255.1.1}]}\n"
            f"  b: {{connection: fra-1, virtual_gateway: prod, vlan: 2, bandwidth: {rate},"
            " addresses: [{customer: 10.255.2.2/30, cloud: 10.255.2.1}]}\n"
        )

    before, key = NOTHING, Key("shaper", "eth1")
    for rate, most in (("30M", 3_750_000), ("50M", 6_250_000), ("20M", None), ("30M", 3_750_000)):
        order = parse_order(text(rate), "order.yaml", before.order).order
        before = derive(order, Runtime(), {}, {}, kernel_has=EVERYTHING, previous=before)
        found = before.kernel.get(key)
        assert (classes_of(found)[SHARED_MINORS + 2].ceil_bytes if isinstance(found, Shaper) else None) == most
