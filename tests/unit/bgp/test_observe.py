"""Whose line is it: ours are found again, the operator's never taken for ours."""

from __future__ import annotations

import pytest

from dcedge.frr.config import ConfigLine, FrrConfig
from dcedge.frr.delta import delta
from dcedge.frr.observe import FrrConflictError, observe_frr, remember, warnings
from dcedge.frr.resources import SESSION
from dcedge.plan.diff import plan
from dcedge.plan.resource import Key
from tests.unit.bgp.orders import SECRET, derived, keyed, vi

EMPTY = FrrConfig()


def running(text: str) -> FrrConfig:
    return FrrConfig.parse(text)


def test_an_empty_frr_has_nothing_of_ours() -> None:
    assert observe_frr(EMPTY, derived({"a": vi(1)}).blocks) == {}


def test_a_neighbour_of_ours_that_left_the_order_is_found_by_its_description() -> None:
    frr = running("router bgp 65010\n neighbor 10.0.0.1 remote-as 1\n neighbor 10.0.0.1 description dcedge:old\n")
    assert set(observe_frr(frr, {})) == {Key(SESSION, "old")}


def test_a_neighbour_whose_description_was_edited_is_found_because_it_is_remembered() -> None:
    wanted = derived({"a": vi(1)}).blocks
    owned = remember((), EMPTY, wanted)
    frr = running("router bgp 65010\n neighbor 10.255.1.1 remote-as 64512\n neighbor 10.255.1.1 description mine\n")
    text = delta(plan({}, observe_frr(frr, {}, owned)).operations)
    assert text == "no router bgp 65010\n"


def test_what_is_remembered_holds_no_secret() -> None:
    owned = remember((), EMPTY, derived({"a": vi(1, bgp=keyed())}).blocks)
    assert owned
    assert not any("password" in line.text or SECRET in line.text for line in owned)


def test_an_instance_that_the_operator_had_before_stays_when_the_last_session_goes() -> None:
    wanted = derived({"a": vi(1)}).blocks
    before = running("router bgp 65010\n bgp router-id 10.255.0.1\n")
    owned = remember((), before, wanted)
    after = FrrConfig.of(before.lines | {line for block in wanted.values() for line in block.lines})
    text = delta(plan({}, observe_frr(after, {}, owned)).operations)
    assert "no router bgp" not in text
    assert "no bgp router-id" not in text
    assert " no neighbor 10.255.1.1\n" in text


def test_our_instance_stays_when_the_operator_has_put_a_neighbour_into_it() -> None:
    wanted = derived({"a": vi(1)}).blocks
    owned = remember((), EMPTY, wanted)
    theirs = running("router bgp 65010\n neighbor 192.168.0.1 remote-as 65010\n").lines
    after = FrrConfig.of(theirs | {line for block in wanted.values() for line in block.lines})
    text = delta(plan({}, observe_frr(after, {}, owned)).operations)
    assert "no router bgp" not in text
    assert "192.168.0.1" not in text


@pytest.mark.parametrize("theirs", ["router bgp 65000", "router bgp 65010\n bgp router-id 1.1.1.1"])
def test_an_operators_other_asn_or_router_id_is_a_clear_error(theirs: str) -> None:
    with pytest.raises(FrrConflictError, match="which dcedge did not configure"):
        observe_frr(running(theirs + "\n neighbor 192.168.0.1 remote-as 1\n"), derived({"a": vi(1)}).blocks)


def test_our_own_other_router_id_is_changed() -> None:
    first = derived({"a": vi(1)}).blocks
    owned = remember((), EMPTY, first)
    frr = FrrConfig.of(line for block in first.values() for line in block.lines)
    then = derived({"a": vi(1)}, router_id="10.255.0.9").blocks
    text = delta(plan(then, observe_frr(frr, then, owned)).operations)
    assert text == "router bgp 65010\n bgp router-id 10.255.0.9\nexit\n"


@pytest.mark.parametrize("default", ["", " no bgp default ipv4-unicast\n"])
def test_activation_is_the_same_whichever_default_the_operator_chose(default: str) -> None:
    active = "  neighbor 10.255.1.1 activate\n" if default else ""
    frr = running(
        f"router bgp 65010\n{default} neighbor 10.255.1.1 remote-as 64512\n"
        f" address-family ipv4 unicast\n{active}  neighbor 10.255.1.1 allowas-in\n exit-address-family\nexit\n"
    )
    lines = observe_frr(frr, derived({"a": vi(1)}).blocks)[Key(SESSION, "a")].lines
    assert ConfigLine(("router bgp 65010", "address-family ipv4 unicast"), "neighbor 10.255.1.1 activate") in lines
    assert ConfigLine(("router bgp 65010", "address-family ipv6 unicast"), "no neighbor 10.255.1.1 activate") in lines


def test_what_a_hand_added_to_our_neighbour_is_drift_and_goes() -> None:
    wanted = derived({"a": vi(1)}).blocks
    extra = ConfigLine(("router bgp 65010", "address-family ipv4 unicast"), "neighbor 10.255.1.1 next-hop-self")
    frr = FrrConfig.of({extra, *(line for block in wanted.values() for line in block.lines)})
    (operation,) = plan(wanted, observe_frr(frr, wanted)).operations
    assert operation.key == Key(SESSION, "a")
    assert "  no neighbor 10.255.1.1 next-hop-self\n" in delta([operation])


def test_a_prefix_that_the_operator_announces_already_is_left_as_it_is() -> None:
    wanted = derived({"a": vi(1)}, advertise=("192.0.2.0/24",)).blocks
    theirs = "router bgp 65010\n address-family ipv4 unicast\n  network 192.0.2.0/24\n"
    text = delta(plan(wanted, observe_frr(running(theirs), wanted)).operations)
    assert " network " not in text
    assert " network " not in delta(plan({}, observe_frr(running(theirs), {})).operations)


def test_foreign_things_of_every_kind_are_not_ours() -> None:
    foreign = (
        "ip prefix-list office seq 5 permit any\nroute-map office permit 10\n match tag 1\nexit\n"
        "bfd\n profile office\n exit\nexit\nbgp as-path access-list office seq 5 permit .*\n"
        "router ospf\n network 10.0.0.0/8 area 0\nexit\n"
        "router bgp 65010 vrf blue\n neighbor 1.1.1.1 remote-as 1\nexit\n"
    )
    assert observe_frr(running(foreign), {}) == {}


def test_what_endangers_the_order_is_warned_of() -> None:
    told = warnings(running("log commands\nrouter bgp 65010\n no bgp network import-check\n bgp graceful-restart\n"))
    assert len(told) == 3
    assert "log commands" in told[0]
