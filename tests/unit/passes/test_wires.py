"""A port whose wire can be filled, through its changes of speed."""

from __future__ import annotations

import pytest

from dcedge.kernel.queue.resource import Shaper
from dcedge.kernel.queue.shaping import WHOLE
from dcedge.plan.resource import Key
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import order

GIGABIT = 10**9


@pytest.mark.parametrize("vlan", [0, 101])
def test_the_tree_follows_the_ports_speed_and_stays_while_it_is_down(router: FakeRouter, vlan: int) -> None:
    full = order({"a": vi(1, vlan=vlan, bandwidth="1G")})

    def on_port() -> int | None:
        shaper = router.reconciler.kernel.seen.state.get(Key("shaper", "eth1"))
        if not isinstance(shaper, Shaper) or shaper.tree is None:
            return None
        return next(htb.rate_bytes * 8 for htb in shaper.tree.classes if htb.minor == WHOLE)

    router.speeds.wires["eth1"] = GIGABIT
    assert router.run(full).complete
    assert on_port() == 995_000_000
    assert not router.run(full).done
    router.speeds.wires.clear()  # its light is gone
    assert not router.run(full).done
    router.speeds.wires["eth1"] = GIGABIT // 10
    changed = router.run(full).done
    assert [operation.action for operation in changed.operations] == ["change"]
    assert on_port() == 99_500_000
    router.speeds.wires["eth1"] = 100 * GIGABIT
    assert router.run(full).complete
    assert on_port() == (None if vlan else GIGABIT)
    assert not router.run(full).done


def test_a_queue_that_others_have_on_a_full_port_is_said_and_stays(router: FakeRouter) -> None:
    router.kernel.add_qdisc("eth1", "pfifo", 0x20 << 16)
    router.speeds.wires["eth1"] = GIGABIT
    result = router.run(order({"a": vi(101, bandwidth="1G")}))
    assert result.complete, "its ordered rate is held on its own link"
    assert router.kernel.root("eth1") == ("pfifo", "20:")
    assert [warning for warning in result.warnings if "pfifo" in warning] == [
        "eth1 has somebody else's pfifo 20:, so what its virtual interfaces send beyond its wire waits there or in the"
        " card, control packets too"
    ]
    router.purge()
    assert router.kernel.root("eth1") == ("pfifo", "20:")
