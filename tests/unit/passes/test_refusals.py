"""What the kernel refuses, forgets or cannot say now: named, tried again, and over when it is over."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dcedge.errors import KernelError
from dcedge.kernel.events import Changed
from dcedge.reconcile.result import DirtySet, PassResult
from tests.unit.fake.router import FakeRouter
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import FASTER, KINDS, STATIC, TWO, order

TOLD_NOTHING = DirtySet()


def failed(result: PassResult) -> dict[str, str]:
    return {str(failure.operation.key): failure.text for failure in result.failures}


def test_a_refusal_is_named_in_the_kernels_words_and_holds_up_nothing_else(router: FakeRouter) -> None:
    router.kernel.refuse("RTM_NEWQDISC", code=errno.ENOMEM, text="no room for a queue", where="eth1.1")
    result = router.run(TWO)
    assert failed(result) == {"shaper eth1.1": "no room for a queue (Cannot allocate memory)"}
    assert {name for failure in result.failures for name in failure.operation.affects} == {"a"}
    assert router.kernel.addresses("eth1.1")
    assert router.kernel.root("eth2.2") == ("htb", "dce:")


def test_what_was_refused_is_tried_with_whatever_pass_comes_next_and_cleared(router: FakeRouter) -> None:
    router.kernel.refuse("RTM_NEWADDR", code=errno.ENOBUFS, where="eth1.1")
    assert set(failed(router.run(TWO))) == {"address 10.255.1.2/30 on eth1.1", "address 2001:db8:1::2/126 on eth1.1"}
    again = router.run(TWO, TOLD_NOTHING)
    assert set(failed(again)) == {"address 10.255.1.2/30 on eth1.1", "address 2001:db8:1::2/126 on eth1.1"}
    router.kernel.behave()
    assert failed(router.run(TWO, TOLD_NOTHING)) == {}
    assert router.kernel.addresses("eth1.1") == {"10.255.1.2/30", "2001:db8:1::2/126"}


def test_what_stands_on_a_refused_link_waits_for_it(router: FakeRouter) -> None:
    router.kernel.refuse("RTM_NEWLINK", code=errno.EPERM, where="eth1.1")
    told = failed(router.run(TWO))
    assert told.pop("link eth1.1") == "Operation not permitted"
    assert {key.split()[0] for key in told} == {"address", "shaper"}
    assert set(told.values()) == {"waits for link eth1.1"}
    router.kernel.behave()
    assert router.run(TWO, TOLD_NOTHING).complete


def test_a_port_that_is_not_there_is_named_once_it_is_not(router: FakeRouter) -> None:
    elsewhere = order({"a": vi(1)}, connections={"fra-1": {"provider": "generic", "port": "eth9", "bandwidth": "1G"}})
    told = failed(router.run(elsewhere))
    assert told["port eth9"] == "port eth9 does not exist"
    assert told["link eth9.1"] == "no such interface: eth9"
    router.kernel.add_link("eth9")
    assert router.run(elsewhere).complete


def test_ports_are_not_set_down_for_a_bond_that_is_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = FakeRouter(tmp_path, monkeypatch, lacks=["bond"])
    router.kernel.add_address("eth2", "203.0.113.1/24")
    for _ in range(2):
        told = failed(router.run(KINDS["a bond"]))
        assert told["bond bond0"] == "Unknown device type (Operation not supported)"
        assert told["port bond0"] == "port bond0 does not exist"
        assert router.kernel.link("eth1").up
        assert router.kernel.link("eth2").up
        assert not [done for done in router.kernel.done if done.startswith("RTM_SETLINK")]


def test_a_port_that_takes_no_jumbo_frames_is_named_with_those_that_need_them(router: FakeRouter) -> None:
    connection = {"provider": "generic", "port": "eth1", "bandwidth": "1G", "mtu": 8500}
    router.kernel.link("eth1").mtu_max = 2000
    result = router.run(order({"a": vi(1)}, connections={"fra-1": connection}))
    told = failed(result)
    assert told["port eth1"].startswith("port eth1 does not take MTU 8500: mtu greater than device maximum")
    assert told["link eth1.1"] == told["port eth1"]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("RTM_NEWADDR", "address 10.255.1.2/30 on eth1.1"),
        ("RTM_NEWTFILTER", "shaper eth1.1"),
        ("RTM_SETLINK", "link eth1.1"),
        ("RTM_NEWLINKPROP", "link eth1.1"),
    ],
)
def test_what_the_kernel_acknowledged_and_did_not_do_is_a_failure(kind: str, key: str, router: FakeRouter) -> None:
    router.kernel.pretend(kind, where="eth1.1")
    result = router.run(TWO)
    assert failed(result)[key].startswith("was acknowledged, but had no effect: ")
    router.kernel.behave()
    assert router.run(TWO).complete


def test_a_rate_that_was_acknowledged_and_not_set_is_a_failure(router: FakeRouter) -> None:
    router.run(TWO)
    router.kernel.pretend("RTM_NEWTCLASS", where="eth1.1")
    result = router.run(FASTER, TOLD_NOTHING)
    assert failed(result)["shaper eth1.1"].startswith("was acknowledged, but had no effect: ")
    assert router.kernel.htb_class("eth1.1", 1).rate == 6_250_000


def test_a_route_that_was_acknowledged_and_not_made_is_a_failure(router: FakeRouter) -> None:
    router.kernel.pretend("RTM_NEWROUTE")
    (text,) = failed(router.run(order({"a": vi(1, static=STATIC)}))).values()
    assert text.startswith("was acknowledged, but had no effect: ")


def test_what_is_gone_already_is_no_failure(router: FakeRouter) -> None:
    router.run(TWO)

    def somebody_is_faster() -> None:
        for name in router.kernel.names - {"eth1", "eth2"}:
            router.kernel.remove_link(name)

    router.kernel.meanwhile(somebody_is_faster)
    assert not router.purge().failures
    assert router.kernel.names == {"eth1", "eth2"}


def test_a_table_that_changes_under_a_dump_is_read_again(router: FakeRouter) -> None:
    router.kernel.interrupt_dumps(3)
    assert router.run(TWO).complete
    router.kernel.interrupt_dumps(3)
    assert not router.run(TWO).done, "and nothing in it counts twice"


def test_a_table_that_never_stands_still_ends_the_pass_and_changes_nothing(router: FakeRouter) -> None:
    router.kernel.interrupt_dumps(1000)
    with pytest.raises(KernelError, match="changed during a dump") as raised:
        router.run(TWO)
    assert raised.value.retryable
    assert router.kernel.done == []
    router.kernel.interrupt_dumps(0)
    assert router.run(TWO, TOLD_NOTHING).complete


def test_a_dump_of_which_the_kernel_lost_a_part_is_asked_for_again(router: FakeRouter) -> None:
    router.run(TWO)
    router.kernel.overrun()
    assert not router.run(TWO).done


def test_after_a_lost_acknowledgement_everything_is_looked_at_again(router: FakeRouter) -> None:
    router.run(TWO)
    events = router.kernel.events()
    router.kernel.remove_address("eth2.2", "10.255.2.2/30")
    events.forget()
    router.kernel.remove_address("eth1.1", "10.255.1.2/30")
    router.kernel.meanwhile(router.kernel.overrun)
    with pytest.raises(KernelError, match="No buffer space available"):
        router.run(TWO, DirtySet(frozenset({router.kernel.link("eth1.1").index})))
    result = router.run(TWO, TOLD_NOTHING)
    assert {str(o.key) for o in result.done.operations} == {"address 10.255.2.2/30 on eth2.2"}
    assert router.kernel.addresses("eth1.1") == {"10.255.1.2/30", "2001:db8:1::2/126"}


def test_events_that_were_lost_are_known_to_be_lost(router: FakeRouter) -> None:
    router.run(TWO)
    events = router.kernel.events(room=2)
    for _ in range(3):
        router.kernel.remove_root("eth1.1")
        router.run(TWO)
    assert events.changed() is None, "full resync"
    events.forget()
    router.kernel.remove_root("eth2.2")
    changed = events.changed()
    assert changed is not None
    assert changed == Changed(frozenset({router.kernel.link("eth2.2").index}), queues=True)


def test_what_nftables_refuses_is_a_failure_until_it_does_not(router: FakeRouter) -> None:
    router.firewall.refuses = "Device or resource busy"
    result = router.run(TWO)
    assert set(failed(result).values()) == {"nft: Device or resource busy"}
    assert router.kernel.addresses("eth1.1")
    router.firewall.refuses = ""
    assert router.run(TWO, TOLD_NOTHING).complete


def test_addresses_that_zebra_missed_are_made_again(router: FakeRouter) -> None:
    router.frr.deaf = True
    assert router.run(TWO).complete
    assert router.kernel.done.count("RTM_DELADDR eth1.1") == 2
    assert router.kernel.addresses("eth1.1") == {"10.255.1.2/30", "2001:db8:1::2/126"}
