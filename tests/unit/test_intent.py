"""What an order asks for is the same whichever order was in force before."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dcedge.intent import NOTHING, Intent, derive
from dcedge.kernel.capabilities import EVERYTHING
from dcedge.order.load import parse_order
from dcedge.resource import Resource
from dcedge.store import Runtime

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
        "virtual_gateway": draw(st.sampled_from(["prod", "dev"])),
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
def orders(draw: st.DrawFn) -> str:
    """An order of some of eight virtual interfaces, in any order; a gateway may have changed too."""
    chosen = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return yaml.safe_dump(
        {
            "router": {"asn": 65010, "router_id": "10.255.0.1"},
            "connections": CONNECTIONS,
            "virtual_gateways": {
                "prod": {"vpc": "prod", "asn": 64512, "accept": ACCEPTED, "vrf": "red"},
                "dev": {"vpc": "dev", "asn": 64513, "accept": draw(st.sampled_from(["any", ACCEPTED]))},
            },
            "virtual_interfaces": {name: draw(virtual_interfaces(NAMES.index(name))) for name in chosen},
        },
        sort_keys=False,
    )


def unordered(resource: Resource) -> dict[str, object]:
    """A resource's fields; the names of those that it affects in no order."""
    values = {field.name: getattr(resource, field.name) for field in fields(resource)}  # type: ignore[arg-type]
    return values | {name: set(values[name]) for name in ("affects", "needy") if name in values}


def asked(intent: Intent) -> tuple[object, ...]:
    """All that an intent asks of the kernel and the firewall."""
    return (
        {key: unordered(resource) for key, resource in intent.kernel.items()},
        {key: unordered(resource) for key, resource in intent.firewall.items()},
        dict(intent.keys),
        set(intent.shared),
        dict(intent.owners),
    )


@settings(max_examples=60)
@given(st.lists(st.tuples(orders(), st.sets(st.sampled_from(NAMES))), min_size=2, max_size=5))
def test_it_does_not_depend_on_what_was_before(steps: list[tuple[str, set[str]]]) -> None:
    before = NOTHING
    for text, drained in steps:
        order, runtime = parse_order(text, "order.yaml", before.order).order, Runtime(drained=frozenset(drained))
        before = derive(order, runtime, {}, {}, kernel_has=EVERYTHING, previous=before)
        fresh = derive(parse_order(text, "order.yaml").order, runtime, {}, {}, kernel_has=EVERYTHING)
        assert asked(before) == asked(fresh)
        assert list(before.interfaces) == list(fresh.interfaces)
