"""Which virtual interfaces a drain means, which it must not take, and when one counts as quiet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dcedge.order.drain import DrainRefusedError, quiet_bps, refuse_last_paths, select, undone
from dcedge.order.field_types import Family
from dcedge.order.load import parse_order
from dcedge.order.model import Order
from dcedge.order.resolve import resolve_interface

BOTH: tuple[Family, ...] = ("ipv4", "ipv6")
IPV4: tuple[Family, ...] = ("ipv4",)
ORDER = """\
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections:
  fra-1: {provider: generic, port: eth1, bandwidth: 10G}
  fra-2: {provider: generic, port: eth2, bandwidth: 10G}
  spare: {provider: generic, port: eth3, bandwidth: 10G}
  part: {provider: generic, over: fra-2, bandwidth: 1G}
virtual_gateways:
  prod: {vpc: prod, asn: 64512, accept: [10.20.0.0/16, "2001:db8:20::/48"]}
  dev: {vpc: dev, asn: 64513, accept: [10.30.0.0/16]}
virtual_interfaces:
  prod-a:
    connection: fra-1
    virtual_gateway: prod
    vlan: 101
    bandwidth: 50M
    bgp: {bfd: {interval: 50ms, multiplier: 3}}
    addresses:
      - {customer: 10.255.101.2/30, cloud: 10.255.101.1}
      - {customer: "2001:db8:101::2/126", cloud: "2001:db8:101::1"}
  prod-b:
    connection: fra-2
    virtual_gateway: prod
    vlan: 102
    bandwidth: 50M
    preference: backup
    addresses: [{customer: 10.255.102.2/30, cloud: 10.255.102.1}]
  dev-a:
    connection: part
    virtual_gateway: dev
    vlan: 103
    addresses: [{customer: 10.255.103.2/30, cloud: 10.255.103.1}]
"""


@pytest.fixture(scope="module")
def order() -> Order:
    return parse_order(ORDER, "order.yaml").order


@pytest.mark.parametrize(
    ("names", "all_but", "chosen"),
    [
        (["prod-a"], False, {"prod-a"}),
        (["fra-1"], False, {"prod-a"}),
        (["fra-2"], False, {"prod-b", "dev-a"}),
        (["part", "prod-a"], False, {"dev-a", "prod-a"}),
        (["prod-a"], True, {"prod-b", "dev-a"}),
        (["fra-2"], True, {"prod-a"}),
        (["spare"], True, {"prod-a", "prod-b", "dev-a"}),
    ],
)
def test_names_are_of_virtual_interfaces_or_connections(
    order: Order, names: list[str], all_but: bool, chosen: set[str]
) -> None:
    assert select(order, {"names": names, "all_but": all_but}) == chosen


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"names": ["prod-c", "nonsense"]}, "'prod-c'; did you mean 'prod-"),
        ({"names": ["prod-c", "nonsense"]}, "there is no virtual interface or connection 'nonsense'"),
        ({"names": []}, "name the virtual interfaces"),
        ({"names": ["spare"]}, "selects no virtual interface"),
        ({"names": ["fra-1", "fra-2"], "all_but": True}, "selects no virtual interface"),
    ],
)
def test_what_names_nothing_is_refused_in_words(order: Order, wish: dict[str, object], said: str) -> None:
    with pytest.raises(DrainRefusedError) as refused:
        select(order, wish)
    assert said in str(refused.value)


def test_what_has_left_the_order_can_still_be_undrained(order: Order) -> None:
    assert select(order, {"names": ["gone"]}, also={"gone"}) == {"gone"}


def test_the_last_path_is_refused_family_by_family(order: Order) -> None:
    sound = {"prod-a": BOTH, "prod-b": IPV4, "dev-a": IPV4}
    with pytest.raises(DrainRefusedError, match=r"prod would be left without a path that carries IPv6 \(beside prod-a"):
        refuse_last_paths(order, {"prod-a"}, {"prod-a"}, sound)
    refuse_last_paths(order, {"prod-a"}, {"prod-a"}, {**sound, "prod-a": IPV4})
    with pytest.raises(DrainRefusedError, match="carries IPv4"):
        refuse_last_paths(order, {"prod-b"}, {"prod-a", "prod-b"}, {"prod-b": IPV4})


def test_a_path_that_carries_nothing_now_is_still_the_last(order: Order) -> None:
    with pytest.raises(DrainRefusedError, match="dev would be left"):
        refuse_last_paths(order, {"dev-a"}, {"dev-a"}, {})
    refuse_last_paths(order, {"prod-b"}, {"prod-b"}, {"prod-a": BOTH})


def test_a_gateway_that_was_drained_before_by_force_is_not_the_next_ones_concern(order: Order) -> None:
    refuse_last_paths(order, {"prod-b"}, {"dev-a", "prod-b"}, {"prod-a": BOTH, "prod-b": IPV4})


def test_fast_bfd_is_no_traffic(order: Order) -> None:
    quick, slow = (quiet_bps(resolve_interface(order, name)) for name in ("prod-a", "dev-a"))
    assert quick > 2 * 20 * 86 * 8  # two sessions, twenty frames a second of IPv6's 86 bytes
    assert slow < 20_000


def test_keepalives_and_neighbour_discovery_are_no_traffic(order: Order) -> None:
    """Without BFD, and probed once in a thousand seconds."""
    idle = replace(resolve_interface(order, "prod-b"), probe_interval=1000.0)
    assert not any(session.bfd for session in idle.sessions)
    assert 5_000 < quiet_bps(idle) < 50_000


def test_a_drain_is_not_done_while_frr_or_the_kernel_has_not_done_it(order: Order) -> None:
    interfaces = {name: resolve_interface(order, name) for name in order.virtual_interfaces}
    assert undone(["prod-a", "gone"], interfaces, (), (), frr_available=True) == []
    assert undone(["prod-a"], interfaces, (), (), frr_available=False) == ["prod-a"]
    assert undone(interfaces, interfaces, ("prod-b",), ("dev-a",), frr_available=True) == ["dev-a", "prod-b"]
