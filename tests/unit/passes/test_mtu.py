"""A raised MTU, whose cost is the provider's to say: it stands in the plan's notes and in apply's answer."""

from __future__ import annotations

import pytest

from dcedge.api.plan import applied_json, preview_notes
from dcedge.order.model import Order
from dcedge.reconcile.state.formats import Runtime
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import order


def with_mtu(mtu: int, *, provider: str = "aws", hosted: bool = False) -> Order:
    port = {"provider": provider, "port": "eth1", "bandwidth": "10G"}
    if not hosted:
        return order({"a": vi(1), "b": vi(2)}, connections={"fra-1": port | {"mtu": mtu}})
    part = {"provider": provider, "over": "fra-1", "bandwidth": "500M", "mtu": mtu}
    interfaces = {"a": vi(1, connection="part"), "b": vi(2)}
    return order(interfaces, connections={"fra-1": port | {"mtu": 9001}, "part": part})


def raised(router: FakeRouter, before: Order, after: Order) -> tuple[list[str], list[str]]:
    """What `plan` and then `apply` note of going from one order to the other."""
    router.run(before)
    previewed = preview_notes(router.reconciler.preview(router.reconciler.intent(after, Runtime())))
    applied: list[str] = applied_json(router.run(after))["notes"]
    return [note for note in previewed if "MTU" in note], [note for note in applied if "MTU" in note]


@pytest.mark.parametrize("hosted", [False, True], ids=["on the port", "hosted"])
def test_raised_at_aws_it_may_interrupt_the_whole_connection(router: FakeRouter, hosted: bool) -> None:
    planned, applied = raised(router, with_mtu(1500, hosted=hosted), with_mtu(8500, hosted=hosted))
    whose = "a" if hosted else "a, b"
    assert planned == [
        f"{whose}: raising the MTU at AWS Direct Connect too may interrupt every virtual interface "
        "of connection fra-1 for up to 30 s"
    ]
    assert applied == planned


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (with_mtu(8500), with_mtu(1500)),
        (with_mtu(1500), with_mtu(1500)),
        (with_mtu(1440, provider="generic"), with_mtu(1500, provider="generic")),
    ],
    ids=["lowered", "the same", "where the provider says nothing of it"],
)
def test_else_nothing_is_said(router: FakeRouter, before: Order, after: Order) -> None:
    assert raised(router, before, after) == ([], [])
