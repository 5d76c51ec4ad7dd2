"""Whatever the order lets one change of one virtual interface: the sessions of the others never notice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest
import yaml

from dcedge.api.control.client import ControlClient
from dcedge.order.model import AddressPair, Bgp, Probe, Shaping, VirtualGateway, VirtualInterface
from tests.lab.bed import ORDER, PASSWORDS, Bed
from tests.lab.edge import written
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(900)

CHANGED = "dev-a"
OTHERS = ("10.255.101.1", "10.255.102.1", "2001:db8:102::1")
PAIR = {"customer": "10.255.201.2/30", "cloud": "10.255.201.1"}
OTHER_PAIR = {"customer": "10.255.202.2/30", "cloud": "10.255.202.1"}
SIXTH_PAIR = {"customer": "2001:db8:201::2/126", "cloud": "2001:db8:201::1"}
# Each a change of the virtual interface that there was no other, by what it sets.
CHANGES: tuple[Mapping[str, Any], ...] = (
    {"bgp.customer_asn": 4_200_000_001},
    {"bgp.cloud_asn": 4_200_000_002},
    {"bgp.password": {"credential": "prod-a"}},
    {"bgp.password": None},
    {"bgp.bfd": {"interval": "1s", "multiplier": 5}},
    {"bgp.bfd": False},
    {"bgp.keepalive": "5s", "bgp.hold": "15s"},
    {"bgp.receive_limit": 7},
    {"bgp.advertise_limit": 9},
    {"bgp.ttl_security": True},
    {"bgp.multihop": 2},
    {"bgp.communities": ["65010:1", "no-export"]},
    {"bgp.med": 9},
    {"bgp.allowas_in": 2},
    {"bgp.bfd": False, "bgp.graceful_restart": True},
    {"bandwidth": "150M"},
    {"admin": "down"},
    {"admin": "planned"},
    {"preference": "backup"},
    {"preference": "equal"},
    {"probe.interval": "2s"},
    {"probe.stamp": True},
    {"shaping.overhead": 24},
    {"shaping.ingress": True},
    {"shaping.queue": "pfifo"},
    {"description": "another"},
    {"vlan": 202},
    {"addresses": [PAIR, SIXTH_PAIR]},
    {"addresses": [OTHER_PAIR]},
    {"addresses": [{**PAIR, "password": {"credential": "prod-a"}}]},
    {"connection": "fra-1"},
    {"virtual_gateway": "prod"},
    {"bgp": None, "static": ["10.30.0.0/16"]},
    {"gateway.asn": 64999},
    {"gateway.accept": ["10.30.0.0/16", {"prefix": "10.31.0.0/16", "le": 24}]},
    {"gateway.accept": "any"},
    {"gateway.advertise": ["192.0.2.0/24"]},
    {"gateway.vrf": "red"},
    {"gateway.vpc": "vpc-other", "gateway.cloud_id": "another"},
    {"gateway.reaches": ["prod"]},
    {"gone": True},
    {},
)


def ordered(change: Mapping[str, Any]) -> str:
    """The standard order (under a profile that lets one change anything), with one virtual interface changed."""
    order = yaml.safe_load(ORDER.read_text())
    for connection in order["connections"].values():
        connection["provider"] = "generic"
    order["virtual_interfaces"]["prod-b"]["bgp"] = {"bfd": True}
    vi, gateway = order["virtual_interfaces"][CHANGED], order["virtual_gateways"]["dev"]
    vi["bgp"]["bfd"] = True
    for path, value in change.items():
        where, _, key = path.rpartition(".")
        place = gateway if where == "gateway" else vi.setdefault(where, {}) if where else vi
        if path == "gone":
            del order["virtual_interfaces"][CHANGED]
        elif value is None:
            place.pop(key, None)
        else:
            place[key] = value
    return written(order)


def lives(bed: Bed) -> dict[str, tuple[int, int, int]]:
    """Of each session of the others: when it came up, how often it did, and how often it was lost."""
    known = bed.edge.frr.json("show bgp neighbors json")
    return {
        peer: (
            known[peer].get("bgpTimerUpEstablishedEpoch", 0),
            known[peer]["connectionsEstablished"],
            known[peer]["connectionsDropped"],
        )
        for peer in OTHERS
    }


def disturbed(before: dict[str, tuple[int, int, int]], after: dict[str, tuple[int, int, int]]) -> list[str]:
    """The sessions that are not the same any more; bgpd counts whole seconds."""
    return [peer for peer in OTHERS if abs(before[peer][0] - after[peer][0]) > 1 or before[peer][1:] != after[peer][1:]]


def keys_of(model: type[Any]) -> set[str]:
    """The keys that a part of the order may have."""
    return {field.name for field in fields(model)}


def test_every_kind_of_change_is_among_these() -> None:
    keys = {path for change in CHANGES for path in change}
    ours = {"bgp": Bgp, "probe": Probe, "shaping": Shaping, "gateway": VirtualGateway}
    wanted = {f"{prefix}.{name}" for prefix, model in ours.items() for name in keys_of(model)}
    wanted |= keys_of(VirtualInterface) - {"probe", "shaping"}
    assert wanted <= keys
    assert keys_of(AddressPair) == {"customer", "cloud", "password"}


def unverified(bed: Bed) -> list[str]:
    """What the last pass says of keys that it cannot see; the next one looks again."""
    return [note for note in bed.edge.status()["pass"]["notes"] if "cannot be verified" in note]


def test_a_change_of_one_leaves_the_sessions_of_all_others_alone(running: Bed) -> None:
    client = ControlClient(running.edge.socket)
    assert set(PASSWORDS) == {"prod-a", "dev-a"}
    answer = client.command("apply", ordered({}))
    assert answer["complete"], answer
    running.wait_up("prod-a", "prod-b")
    before = lives(running)
    felt = {}
    for change in CHANGES:
        answer = client.command("apply", ordered(change))
        assert answer["complete"], (change, answer["failures"], answer["notes"])
        until("every key to be verified", lambda: unverified(running), 90, accept=lambda notes: not notes)
        said = {name for operation in answer["done"]["operations"] if operation["disruption"] != "none"
                for name in operation["affects"]}  # fmt: skip
        if flapped := disturbed(before, lives(running)) or said - {CHANGED}:
            felt[str(change)] = flapped
    assert not felt
