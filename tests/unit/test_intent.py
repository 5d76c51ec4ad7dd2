"""What an order asks for is the same whichever order was in force before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dcedge.kernel.capabilities import EVERYTHING
from dcedge.kernel.port.resource import Port
from dcedge.order.load import parse_order
from dcedge.plan.resource import Key
from dcedge.reconcile.desired import NOTHING, Intent, changed_keys, derive
from dcedge.reconcile.state.formats import Runtime

CONNECTIONS = {
    "fra-1": {"provider": "generic", "port": "eth1", "bandwidth": "1G", "oversubscribe": True},
    "fra-2": {"provider": "generic", "port": {"bond": "bond0", "members": ["eth2", "eth3"]}, "bandwidth": "10G"},
    "hosted": {"provider": "generic", "over": "fra-1", "outer": 3000, "bandwidth": "200M", "mtu": 1400},
}
ACCEPTED = ["10.20.0.0/16", "10.30.0.0/16"]
NAMES = [f"vi-{number}" for number in range(8)]


@st.composite
def virtual_interfaces(draw: st.DrawFn, number: int) -> dict[str, Any]:
    static = draw(st.booleans())
    found: dict[str, Any] = {
        "connection": draw(st.sampled_from(sorted(CONNECTIONS))),
        "virtual_gateway": draw(st.sampled_from(["prod", "dev", "test"])),
        "vlan": 101 + number,
        "bandwidth": draw(st.sampled_from(["10M", "20M"])),
        "admin": draw(st.sampled_from(["up", "down"])),
        "preference": draw(st.sampled_from(["primary", "backup"])),
        "addresses": [{"customer": f"10.255.{number}.2/30", "cloud": f"10.255.{number}.1"}],
    }
    if draw(st.booleans()):
        pair = {"customer": f"2001:db8:{number}::2/126", "cloud": f"2001:db8:{number}::1"}
        found["addresses"].append(pair)
    if static:
        found["static"] = [draw(st.sampled_from(ACCEPTED))]
    elif draw(st.booleans()):
        found["bgp"] = {"password": {"credential": "key"}}
    return found


@st.composite
def histories(draw: st.DrawFn, *, longest: int = 5) -> list[tuple[str, set[str]]]:
    """Orders one after another, with who is drained: each lists some of eight virtual interfaces, in any order.

    Of each there are two, so that often most is as it was; a gateway may have changed too.
    """
    known = [(draw(virtual_interfaces(number)), draw(virtual_interfaces(number))) for number in range(len(NAMES))]
    steps = []
    for _ in range(draw(st.integers(2, longest))):
        chosen = draw(st.lists(st.sampled_from(NAMES), unique=True))
        order = {
            "router": {"asn": 65010, "router_id": "10.255.0.1"},
            "connections": CONNECTIONS,
            "virtual_gateways": {
                "prod": {"vpc": "prod", "asn": 64512, "accept": ACCEPTED, "vrf": "red"},
                "dev": {
                    "vpc": "dev",
                    "asn": 64513,
                    "accept": draw(st.sampled_from(["any", ACCEPTED])),
                    "reaches": draw(st.sampled_from([[], ["test"]])),
                },
                "test": {"vpc": "test", "asn": 64514, "accept": ACCEPTED},
            },
            "virtual_interfaces": {n: known[NAMES.index(n)][draw(st.integers(0, 1))] for n in chosen},
        }
        steps.append(
            (yaml.dump(order, Dumper=yaml.CSafeDumper, sort_keys=False), draw(st.sets(st.sampled_from(NAMES))))
        )
    return steps


def asked_of(value: object) -> tuple[object, ...]:
    """What compares equal only where nothing differs: who needs a port's MTU is not among what the kernel shows."""
    if isinstance(value, Mapping):
        return tuple((key, asked_of(inner)) for key, inner in value.items())
    return (value, value.needy) if isinstance(value, Port) else (value,)


def asked(intent: Intent) -> tuple[object, ...]:
    """All that an intent asks of the kernel, the firewall and FRR."""
    parts = intent.kernel, intent.own, intent.shared, intent.owners, intent.firewall, intent.frr
    return tuple({key: asked_of(value) for key, value in part.items()} for part in parts)


def derived(text: str, drained: set[str], before: Intent = NOTHING) -> Intent:
    """The intent for an order after another one."""
    order = parse_order(text, "order.yaml", before.order).order
    return derive(order, Runtime(drained=frozenset(drained)), {}, {}, kernel_has=EVERYTHING, previous=before)


@settings(max_examples=settings().max_examples // 2)
@given(histories())
def test_it_does_not_depend_on_what_was_before(steps: list[tuple[str, set[str]]]) -> None:
    before = NOTHING
    for text, drained in steps:
        before, fresh = derived(text, drained, before), derived(text, drained)
        assert asked(before) == asked(fresh)
        assert list(before.interfaces) == list(fresh.interfaces)


@settings(max_examples=settings().max_examples // 4)
@given(histories(longest=2))
def test_what_is_as_before_is_the_very_same_object(steps: list[tuple[str, set[str]]]) -> None:
    first, second = steps
    before = derived(*first)
    now, fresh = derived(*second, before), derived(*second)
    for part in ("interfaces", "firewall", "frr", "own", "shared", "kernel"):
        was, kept, made = (getattr(intent, part) for intent in (before, now, fresh))
        for key in was.keys() & made.keys():
            assert (kept[key] is was[key]) == (asked_of(made[key]) == asked_of(was[key])), key
    keys = before.kernel.keys() | fresh.kernel.keys()
    differ = {key for key in keys if asked_of(before.kernel.get(key)) != asked_of(fresh.kernel.get(key))}
    assert changed_keys(before, now) == differ


def of_two(rate: str) -> str:
    """An order of two virtual interfaces on one port; one has this rate."""
    return (
        "router: {asn: 65010, router_id: 10.255.0.1}\n"
        "connections: {fra-1: {provider: generic, port: eth1, bandwidth: 1G}}\n"
        "virtual_gateways: {prod: {vpc: prod, asn: 64512, accept: [10.20.0.0/16]}}\n"
        "virtual_interfaces:\n"
        "  a: {connection: fra-1, virtual_gateway: prod, vlan: 101, bandwidth: 50M,"
        " addresses: [{customer: 10.255.1.2/30, cloud: 10.255.1.1}]}\n"
        f"  b: {{connection: fra-1, virtual_gateway: prod, vlan: 102, bandwidth: {rate},"
        " addresses: [{customer: 10.255.2.2/30, cloud: 10.255.2.1}]}\n"
    )


def test_where_nothing_differs_the_mappings_themselves_are_the_same() -> None:
    before = derived(of_two("50M"), set())
    now = derived("# a remark\n" + of_two("50M"), {"a"}, before)
    assert now.interfaces is before.interfaces
    assert now.firewall is before.firewall
    assert not changed_keys(before, now)


def test_a_changed_rate_asks_for_another_shaper_and_nothing_else() -> None:
    before = derived(of_two("50M"), set())
    now = derived(of_two("60M"), set(), before)
    assert changed_keys(before, now) == {Key("shaper", "eth1.102")}
    assert now.firewall is before.firewall


def test_who_needs_a_ports_mtu_is_as_ordered_now() -> None:
    before = derived(of_two("50M"), set())
    hosted = "low: {provider: generic, over: fra-1, bandwidth: 100M, mtu: 1400}"
    text = of_two("50M").replace("bandwidth: 1G}}", f"bandwidth: 1G}}, {hosted}}}")
    now = derived(text.replace("a: {connection: fra-1", "a: {connection: low"), set(), before)
    port = now.kernel[Key("port", "eth1")]
    assert isinstance(port, Port)
    assert (port.affects, port.needy) == (("a", "b"), ("b",))
