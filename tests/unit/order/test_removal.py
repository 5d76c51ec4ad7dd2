"""What an order removes from the one in force: cut files, and virtual interfaces that go by mistake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcedge.order.findings import OrderInvalidError
from dcedge.order.load import Loaded, parse_order
from dcedge.order.removal import Removal, in_force, objection, removal
from tests.unit.order.orders import GOOD, broken

HEAD = """\
# What is ordered in Frankfurt.
router: {asn: 65010, router_id: 10.255.0.1, advertise: [192.0.2.0/24]}
connections:
  fra-1: {provider: otc, port: eth1, bandwidth: 10G}
virtual_gateways:
  prod: {vpc: vpc-prod, asn: 64512, accept: [10.20.0.0/16]}
virtual_interfaces:
"""
KINDS: Mapping[str, str] = {
    "bgp": "    bgp: {password: {credential: prod}}\n",
    "static": "    static: [10.20.0.0/16]\n",
    "planned": "    static: [10.20.0.0/16]\n    admin: planned\n",
    "down": "    static: [10.20.0.0/16]\n    admin: down\n",
}


def ordered(kinds: Mapping[int, str]) -> str:
    """An order with these virtual interfaces, by number and kind."""
    return HEAD.rstrip("\n") + ("\n" if kinds else " {}\n") + "".join(map(interface, kinds, kinds.values()))


def interface(number: int, kind: str) -> str:
    return (
        f"  vi-{number:02}:\n    connection: fra-1\n    virtual_gateway: prod\n    vlan: {100 + number}\n"
        f"    bandwidth: 50M\n    addresses:\n"
        f"      - {{customer: 10.255.{number}.2/30, cloud: 10.255.{number}.1}}\n{KINDS[kind]}"
    )


def loaded(text: str) -> Loaded:
    return parse_order(text, "order.yaml")


def told(before: str, after: str, allowed: int | None = None) -> str | None:
    return objection(loaded(before), loaded(after), allowed)


FIFTY = {number: ("bgp", "static")[number % 2] for number in range(50)}
WHOLE = {"without an end": ordered(FIFTY), "with its end": ordered(FIFTY) + "...\n"}
LOADED = {name: loaded(text) for name, text in WHOLE.items()}


def good(text: str) -> Loaded | None:
    """An order that passes every check; None where it does not."""
    try:
        return parse_order(text, "order.yaml", LOADED["with its end"].order)
    except OrderInvalidError:
        return None


def test_no_cut_of_a_file_is_taken_wherever_a_line_ends() -> None:
    lines = WHOLE["with its end"].splitlines(keepends=True)
    cuts = ["".join(lines[:count]) for count in range(len(lines) - 1)]
    orders = [order for cut in cuts if (order := good(cut)) is not None]
    assert len(orders) > 50, "many of them are good orders by themselves"
    for order in orders:
        assert objection(LOADED["without an end"], order), order.text
        assert objection(LOADED["with its end"], order), order.text
    assert objection(LOADED["with its end"], LOADED["without an end"])


@pytest.mark.parametrize("which", WHOLE)
@given(data=st.data())
def test_no_cut_of_a_file_is_taken_wherever_it_is(which: str, data: st.DataObject) -> None:
    text = WHOLE[which]
    order = good(text[: data.draw(st.integers(0, len(text) - 1))])
    assert order is None or objection(LOADED[which], order)


@given(st.integers(0, 50))
def test_a_shorter_order_that_has_its_end_is_judged_by_what_goes(left: int) -> None:
    shorter = loaded(ordered({number: FIFTY[number] for number in range(left)}) + "...\n")
    for before in LOADED.values():
        assert (objection(before, shorter) is None) == (50 - left <= 5)


KIND = st.sampled_from(sorted(KINDS))
ORDERS = st.dictionaries(st.integers(0, 21), KIND, max_size=22)


@given(ORDERS, ORDERS, st.integers(0, 22))
def test_a_mass_goes_only_where_just_so_many_are_said_to_go(
    before: dict[int, str], after: dict[int, str], allowed: int
) -> None:
    had = {number for number, kind in before.items() if kind != "down"}
    gone = {number for number in had if after.get(number, "down") == "down"}
    first, second = loaded(ordered(before)), loaded("# another one\n" + ordered(after))
    few = len(gone) < 2 or len(gone) * 10 <= len(had)
    said = objection(first, second)
    assert (said is None) == few
    if said is not None:
        assert f"{len(gone)} of {len(had)} virtual interfaces in force" in said
        assert f"`dcedge apply --allow-removal {len(gone)}`" in said
    assert objection(first, second, len(gone)) is None
    assert (objection(first, second, allowed) is None) == (allowed == len(gone))


@pytest.mark.parametrize(
    ("had", "gone", "taken"),
    [
        (0, 0, True),
        (1, 1, True),
        (2, 1, True),
        (2, 2, False),
        (10, 1, True),
        (10, 2, False),
        (19, 2, False),
        (20, 2, True),
        (20, 3, False),
        (30, 3, True),
        (30, 4, False),
    ],
)
def test_a_tenth_may_go_and_so_may_one(had: int, gone: int, taken: bool) -> None:
    before = ordered(dict.fromkeys(range(had), "bgp"))
    after = ordered(dict.fromkeys(range(gone, had), "bgp"))
    assert (told(before, after) is None) == taken


def test_what_goes_is_named_by_how_it_goes() -> None:
    before = ordered(dict.fromkeys(range(10), "bgp"))
    after = ordered({0: "down", 1: "planned", 2: "static"})
    assert told(before, after) == (
        "removes 8 of 10 virtual interfaces in force (removed: vi-03, vi-04, vi-05, vi-06, vi-07 and 2 more; "
        "now `admin: down`: vi-00); if that is intended: `dcedge apply --allow-removal 8`"
    )


def test_another_number_is_refused_with_the_right_one() -> None:
    before, after = ordered(dict.fromkeys(range(3), "bgp")), ordered({0: "bgp", 7: "bgp"})
    for allowed in (0, 1, 3, 50):
        assert told(before, after, allowed) == (
            "removes 2 of 3 virtual interfaces in force (removed: vi-01, vi-02), and not "
            f"{allowed}: if that is intended: `dcedge apply --allow-removal 2`"
        )
    assert told(before, before, 1) == (
        "removes none of 3 virtual interfaces in force, and not 1: "
        "if that is intended: `dcedge apply --allow-removal 0`"
    )


def test_where_nothing_is_in_force_nothing_goes() -> None:
    first = loaded(ordered({0: "bgp"}))
    assert objection(None, first) is None
    assert objection(None, first, 0) is None
    assert "none of 0 virtual interfaces" in (objection(None, first, 1) or "")


@pytest.mark.parametrize(
    ("old", "new", "gone"),
    [
        ("  prod-a:\n", "  prod-z:\n", ["prod-a"]),
        ("vlan: 101\n", "vlan: 109\n", []),
        ("vlan: 101\n", "vlan: 101\n    admin: planned\n", []),
        ("vlan: 101\n", "vlan: 101\n    admin: down\n", ["prod-a"]),
        ("    static: [10.20.0.0/16]\n", "    bgp: {password: {credential: prod-b}}\n", []),
        ("    bgp: {med: 100, keepalive: 20s, hold: 60s}\n", "    static: [10.20.0.0/16]\n", []),
    ],
    ids=["renamed", "another VLAN", "planned", "down", "BGP instead", "static instead"],
)
def test_one_goes_where_its_link_or_all_its_routes_go(old: str, new: str, gone: list[str]) -> None:
    going = removal(in_force(loaded(GOOD).order), loaded(broken((old, new))).order)
    assert [*going.removed, *going.set_down, *going.unrouted] == gone


def test_one_that_has_neither_session_nor_static_route_goes_too() -> None:
    order = loaded(GOOD).order
    bare = {**order.virtual_interfaces, "prod-b": replace(order.virtual_interfaces["prod-b"], static=())}
    left = replace(order, virtual_interfaces=bare)
    assert removal(in_force(order), left) == Removal(5, unrouted=("prod-b",))
    assert "prod-b" not in in_force(left)


def test_what_was_down_is_not_in_force() -> None:
    assert told(ordered({0: "down", 1: "down", 2: "bgp"}), ordered({2: "bgp", 3: "bgp"})) is None


def test_a_cut_is_told_with_what_it_lacks_and_what_it_takes_away() -> None:
    before = ordered(dict.fromkeys(range(4), "static"))
    after = ordered(dict.fromkeys(range(2), "static"))
    assert told(before, after) == (
        "is cut: it is the last good order without the last 16 lines (it removes 2 of 4 virtual interfaces in force "
        "(removed: vi-02, vi-03)); if that is intended: `dcedge apply --allow-removal 2`, or end it with a line "
        "`...` if it is whole"
    )
    assert told(before, after, 2) is None
    assert "2 of 4" in (told(before, after, 1) or "taken")


@pytest.mark.parametrize("rest", ["# a comment\n", "\n", "...\n"])
def test_a_cut_is_one_whatever_it_removes(rest: str) -> None:
    before = ordered({0: "static"})
    said = told(before + rest, before) or "taken"
    assert said.startswith("is cut: ")
    assert "removes none of 1 virtual interface in force" in said
    assert told(before + rest, before, 0) is None


def test_a_file_that_lost_its_end_is_cut_whatever_else_was_changed() -> None:
    before = ordered({0: "static", 1: "static"})
    assert told(before + "...\n", "# edited\n" + before) == (
        "is cut: the last good order ends with `...`, and this one does not (it removes none of 2 virtual "
        "interfaces in force); if that is intended: `dcedge apply --allow-removal 0`, or end it with a line "
        "`...` if it is whole"
    )
    assert told(before + "...\n", "# edited\n" + before + "...") is None
    assert told(before, "# edited\n" + before) is None


def test_a_cut_is_seen_through_other_line_ends() -> None:
    whole = ordered(dict.fromkeys(range(4), "static"))
    cut = ordered(dict.fromkeys(range(3), "static"))
    dos, byte_order_mark = cut.replace("\n", "\r\n"), "\ufeff" + cut
    assert [(told(whole, text) or "taken")[:7] for text in (dos, dos[:-1], byte_order_mark)] == ["is cut:"] * 3
    assert told(whole.replace("\n", "\r\n"), whole) is None
