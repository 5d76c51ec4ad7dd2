"""Every message goes by pyroute2's socket, which a subclass of it sees."""

from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from pyroute2.netlink.rtnl import RTM_VALUES
from pyroute2.netlink.rtnl.iprsocket import IPRSocket

import dcedge
from dcedge.errors import KernelError
from dcedge.kernel.rtnl_messages import set_link
from dcedge.netlink import socket as netlink_socket
from dcedge.reconcile.result import DirtySet
from tests.unit.fake.kernel import FakeKernel
from tests.unit.fake.router import FakeRouter
from tests.unit.fake.wire import Wire, messages
from tests.unit.kernel.orders import vi
from tests.unit.passes.orders import order


class Counting(IPRSocket):  # type: ignore[misc]
    """pyroute2's socket, which counts what is sent by it, by the name of the message."""

    seen: ClassVar[Counter[str]] = Counter()

    def send(self, data: bytes) -> int:
        Counting.seen.update(RTM_VALUES[message.message_type] for message in messages(data))
        return int(self.asyncore.send(data))


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What reached the kernel, by the name of the message."""
    found: Counter[str] = Counter()
    send = Wire.send

    def take(wire: Wire, data: bytes, flags: int = 0) -> int:
        found.update(RTM_VALUES[message.message_type] for message in messages(data))
        return send(wire, data, flags)

    monkeypatch.setattr(Wire, "send", take)
    return found


@pytest.fixture
def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: Counter[str]) -> FakeRouter:
    monkeypatch.setattr(netlink_socket, "IPRSocket", Counting)
    Counting.seen.clear()
    return FakeRouter(tmp_path, monkeypatch)


def seen(reached: Counter[str]) -> Counter[str]:
    """What the socket saw since the last call, which must be all that reached the kernel."""
    found = Counter(Counting.seen)
    assert found == reached, "a message went another way"
    Counting.seen.clear()
    reached.clear()
    return found


def test_the_socket_sees_every_message_of_an_apply_a_pass_a_repair_and_a_purge(
    router: FakeRouter, reached: Counter[str]
) -> None:
    ordered = order({"a": vi(1, static=("10.20.0.0/16",)), "b": vi(2, connection="fra-2", shaping={"ingress": True})})
    assert router.run(ordered).complete
    applied = seen(reached)
    new = ("RTM_NEWLINK", "RTM_NEWADDR", "RTM_NEWROUTE", "RTM_NEWQDISC", "RTM_NEWTCLASS", "RTM_NEWTFILTER")
    assert all(applied[kind] for kind in new)

    assert not router.run(ordered).done
    looks = seen(reached)
    assert looks
    assert all(kind.startswith("RTM_GET") for kind in looks), "a pass that finds nothing to do changes nothing"

    events = router.kernel.events()
    router.kernel.remove_link("eth1.1")
    changed = events.changed()
    assert changed is not None
    assert router.run(ordered, DirtySet(changed.links, changed.queues)).complete
    repaired = seen(reached)
    assert repaired["RTM_NEWLINK"] == 1

    router.purge()
    purged = seen(reached)
    assert purged["RTM_DELLINK"] >= 2
    assert router.kernel.names == {"eth1", "eth2"}


def test_no_other_netlink_socket_is_opened() -> None:
    sources = Path(dcedge.__file__).parent
    assert [path.name for path in sources.rglob("*.py") if "AF_NETLINK" in path.read_text()] == []


@pytest.mark.parametrize("refused", [(), (1,), (0, 63, 64), (69,), tuple(range(70))])
def test_each_request_of_several_batches_gets_its_own_answer(refused: tuple[int, ...], tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    links = [kernel.add_link(f"p{number}") for number in range(70)]
    for number in refused:
        kernel.refuse("RTM_SETLINK", code=errno.EBUSY, text="not now", where=f"p{number}")
    with kernel.socket() as sock:
        answers = sock.execute([set_link(link.index, up=True) for link in links])
    assert [number for number, answer in enumerate(answers) if answer.errno] == list(refused)
    assert {str(answer) for answer in answers if answer.errno} <= {"not now (Device or resource busy)"}
    assert [link.up for link in links] == [number not in refused for number in range(70)]


def test_a_batch_whose_answer_is_lost_is_an_error_to_try_again(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path)
    with kernel.socket() as sock:
        kernel.overrun()
        with pytest.raises(KernelError, match="No buffer space") as failed:
            sock.execute([set_link(kernel.link("lo").index, up=True)])
    assert failed.value.retryable
