"""What others undo is repaired: by a full resync, and by an incremental pass where the kernel sent an event."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dcedge.kernel.events import EventSocket
from dcedge.order.model import Order
from dcedge.reconcile.drift import PAUSE_SECONDS, REPAIRS
from dcedge.reconcile.result import DirtySet, PassRequest, PassResult
from tests.unit.fake.kernel import FakeKernel
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import KINDS, ONE, STATIC, order

ORDER = order({"a": vi(1, static=STATIC), "b": vi(2, connection="fra-2")})


# What somebody does to virtual interface a, and what is to be put right then.
HARM: dict[str, tuple[Callable[[FakeKernel], object], set[str]]] = {
    "its link goes": (lambda kernel: kernel.remove_link("eth1.1"), {"link", "address", "shaper", "route"}),
    "its link is set down": (lambda kernel: kernel.set_link("eth1.1", up=False), {"link", "address", "route"}),
    "its address goes": (lambda kernel: kernel.remove_address("eth1.1", "10.255.1.2/30"), {"address"}),
    "its link-local address goes": (
        lambda kernel: kernel.remove_address("eth1.1", kernel.link_local("eth1.1")),
        {"link-local"},
    ),
    "its shaper goes": (lambda kernel: kernel.remove_root("eth1.1"), {"shaper"}),
    "its shaper becomes another": (lambda kernel: kernel.add_qdisc("eth1.1", "pfifo", 0), {"shaper"}),
    "its rate is changed by hand": (lambda kernel: kernel.set_class("eth1.1", 1, rate=125), {"shaper"}),
    "its altname goes": (lambda kernel: kernel.set_link("eth1.1", altnames=[]), {"link"}),
    "its MTU shrinks": (lambda kernel: kernel.set_link("eth1.1", mtu=1280), {"link"}),
    "a reverse path filter is set": (
        lambda kernel: kernel.set_link("eth1.1", conf4={**kernel.link("eth1.1").conf4, "rp_filter": 1}),
        {"link"},
    ),
    "its port is set down": (lambda kernel: kernel.set_link("eth1", up=False), {"port", "link", "address", "route"}),
}
SILENT: dict[str, tuple[Callable[[FakeKernel], object], set[str]]] = {
    "its route goes": (lambda kernel: kernel.remove_route("10.20.0.0/16"), {"route"}),
    "forwarding is switched off": (lambda kernel: kernel.set_sysctl("net/ipv4/ip_forward", 0), {"sysctl"}),
}


def repaired(result: PassResult) -> set[str]:
    return {operation.key.type for operation in result.done.operations}


@pytest.mark.parametrize("harm", [*HARM, *SILENT])
def test_a_look_at_everything_puts_it_right(harm: str, router: FakeRouter) -> None:
    harmful, kinds = {**HARM, **SILENT}[harm]
    assert router.run(ORDER).complete
    before = router.kernel.picture()
    harmful(router.kernel)
    result = router.run(ORDER)
    assert result.complete
    assert repaired(result) == kinds
    assert all("b" not in o.affects for o in result.done.operations if o.key.type != "sysctl")
    assert router.kernel.picture() == before
    assert router.kernel.htb_class("eth1.1", 1).rate == 6_250_000
    assert router.kernel.link("eth1.1").conf4["rp_filter"] == 0
    assert not router.run(ORDER).done


def prompt(router: FakeRouter, events: EventSocket, ordered: Order | None = None) -> PassResult:
    """A pass where the kernel says that something happened."""
    changed = events.changed()
    assert changed is not None
    return router.run(ordered or ORDER, DirtySet(changed.links, changed.queues, settings=changed.settings))


class During:
    """Something happens at so many questions of a full resync, and an incremental pass is due."""

    def __init__(self, router: FakeRouter, questions: int, harmful: Callable[[FakeKernel], object]) -> None:
        self.router, self.questions, self.harmful = router, questions, harmful
        self.events = router.kernel.events()
        self.refused: DirtySet | None = None
        self.repair: PassResult | None = None

    def take(self, accept: Callable[[DirtySet], bool]) -> PassRequest | None:
        """See `Meanwhile`."""
        self.questions -= 1
        if self.questions:
            return None
        self.harmful(self.router.kernel)
        changed = self.events.changed()
        assert changed is not None
        dirty = DirtySet(changed.links, changed.queues, settings=changed.settings)
        if accept(dirty):
            return PassRequest(dirty)
        self.refused = dirty
        return None

    def ended(self, result: PassResult) -> None:
        """See `Meanwhile`."""
        self.repair = result


@pytest.mark.parametrize("questions", [1, 2, 3, 4])
@pytest.mark.parametrize("harm", HARM)
def test_what_happens_during_a_full_resync_is_repaired_before_its_end(
    harm: str, questions: int, router: FakeRouter
) -> None:
    harmful, kinds = HARM[harm]
    assert router.run(ORDER).complete
    before = router.kernel.picture()
    during = During(router, questions, harmful)
    result = router.resync(ORDER, during)
    assert during.repair is not None
    assert kinds <= repaired(during.repair)
    assert during.repair.complete
    assert result.complete
    assert not result.done, "the full resync took what it had seen before for what is so"
    assert router.kernel.picture() == before
    assert not router.run(ORDER).done


def test_what_many_links_feel_waits_for_the_end_of_a_full_resync(router: FakeRouter) -> None:
    ordered = KINDS["a VRF"]
    assert router.run(ordered).complete
    during = During(router, 2, lambda kernel: kernel.remove_link("blue"))
    router.resync(ordered, during)
    assert during.refused is not None
    assert during.repair is None
    assert router.run(ordered, during.refused).complete
    assert not router.run(ordered).done


def test_a_new_order_gives_way_to_nothing(router: FakeRouter) -> None:
    during = During(router, 1, lambda kernel: kernel.set_link("eth1", up=False))
    assert router.resync(ORDER, during).complete
    assert during.questions == 1


@pytest.mark.parametrize("harm", HARM)
def test_a_prompt_pass_puts_it_right_and_the_events_of_its_own_work_find_nothing(harm: str, router: FakeRouter) -> None:
    harmful, kinds = HARM[harm]
    assert router.run(ORDER).complete
    events, before = router.kernel.events(), router.kernel.picture()
    harmful(router.kernel)
    done = prompt(router, events).done.operations
    for _ in range(3):
        done += prompt(router, events).done.operations
    assert {operation.key.type for operation in done} == kinds
    assert router.kernel.picture() == before
    assert not prompt(router, events).done
    assert not router.run(ORDER).done


def test_a_prompt_pass_looks_only_where_something_happened(router: FakeRouter) -> None:
    router.run(ORDER)
    events = router.kernel.events()
    router.kernel.remove_address("eth1.1", "10.255.1.2/30")
    prompt(router, events)
    assert {asked.link for asked in router.kernel.asked if asked.what == "RTM_GETLINK"} == {"eth1", "eth1.1"}
    assert {asked.link for asked in router.kernel.asked if asked.what == "RTM_GETADDR"} == {"eth1.1"}


def test_a_prompt_pass_leaves_what_nobody_told_of_to_the_next_look_at_everything(router: FakeRouter) -> None:
    router.run(ORDER)
    router.kernel.remove_address("eth2.2", "10.255.2.2/30")
    events = router.kernel.events()
    router.kernel.remove_address("eth1.1", "10.255.1.2/30")
    assert {o.key.name for o in prompt(router, events).done.operations} == {"10.255.1.2/30 on eth1.1"}
    assert {o.key.name for o in router.run(ORDER).done.operations} == {"10.255.2.2/30 on eth2.2"}


def test_a_link_that_comes_back_under_another_index_is_the_same_virtual_interface(router: FakeRouter) -> None:
    router.run(ORDER)
    events, index = router.kernel.events(), router.kernel.link("eth1.1").index
    router.kernel.remove_link("eth1.1")
    result = prompt(router, events)
    assert result.complete
    assert result.indices["eth1.1"] == router.kernel.link("eth1.1").index > index


def test_a_link_of_the_last_index_that_there_is_keeps_no_new_link_from_being_made(router: FakeRouter) -> None:
    router.kernel.add_link("last", index=2**31 - 1)
    assert router.run(ORDER).complete
    router.kernel.remove_link("eth1.1")
    assert router.run(ORDER).complete
    assert 0 < router.kernel.link("eth1.1").index < 2**30
    assert router.store.highest_index() < 2**30


def test_a_port_that_goes_and_comes_back_gets_its_virtual_interfaces_back(router: FakeRouter) -> None:
    router.run(ORDER)
    events = router.kernel.events()
    router.kernel.remove_link("eth1")
    result = prompt(router, events)
    assert "no such interface: eth1" in {failure.text for failure in result.failures}
    assert all("b" not in failure.operation.affects for failure in result.failures)
    router.kernel.add_link("eth1")
    for _ in range(3):
        result = prompt(router, events)
    assert result.complete
    assert router.kernel.addresses("eth1.1") == {"10.255.1.2/30", "2001:db8:1::2/126"}
    assert router.kernel.gateways("10.20.0.0/16") == [("10.255.1.1",)]


def test_a_virtual_interface_that_is_set_down_stays_so_though_its_port_comes_up(router: FakeRouter) -> None:
    """The kernel sets every VLAN up with the device below it."""
    down = order({"a": vi(1, admin="down")})
    router.run(down)
    router.kernel.set_link("eth1", up=False)
    router.kernel.set_link("eth1", up=True)
    assert router.kernel.link("eth1.1").up
    assert repaired(router.run(down)) == {"link"}
    assert not router.kernel.link("eth1.1").up


def test_a_path_of_several_that_goes_is_back_in_the_route_with_its_link(router: FakeRouter) -> None:
    both = order({"a": vi(1, static=STATIC), "b": vi(2, connection="fra-2", static=STATIC)})
    router.run(both)
    router.kernel.remove_link("eth1.1")
    assert "route" in repaired(result := router.run(both))
    assert result.complete
    assert router.kernel.gateways("10.20.0.0/16") == [("10.255.1.1", "10.255.2.1")]
    assert all(index for route in router.kernel.routes.values() for index, _ in route.hops)


def test_a_bond_whose_mtu_was_put_right_goes_with_a_purge(router: FakeRouter) -> None:
    """What its MTU was before is remembered as of any port, but there is none to give it back to."""
    before = router.kernel.picture()
    router.run(KINDS["a bond"])
    router.kernel.set_link("bond0", mtu=1280)
    assert repaired(router.run(KINDS["a bond"])) == {"port"}
    assert not router.purge().failures
    assert router.kernel.picture() == before


def test_somebody_who_keeps_undoing_is_left_alone_for_a_while(router: FakeRouter) -> None:
    router.run(ONE)
    for _ in range(REPAIRS):
        router.kernel.remove_root("eth1.1")
        assert repaired(router.run(ONE)) == {"shaper"}
    router.kernel.remove_root("eth1.1")
    router.kernel.remove_address("eth1.1", "10.255.1.2/30")
    assert repaired(router.run(ONE)) == {"address"}, "only what something else keeps undoing is suppressed"
    (told,) = router.queue.drift_notes()
    assert told.startswith("repair of shaper eth1.1 is suppressed for")
    router.clock.now += PAUSE_SECONDS + 1
    assert repaired(router.run(ONE)) == {"shaper"}
    assert router.kernel.root("eth1.1") == ("htb", "dce:")


def test_a_new_order_ends_every_fight(router: FakeRouter) -> None:
    router.run(ONE)
    for _ in range(REPAIRS + 1):
        router.kernel.remove_root("eth1.1")
        router.run(ONE)
    assert router.kernel.root("eth1.1") is None
    assert repaired(router.run(order({"a": vi(1)}))) == {"shaper"}


def test_what_happens_behind_a_pass_is_said_to_have_changed_meanwhile(router: FakeRouter) -> None:
    """It happens after the look and before the verification, whose look lets go of the kernel's word on it."""
    router.run(ORDER)
    router.kernel.remove_link("eth1.1")
    router.kernel.set_sysctl("net/ipv4/ip_forward", 0)  # what makes the verification a full resync
    router.kernel.meanwhile(lambda: router.kernel.remove_root("eth2.2"))
    result = router.run(ORDER)
    assert (result.complete, result.changed_meanwhile) == (True, True)
    assert repaired(result := router.run(ORDER)) == {"shaper"}
    assert not result.changed_meanwhile
