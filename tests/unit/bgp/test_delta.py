"""From what FRR has to what it should have: small, in an order FRR can take, and back again."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings

from dcedge.frr.config import ConfigLine, FrrConfig
from dcedge.frr.delta import block_delta, delta
from dcedge.frr.object_names import outbound_map_name
from dcedge.frr.observe import observe_frr, remember
from dcedge.plan.diff import plan
from dcedge.plan.resource import Disruption
from tests.unit.bgp.fake_frr import FakeFrr
from tests.unit.bgp.generated import orders
from tests.unit.bgp.orders import Derived, derived, keyed, vi

OPERATOR = """
router bgp 65010
 bgp log-neighbor-changes
 neighbor 192.168.0.1 remote-as 65010
 neighbor 192.168.0.1 description office
 address-family ipv4 unicast
  network 198.18.0.0/15
  neighbor 192.168.0.1 route-map office in
 exit-address-family
exit
route-map office permit 10
exit
bfd
 profile office
 exit
exit
"""


def steps(before: Derived, after: Derived) -> list[str]:
    """The delta's lines without indentation and without what opens and closes contexts."""
    text = block_delta(before.blocks, after.blocks)
    openers = ("router bgp", "address-family", "route-map", "exit", "bfd")
    return [line.strip() for line in text.splitlines() if not line.strip().startswith(openers)]


PLAIN = {"a": vi(1, bgp=keyed())}
N = "neighbor 10.255.1.1"
OUT_BACKUP = outbound_map_name(repr(((65010,) * 3, (), 100)))
OUT_PRIMARY = outbound_map_name(repr(((), (), 0)))
EMPTY = FrrConfig()


@pytest.mark.parametrize(
    ("changed", "expected", "disruption"),
    [
        ({"keepalive": "5s", "hold": "15s"}, [f"{N} timers 5 15"], "none"),
        ({"receive_limit": 7}, [f"{N} maximum-prefix 7 warning-only"], "none"),
        ({"advertise_limit": 9}, [f"{N} maximum-prefix-out 9"], "none"),
        ({"allowas_in": 3}, [f"{N} allowas-in"], "none"),
        ({"allowas_in": 1}, [f"{N} allowas-in 1"], "none"),
        (
            {"graceful_restart": True},
            ["bgp graceful-restart preserve-fw-state", f"{N} graceful-restart"],
            "session",
        ),
        ({"cloud_asn": 64999}, [f"{N} remote-as 64999"], "session"),
        ({"customer_asn": 65020}, [f"{N} local-as 65020 no-prepend replace-as"], "session"),
        ({"multihop": 3}, [f"{N} ebgp-multihop 3"], "session"),
        ({"ttl_security": True}, [f"{N} ttl-security hops 1"], "session"),
    ],
)
def test_one_key_of_the_order_is_one_line(
    changed: dict[str, object], expected: list[str], disruption: Disruption
) -> None:
    before, after = derived(PLAIN), derived({"a": vi(1, bgp=keyed(**changed))})
    assert steps(before, after) == expected
    assert plan(after.blocks, before.blocks).disruption == disruption


def test_a_changed_password_is_one_line_and_no_plan_shows_it() -> None:
    before, after = derived(PLAIN, secret="0ld"), derived(PLAIN, secret="n3w")
    assert steps(before, after) == [f"{N} password n3w"]
    (operation,) = plan(after.blocks, before.blocks).operations
    assert operation.disruption == "session"
    assert operation.describe() == f"router bgp 65010: {N} password *** -> *** (changed)"
    assert "n3w" not in repr(operation)
    assert "0ld" not in repr(operation)


def test_a_password_that_goes_is_undone_without_naming_it() -> None:
    assert steps(derived(PLAIN), derived({"a": vi(1)})) == [f"no {N} password"]


def test_ttl_security_and_multihop_exclude_each_other_so_one_goes_first() -> None:
    hops, ttl = derived({"a": vi(1, bgp={"multihop": 2})}), derived({"a": vi(1, bgp={"ttl_security": True})})
    assert steps(hops, ttl) == [f"no {N} ebgp-multihop", f"{N} ttl-security hops 1"]
    assert steps(ttl, hops) == [f"no {N} ttl-security hops 1", f"{N} ebgp-multihop 2"]


def test_bfd_that_goes_takes_its_profile_along() -> None:
    text = steps(derived({"a": vi(1, bgp={"bfd": True})}), derived({"a": vi(1)}))
    assert f"no {N} bfd" in text
    assert not any("bfd profile" in line for line in text)


def test_graceful_restart_and_bfd_give_way_to_each_other_in_one_line() -> None:
    graceful, bfd = derived({"a": vi(1, bgp={"graceful_restart": True})}), derived({"a": vi(1, bgp={"bfd": True})})
    assert f"{N} graceful-restart-disable" in steps(graceful, bfd)
    assert f"{N} graceful-restart" in steps(bfd, graceful)
    for text in (steps(graceful, bfd), steps(bfd, graceful)):
        assert not any(line.startswith(f"no {N} graceful-restart") for line in text)
    assert steps(graceful, derived({"a": vi(1)})) == [
        f"no {N} graceful-restart",
        "no bgp graceful-restart preserve-fw-state",
    ]


def test_a_new_neighbour_stays_shut_until_it_is_complete() -> None:
    text = block_delta({}, derived(PLAIN).blocks).splitlines()
    places = [
        text.index(line)
        for line in (f" {N} remote-as 64512", f" {N} shutdown", f" {N} password s3cret", f" no {N} shutdown")
    ]
    assert places == sorted(places)
    assert text.index(f"  {N} route-map dcedge-prod-v4-in-200 in") < places[-1]


def test_one_of_several_goes_by_one_line_and_its_policy_after_it() -> None:
    two, one = derived({**PLAIN, "b": vi(2, preference="backup")}), derived(PLAIN)
    text = block_delta(two.blocks, one.blocks).splitlines()
    assert text == [
        "router bgp 65010",
        " no neighbor 10.255.2.1",
        "exit",
        f"no route-map {OUT_BACKUP} permit 10",
        "no route-map dcedge-prod-v4-in-110 permit 10",
    ]
    told = plan(one.blocks, two.blocks)
    assert {operation.affects for operation in told.operations} == {("b",)}
    assert told.disruption == "session"


def test_another_policy_is_another_route_map_and_no_reset() -> None:
    before, after = derived({**PLAIN, "b": vi(2)}), derived({**PLAIN, "b": vi(2, preference="backup")})
    text = block_delta(before.blocks, after.blocks).splitlines()
    assert text.index("  neighbor 10.255.2.1 route-map dcedge-prod-v4-in-110 in") > text.index(
        "route-map dcedge-prod-v4-in-110 permit 10"
    )
    assert not any("10.255.1.1" in line or line.startswith("no ") for line in text)
    told = plan(after.blocks, before.blocks)
    assert told.disruption == "none"
    assert {operation.affects for operation in told.operations} == {("b",)}


def test_a_route_map_goes_only_when_its_last_session_has_left_it() -> None:
    before, after = derived({"a": vi(1, preference="backup")}), derived({"a": vi(1)})
    running = FrrConfig.of(lines_of(before))
    operations = plan(after.blocks, observe_frr(running, after.blocks, remember((), EMPTY, before.blocks))).operations
    # No operation of its own, which would come before all that is made or changed.
    assert {operation.action for operation in operations} == {"create", "change"}
    (change,) = (operation for operation in operations if operation.action == "change")
    family = "router bgp 65010: address-family ipv4 unicast: neighbor 10.255.1.1"
    assert change.describe() == (
        f"{family} route-map in dcedge-prod-v4-in-110 -> dcedge-prod-v4-in-200, "
        f"{family} route-map out {OUT_BACKUP} -> {OUT_PRIMARY}"
    )
    text = delta(operations).splitlines()
    assert text.index("no route-map dcedge-prod-v4-in-110 permit 10") > text.index(
        "  neighbor 10.255.1.1 route-map dcedge-prod-v4-in-200 in"
    )


def test_nothing_to_do_is_no_text() -> None:
    assert block_delta(derived(PLAIN).blocks, derived(PLAIN).blocks) == ""
    assert delta(()) == ""


def test_another_asn_makes_the_instance_anew() -> None:
    text = block_delta(derived(PLAIN).blocks, derived(PLAIN, asn=65011).blocks)
    assert text.startswith("no router bgp 65010\n")
    assert text.index("router bgp 65011\n") < text.index(" neighbor 10.255.1.1 remote-as 64512\n")
    assert "no neighbor 10.255.1.1\n" not in text


def lines_of(order: Derived) -> set[ConfigLine]:
    return {line for block in order.blocks.values() for line in block.lines}


def defaults_told(lines: Iterable[ConfigLine]) -> set[ConfigLine]:
    """Without `no … activate` under IPv6, which FRR has anyway and does not print."""
    return {line for line in lines if not line.text.startswith("no neighbor ")}


@settings(max_examples=settings().max_examples * 3 // 2)
@given(before=orders(), after=orders())
def test_any_order_becomes_any_other_and_back(before: Derived, after: Derived) -> None:
    frr = FakeFrr()
    for old, new in ((derived({}), before), (before, after), (after, before), (before, derived({}))):
        frr.load(block_delta(old.blocks, new.blocks))
        assert defaults_told(frr.lines) == defaults_told(lines_of(new))


@given(before=orders(), after=orders())
def test_beside_an_operators_configuration_nothing_of_it_is_touched(before: Derived, after: Derived) -> None:
    operators = FrrConfig.parse(OPERATOR).lines
    frr = FakeFrr(operators)
    owned: frozenset[ConfigLine] = frozenset()
    for order in (before, after, derived({})):
        running = FrrConfig.of(frr.lines)
        observed = observe_frr(running, order.blocks, owned)
        owned = remember(owned, running, order.blocks)
        frr.load(delta(plan(order.blocks, observed).operations))
        assert operators <= frr.lines
        again = observe_frr(FrrConfig.of(frr.lines), order.blocks, owned)
        assert not plan(order.blocks, again)
    left = {line for line in frr.lines - operators if not line.text.startswith("address-family ")}
    assert left == set()


def test_what_went_with_its_router_is_not_undone_by_naming_the_router_again() -> None:
    """FRR makes a `router bgp … vrf` anew when a line within it is undone."""
    gateway = {"vpc": "vpc-prod", "asn": 64512, "accept": "any"}
    before, after = (derived({"a": vi(1)}, gateways={"prod": {**gateway, "vrf": vrf}}) for vrf in ("red", "green"))
    operations = plan(after.blocks, before.blocks).operations
    down = [operation for operation in operations if operation.after is None]
    up = [operation for operation in operations if operation.after is not None]
    assert "no router bgp 65010 vrf red" in delta(down)
    assert "vrf red" not in delta(up, down)
    assert "vrf green" in delta(up, down)
