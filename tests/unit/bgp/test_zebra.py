"""Waiting until zebra has forgotten the routes of a VRF."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import cast

import pytest

from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.frr import zebra
from dcedge.frr.vty import FrrClient
from dcedge.frr.zebra import WAIT_SECONDS, wait_for_no_routes
from tests.unit.fake.router import Clock

EMPTY = {"ip": [("connected", 1), ("local", 1), ("ibgp", 0)], "ipv6": [("connected", 2)]}


@dataclass
class Zebra:
    """Has these routes by VRF and family, each of the dictionaries for one question; the last one stays."""

    answers: dict[str, list[dict[str, list[tuple[str, int]]]]]
    asked: list[str] = field(default_factory=list)

    def ask(self, daemon: str, command: str, *, timeout: float) -> str:
        assert daemon == "zebra"
        self.asked.append(command)
        _, family, _, _, vrf, *_ = command.split()
        if vrf not in self.answers:
            raise FrrError(f"zebra refused `{command}`: % VRF {vrf} not found (status 1)")
        left = self.answers[vrf]
        routes = (left[0] if len(left) == 1 or family == "ip" else left.pop(0))[family]
        return json.dumps({"routes": [{"fib": count, "rib": count, "type": kind} for kind, count in routes]})


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(zebra, "time", made)
    return made


def test_it_waits_until_only_the_routes_of_addresses_are_left() -> None:
    routes = Zebra({"red": [EMPTY | {"ipv6": [("kernel", 1)]}, EMPTY]})
    assert wait_for_no_routes(cast("FrrClient", routes), ["red", "nobody's"]) == []
    assert len(routes.asked) > 3


def test_it_does_not_wait_for_ever(clock: Clock) -> None:
    before = clock.now
    stuck = Zebra({"red": [EMPTY | {"ip": [("kernel", 1)]}], "blue": [EMPTY]})
    assert wait_for_no_routes(cast("FrrClient", stuck), ["red", "blue"]) == ["red"]
    assert WAIT_SECONDS < clock.now - before < 2 * WAIT_SECONDS


def test_a_zebra_that_does_not_run_is_not_waited_for() -> None:
    class Gone:
        def ask(self, *_: object, **__: object) -> str:
            raise FrrUnavailableError("zebra is not running")

    with pytest.raises(FrrUnavailableError):
        wait_for_no_routes(cast("FrrClient", Gone()), ["red"])
