"""An order that is handed on shows what belongs into an order, and nothing of what somebody else has put there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcedge.order.redact import redact
from tests.unit.order.orders import GOOD
from tests.unit.order.test_hostile import PIECES

CONFIG = Path(__file__).parents[3] / "config"
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# `@` is where a value stands.
PLACES = {
    "at the top": "{good}pasword: @\n",
    "a section's name misspelt": "{good}virtual_interface:\n  a:\n    description: @\n",
    "in the router": "router: {{asn: 65010, md5: @, router_id: 10.255.0.1}}\n",
    "in an entry": "virtual_interfaces:\n  prod-a:\n    vlan: 101\n    pasword: @\n    description: here\n",
    "deep in one": "virtual_interfaces:\n  prod-a:\n    bgp:\n      auth:\n        - key: @\n",
    "in a list of maps": "virtual_interfaces:\n  prod-a:\n    addresses:\n    - customer: 10.0.0.2/30\n      key: @\n",
    "the password itself": "virtual_interfaces:\n  prod-a:\n    bgp:\n      password: @\n",
    "under password": "virtual_interfaces:\n  prod-a:\n    bgp:\n      password:\n        value: @\n",
    "in the place of a map": "virtual_interfaces:\n  prod-a:\n    bgp: @\n",
    "in the place of a section": "virtual_interfaces: @\n",
    "in the place of a number": "router:\n  asn: @\n",
    "a list's entry": "{good}secrets:\n- a\n- @\n",
    "below a name that is none": "virtual_interfaces:\n  PROD A:\n    description: @\n",
}
VALUES = {
    "plain": "hunter2",
    "with a colon in it": "hunter2:hunter2",
    "over lines": "one\n              hunter2\n              hunter2",
    "single quotes": "'it''s hunter2, and hunter2'",
    "double quotes": '"a \\"hunter2\\", {and: hunter2}"',
    "quotes over lines": '"a\n              hunter2,\n\n              b"',
    "a comment behind": "x  # hunter2",
    "a literal block": "|\n              hunter2\n                hunter2\n",
    "a block with a comment": "|-  # hunter2\n              x\n",
    "a folded block": ">+1\n              hunter2\n\n              hunter2\n",
    "a flow list": "[a, 'b, hunter2', hunter2]",
    "a flow list over lines": "[a,\n              hunter2, # hunter2\n              hunter2\n              ]",
    "a flow map": "{a: hunter2, b: 'x, hunter2'}",
    "maps in lists in maps": "{a: [{b: [hunter2]}]}",
    "an anchor": "&hunter2 hunter2",
    "a tag": "!hunter2 x",
    "a tag with angle brackets": "!<hunter2> x",
    "nothing, and a comment": "# hunter2",
}


def in_flow(value: str) -> bool:
    """Whether a value may stand within {…}."""
    return not value.startswith(("|", ">", "#")) and "# hunter2" not in value


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("place", PLACES)
def test_what_does_not_belong_into_an_order_is_not_shown(place: str, value: str) -> None:
    if "{{" in PLACES[place] and not in_flow(VALUES[value]):
        value = "plain"
    text = PLACES[place].format(good=GOOD).replace("@", VALUES[value])
    shown = redact(text)
    assert "hunter2" not in shown
    assert shown.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # Known keys with values of their kind stay, in the writer's own way.
        ("router: {asn: 65010, router_id: '10.255.0.1'}\n", "router: {asn: 65010, router_id: '10.255.0.1'}\n"),
        ('agent: {listen: "127.0.0.1:9478"}\n', 'agent: {listen: "127.0.0.1:9478"}\n'),
        # A key that nothing stands under may be the secret itself; one that is known stays.
        ("router: {hunter2, asn}\n", "router: {***, asn}\n"),
        ("router: {password:hunter2}\n", "router: {***}\n"),
        ("router:\n  hunter2:\n", "router:\n  ***:\n"),
        ("router:\n  my pass hunter2: x\n", "router:\n  ***: ***\n"),
        ("router:\n  pasword: x\n", "router:\n  pasword: ***\n"),
        # Where something is known, but is not of its kind, or is not all there is.
        (
            "router: {asn: 65O10, isolation: 'true', advertise: x}\n",
            "router: {asn: ***, isolation: 'true', advertise: ***}\n",
        ),
        (
            "connections: {a: {bandwidth: 500Mbit, protocol: vlan}}\n",
            "connections: {a: {bandwidth: ***, protocol: ***}}\n",
        ),
        (
            "connections: {a: {description: !hunter2 x, mtu: [1500]}}\n",
            "connections: {a: {description: ***, mtu: [***]}}\n",
        ),
        (
            "connections: {a: {description: &x y, circuit_id: }}\n",
            "connections: {a: {description: &x y, circuit_id: }}\n",
        ),
        ("connections:\n  a:\n    description: | # hunter2\n      x\n", "connections:\n  a:\n    description: ***\n\n"),
        (
            "virtual_interfaces: {a: {bgp: {password: {credential: 'a b'}}, addresses: [{password: {file: x}}]}}\n",
            "virtual_interfaces: {a: {bgp: {password: {credential: ***}}, addresses: [{password: {file: ***}}]}}\n",
        ),
        # What is no order at all.
        ("hunter2\n", "***\n"),
        ("- router: hunter2\n", "- ***: ***\n"),
        ("neighbor 10.0.0.1 password hunter2\n exit\n", "***\n\n"),
        ("\ufeffrouter: {asn: 65010}\n", "router: {asn: 65010}\n"),
        ("%YAML 1.1\n---\nrouter: {asn: 1}\n--- # hunter2\nhunter2\n", " \n---\nrouter: {asn: 1}\n--- \n***\n"),
        ("", ""),
        # Where it is no YAML any more the rest goes.
        ("router:\n  asn: 1\n\tkey: hunter2\n", "router:\n  asn\n(from line 3 on this is not an order: omitted)\n"),
        ("router: {asn: 'hunter2\n", "router: {asn\n(from line 2 on this is not an order: omitted)\n"),
        ("router: {asn: 1}\n\0hunter2", "\n(from line 1 on this is not an order: omitted)\n"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # A value that is aliased is shown where it is known in every place that it is put in.
        (
            "{a}    bandwidth: &rate 50M\n{b}    bandwidth: *rate\n",
            "{a}    bandwidth: &rate 50M\n{b}    bandwidth: *rate\n",
        ),
        (
            "{a}    description: &d hunter2\n{b}    bgp: {{password: *d}}\n",
            "{a}    description: ***\n{b}    bgp: {{password: *d}}\n",
        ),
        ("{a}    description: &d hunter2\n{b}    extra: *d\n", "{a}    description: ***\n{b}    extra: ***\n"),
        ("{a}    description: &d hunter2\n{b}    extra: [[*d]]\n", "{a}    description: ***\n{b}    extra: [[***]]\n"),
        (
            "{a}    probe: &d {{interval: 1s}}\n{b}    bgp: {{bfd: *d}}\n",
            "{a}    probe:  {{interval: 1s}}\n{b}    bgp: {{bfd: *d}}\n",
        ),
        (
            "{a}    probe: &d {{stamp: true}}\n{b}    bgp: {{bfd: *d}}\n",
            "{a}    probe:  {{stamp: ***}}\n{b}    bgp: {{bfd: *d}}\n",
        ),
        # Through an alias in what is aliased.
        (
            "{a}    description: &d hunter2\n    bgp: &e {{communities: [*d]}}\n{b}    extra: *e\n",
            "{a}    description: ***\n    bgp:  {{***: [***]}}\n{b}    extra: ***\n",
        ),
    ],
)
def test_aliases(text: str, shown: str) -> None:
    entries = {"a": "virtual_interfaces:\n  prod-a:\n", "b": "  prod-b:\n"}
    assert redact(text.format(**entries)) == shown.format(**entries)


def test_one_that_contains_itself_comes_to_an_end() -> None:
    assert redact("router: &a {asn: *a, b: [*a, hunter2]}\n") == "router:  {***: ***, ***: [***, ***]}\n"


@pytest.mark.parametrize(
    "text", ["[" * 40 + "hunter2" + "]" * 40, "[" * 100_000, "x: {y: hunter2}\n" * 1000, "# hunter2\n" * 1_500_000]
)
def test_what_is_deeper_or_longer_than_any_order_is_left_out(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcedge.order.redact.MAX_VALUES", 1000)
    shown = redact(text)
    assert "hunter2" not in shown
    assert shown.endswith("on this is not an order: omitted)\n")


@pytest.mark.parametrize("sample", sorted(CONFIG.glob("order*.yaml")), ids=lambda sample: sample.name)
def test_a_good_order_is_shown_but_for_its_comments(sample: Path) -> None:
    text = sample.read_text()
    assert redact(text) == re.sub("#.*", "", text)


def maps_in(tree: object) -> list[dict[str, Any]]:
    """All maps of a tree."""
    parts: list[Any] = []
    if isinstance(tree, dict):
        parts = list(tree.values())
    elif isinstance(tree, list):
        parts = tree
    return [*([tree] if isinstance(tree, dict) else []), *(found for part in parts for found in maps_in(part))]


LEAVES = st.sampled_from(
    ["hunter2", "it's hunter2, {and: more}", "a\nhunter2\n", " hunter2 # 'x'", 'é "hunter2"', 7, True]
)
UNKNOWN = st.recursive(
    LEAVES, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("pqr"), below)
)


@UNHURRIED
@given(st.data(), UNKNOWN, st.sampled_from([None, "'", '"', "|", ">"]), st.booleans(), st.sampled_from([20, 80, 1000]))
def test_whatever_is_under_an_unknown_key_is_not_shown(
    data: st.DataObject, value: object, style: str | None, flow: bool, width: int
) -> None:
    tree = yaml.safe_load(GOOD)
    data.draw(st.sampled_from(maps_in(tree)))["PASS_WORD"] = value
    text = yaml.safe_dump(tree, default_style=style, default_flow_style=flow, width=width, allow_unicode=True)
    assert "hunter2" not in redact(text)


@UNHURRIED
@given(
    st.lists(PIECES | st.sampled_from(["router: ", "asn", "hunter2", "  ", "{", "}", "[", "pasword: "])).map("".join)
)
def test_any_text_is_taken(text: str) -> None:
    shown = redact(text)
    assert redact(f"pasword: hunter2\n{text}").count("hunter2") <= text.count("hunter2")
    assert len(shown) <= 3 * len(text) + 60
