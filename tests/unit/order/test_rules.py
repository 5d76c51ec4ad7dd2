"""Each rule: a good order, one thing put wrong, and the line an operator reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dcedge.order import checks
from tests.unit.order.orders import GOOD, broken, findings, lines

LISTS = {
    "MANY PREFIXES": ", ".join(f"11.{n}.0.0/16" for n in range(101)),
    "MORE THAN FIFTY PREFIXES": ", ".join(f"172.16.{n}.0/24" for n in range(51)),
}


@dataclass(frozen=True)
class Case:
    """Replacements in the good order, what the finding's place must point at, and the rest of its line."""

    replace: dict[str, str]
    points_at: str
    says: str
    more: bool = False  # other findings follow from the same mistake

    @property
    def text(self) -> str:
        text = broken(*self.replace.items())
        for name, prefixes in LISTS.items():
            text = text.replace(name, prefixes)
        return text


CASES = {
    name: Case(**case)
    for name, case in yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text(encoding="utf-8")).items()
}


def test_the_good_order_is_good() -> None:
    assert lines(GOOD) == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_thing_put_wrong_is_said_with_its_place(case: Case) -> None:
    text = case.text
    said = [(str(finding).partition(": ")[2], finding) for finding in findings(text)]
    assert case.says in [line for line, _ in said]
    finding = dict(said)[case.says]
    place = text.splitlines()[finding.line - 1][finding.column - 1 :]
    assert place.startswith(case.points_at), f"{finding} points at {place!r}"
    if not case.more:
        assert [line for line, _ in said] == [case.says], "one mistake, one finding"


def test_every_rule_is_tried() -> None:
    rules = (*checks.ORDER_RULES, *checks.CONNECTION_RULES, *checks.GATEWAY_RULES, *checks.INTERFACE_RULES)
    tried = {case.split(" ")[0] for case in CASES} | {"something_ordered"}
    assert tried == {rule.__name__ for rule in rules}
    assert all(rule.__doc__ and "\n" not in rule.__doc__ for rule in rules), "one docstring line a rule"


def test_an_order_without_virtual_interfaces_is_allowed_but_said() -> None:
    text = GOOD[: GOOD.index("virtual_interfaces:")] + "virtual_interfaces:\n"
    assert lines(text) == [
        "order.yaml:16:20: warning: virtual_interfaces: there is none: applying this removes every virtual interface "
        "from the router"
    ]


def test_probes_that_nobody_asked_for_only_warn() -> None:
    many = "".join(
        f"""
  many-{n}:
    connection: fra-1
    virtual_gateway: prod
    vlan: {200 + n}
    bandwidth: 2M
    addresses: [{{customer: 10.254.{n}.2/30, cloud: 10.254.{n}.1}}]
    bgp: {{password: {{credential: many}}}}"""
        for n in range(30)
    )
    assert lines(GOOD + many) == [
        "order.yaml:7:10: warning: connections.fra-1: its virtual interfaces would send 33 probes a second; "
        "otc answers 30 on one connection: their intervals will be 1.1 times as long"
    ]


@pytest.mark.parametrize(
    "changes",
    [
        (("10.255.102.2/30, cloud: 10.255.102.1", "10.255.102.0/31, cloud: 10.255.102.1"),),
        (('"2001:db8:101::2/126", cloud: "2001:db8:101::1"', '"2001:db8:101::/127", cloud: "2001:db8:101::1"'),),
        ((" cloud: 10.255.104.2}", " cloud: 10.255.104.2}, {customer: 10.255.101.1/30, cloud: 10.255.101.2}"),),
        (("accept: [10.60.0.0/16]", "accept: [0.0.0.0/0]"),),
        (("vrf: blue", "advertise: [0.0.0.0/0]"),),
        (
            ("accept: [10.20.0.0/16,", "accept: [0.0.0.0/0, 10.20.0.0/16,"),
            ("static: [10.20.0.0/16]", "static: [0.0.0.0/0]"),
        ),
        (("bandwidth: 10G, mtu: 1500}\n  fra-2", "bandwidth: 550M, oversubscribe: true}\n  fra-2"),),
    ],
    ids=[
        "/31",
        "/127",
        "one subnet in two tables",
        "default accepted",
        "default advertised",
        "default static",
        "oversubscribed",
    ],
)
def test_what_is_unusual_but_right_passes(changes: tuple[tuple[str, str], ...]) -> None:
    assert lines(broken(*changes)) == []
