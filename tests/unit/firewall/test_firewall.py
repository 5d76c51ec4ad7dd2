"""What an order asks of the firewall, told as a plan; no kernel."""

from __future__ import annotations

import errno
import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from dcedge.api.plan import notes
from dcedge.api.status import NOT_GUARDED, NOT_ISOLATED
from dcedge.firewall import nft
from dcedge.firewall.derive import derive_firewall
from dcedge.firewall.difference import commands
from dcedge.firewall.listing import read_table, table_of
from dcedge.firewall.nft import Firewall, FirewallError
from dcedge.firewall.objects import ANY, GatewaySources, gateway_key
from dcedge.firewall.ranges import common, of_prefix
from dcedge.kernel.capabilities import EVERYTHING
from dcedge.order.model import Order
from dcedge.plan.diff import Plan, plan
from dcedge.reconcile.desired import derive
from dcedge.reconcile.state.formats import Runtime
from tests.unit.firewall.orders import DEV_A, PROD, PROD_A, PROD_B, Line, firewall_of, order_of

BOTH = order_of(PROD_A, DEV_A)


def change(before: Order, after: Order) -> Plan:
    return plan(firewall_of(after), firewall_of(before))


def told(before: Order, after: Order) -> list[tuple[str, str, tuple[str, ...], str]]:
    return [(str(o.key), o.describe(), o.affects, o.disruption) for o in change(before, after).operations]


def test_nothing_is_asked_where_nothing_is_ordered() -> None:
    assert derive_firewall((), BOTH) == {}


def test_a_wider_accept_is_told_as_what_comes_and_harms_nobody() -> None:
    wider = order_of(PROD_A, PROD_B, DEV_A, prod={"accept": (*PROD["accept"], "10.40.0.0/16")})  # type: ignore[misc]
    before = order_of(PROD_A, PROD_B, DEV_A)
    assert told(before, wider) == [("sources prod", "accept of prod: + 10.40.0.0/16", ("vi-1", "vi-3"), "none")]
    assert told(wider, before) == [("sources prod", "accept of prod: - 10.40.0.0/16", ("vi-1", "vi-3"), "link")]


def test_adjacent_and_overlapping_prefixes_are_the_same_as_their_union() -> None:
    halves = ("10.20.0.0/17", "10.20.128.0/17", {"prefix": "10.20.4.0/24", "le": 28}, "2001:db8:20::/48")
    assert told(BOTH, order_of(PROD_A, DEV_A, prod={"accept": halves})) == []


def test_reaching_goes_both_ways_whoever_says_it() -> None:
    assert firewall_of(order_of(PROD_A, DEV_A, reaches=("prod",))) == firewall_of(
        order_of(PROD_A, DEV_A, prod={**PROD, "reaches": ("dev",)})
    )


def test_what_is_reached_no_more_is_a_cut() -> None:
    reaching = order_of(PROD_A, DEV_A, reaches=("prod",))
    assert told(BOTH, reaching) == [
        ("guard eth1", "reachable from dev no -> yes", ("vi-1",), "none"),
        ("guard eth2", "reachable from prod no -> yes", ("vi-2",), "none"),
    ]
    assert change(reaching, BOTH).disruption == "link"


def test_a_static_virtual_interface_lets_its_other_end_in_where_stamp_measures_it() -> None:
    static = {"static": ("10.20.0.0/16",)}
    before = order_of(Line(1, "prod", settings=static))
    after = order_of(Line(1, "prod", settings={**static, "probe": {"stamp": True}}))
    assert told(before, after) == [
        ("guard eth1", "peers: + 10.255.1.1, peers: + 2001:db8:1::1", ("vi-1",), "none"),
    ]


def test_isolation_is_one_key() -> None:
    off = order_of(PROD_A, DEV_A, isolation=False)
    assert told(BOTH, off) == [
        ("guard eth1", "isolation yes -> no", ("vi-1",), "none"),
        ("guard eth2", "isolation yes -> no", ("vi-2",), "none"),
    ]
    assert change(off, BOTH).disruption == "link"


def test_everything_comes_before_forwarding_and_links_and_goes_after_them() -> None:
    assert {operation.resource.rank < 0 for operation in plan(firewall_of(BOTH), {}).operations} == {True}


def test_a_named_default_route_is_any_of_its_family() -> None:
    named = firewall_of(order_of(PROD_A, prod={"accept": ("0.0.0.0/0", "::/0")}))[gateway_key("prod")]
    anything = firewall_of(order_of(PROD_A, prod={"accept": "any"}))[gateway_key("prod")]
    assert isinstance(named, GatewaySources)
    assert named == anything
    assert named.sources == ANY
    assert "any" in named.describe()


def test_what_no_host_may_send_is_not_in_any() -> None:
    for text in ("127.0.0.1/32", "224.0.0.5/32", "255.255.255.255/32", "::1/128", "ff02::1/128", "fe80::1/128"):
        assert common((of_prefix(ip_network(text)),), ANY) == (), text


def test_a_virtual_interface_that_moves_between_gateways_changes_in_place() -> None:
    (moved,) = change(order_of(PROD_A, PROD_B, DEV_A), order_of(PROD_A, Line(3, "dev"), DEV_A)).operations
    assert (moved.action, str(moved.key), moved.affects) == ("change", "guard eth3", ("vi-3",))
    assert "virtual gateway prod -> dev" in moved.describe()


def test_a_table_is_taken_to_itself_by_nothing() -> None:
    table = table_of(firewall_of(BOTH))
    assert commands(table, table) == []


def test_a_changed_accept_touches_two_elements_and_no_more() -> None:
    other = order_of(PROD_A, DEV_A, prod={"accept": ("10.21.0.0/16", "2001:db8:20::/48")})
    done = commands(table_of(firewall_of(BOTH)), table_of(firewall_of(other)))
    place = {"family": "inet", "table": "dcedge", "name": "sources4-prod"}
    assert done == [
        {"delete": {"element": {**place, "elem": [{"range": ["10.20.0.0", "10.20.255.255"]}]}}},
        {"add": {"element": {**place, "elem": [{"range": ["10.21.0.0", "10.21.255.255"]}]}}},
    ]


def test_a_listing_without_anything_is_an_empty_table() -> None:
    assert read_table({"nftables": [{"metainfo": {"version": "1.0.6"}}]}).chains == {}


def test_without_nft_it_is_said_that_isolation_is_not_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "_PLACES", "/nonexistent")
    with pytest.raises(FirewallError, match=r"isolation and guard are not in force: nft is not installed") as error:
        Firewall().observe(firewall_of(BOTH))
    assert not error.value.retryable
    assert Firewall().observe({}) == {}


def nft_that(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Firewall:
    """nft is this shell script."""
    program = folder / "nft"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setattr(nft, "_PLACES", str(folder))
    monkeypatch.setattr(nft, "ruleset_generation", lambda: 1)
    return Firewall()


def test_nft_that_cannot_be_started_costs_the_firewall_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    firewall = nft_that(tmp_path, "#!/nowhere/sh\n", monkeypatch)
    for _ in range(2):
        with pytest.raises(FirewallError, match="nft cannot be started: No such file") as refused:
            firewall.observe(firewall_of(BOTH))
        assert refused.value.retryable


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "{",
        '{"nftables": [{"rule": {}}]}',
        '{"nftables": [{"set": {"name": "x", "flags": "interval", "elem": [1.5]}}]}',
    ],
)
def test_a_listing_that_makes_no_sense_costs_the_firewall_alone(
    printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firewall = nft_that(tmp_path, f"#!/bin/sh\ncat >/dev/null\necho '{printed}'\n", monkeypatch)
    with pytest.raises(FirewallError, match="what nft lists cannot be read") as refused:
        firewall.observe(firewall_of(BOTH))
    assert refused.value.retryable


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS])
def test_a_ruleset_that_cannot_be_asked_for_costs_the_firewall_alone(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_be_had(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(nft, "RouteSocket", cannot_be_had)
    with pytest.raises(FirewallError, match="cannot be looked at"):
        nft.ruleset_generation()


@pytest.mark.parametrize(("isolation", "words"), [(True, NOT_ISOLATED), (False, NOT_GUARDED)])
def test_a_firewall_that_cannot_be_is_an_alarm_only_where_isolation_is_ordered(isolation: bool, words: str) -> None:
    order = order_of(PROD_A, DEV_A, isolation=isolation)
    intent = derive(order, Runtime(), {}, {}, kernel_has=EVERYTHING)
    assert notes(intent, "", "nft refuses") == [f"{words}: nft refuses"]
    assert notes(intent, "", "") == []
