"""Orders, harm, refusals and restarts in any order: in the end all is as ordered, and a purge leaves what was there."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcedge.errors import KernelError
from dcedge.reconcile.result import DirtySet
from tests.unit.fake.router import FakeRouter
from tests.unit.passes.orders import KINDS

# RTM_SETLINK is not among them: it is by what marks a VRF, and one without its mark is taken for somebody else's.
REFUSED = (
    "RTM_NEWLINK", "RTM_DELLINK", "RTM_NEWLINKPROP", "RTM_NEWADDR", "RTM_NEWROUTE",
    "RTM_NEWQDISC", "RTM_NEWTCLASS", "RTM_NEWTFILTER",
)  # fmt: skip


class World:
    """A router on which others have a VLAN and an address, and what happens on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.router = FakeRouter(folder, monkeypatch)
        self.kernel = self.router.kernel
        self.kernel.add_link("eth1.900", below="eth1", vlan=900, up=True)
        self.kernel.add_address("eth1.900", "198.51.100.1/24")
        self.kernel.add_address("eth2", "203.0.113.1/24")
        self.events = self.kernel.events()
        self.kind = "two ports"

    def order(self, kind: str) -> None:
        """Another order."""
        self.kind = kind
        self.full()

    def full(self) -> None:
        """A full resync."""
        with contextlib.suppress(KernelError):
            self.router.run(KINDS[self.kind])

    def prompt(self) -> None:
        """A pass where the kernel told of something."""
        changed = self.events.changed()
        with contextlib.suppress(KernelError):
            self.router.run(KINDS[self.kind], DirtySet(changed.links, changed.queues) if changed is not None else None)

    def harm_link(self, harm: Callable[[str], object], *, ports: bool = True) -> None:
        """Something happens to one of our links; with `ports` it may be an untagged virtual interface's, too."""
        for name in sorted(self.kernel.names):
            link = self.kernel.link(name)
            if link.alias.startswith("dcedge") and (ports or link.kind == "vlan"):
                harm(name)
                return

    def lose_address(self, name: str) -> None:
        """Somebody takes one of ours away."""
        for address in sorted(self.kernel.addresses(name) - {"203.0.113.1/24"}):
            self.kernel.remove_address(name, address)
            return

    def lose_class(self, name: str) -> None:
        """Somebody sets another rate."""
        if self.kernel.link(name).queues.classes:
            self.kernel.set_class(name, 1, rate=12345)

    def end(self) -> None:
        """Nothing goes wrong any more."""
        self.kernel.behave()
        self.kernel.interrupt_dumps(0)
        self.router.clock.now += 10_000
        for _ in range(2):
            self.full()


def _steps() -> Mapping[str, Callable[[World], object]]:
    steps: dict[str, Callable[[World], object]] = {
        "full pass": World.full,
        "prompt pass": World.prompt,
        "restart": lambda world: world.router.start(),
        "a link goes": lambda world: world.harm_link(world.kernel.remove_link, ports=False),
        "a link is set down": lambda world: world.harm_link(partial(world.kernel.set_link, up=False)),
        "a mark goes": lambda world: world.harm_link(partial(world.kernel.set_link, alias=""), ports=False),
        "an altname goes": lambda world: world.harm_link(partial(world.kernel.set_link, altnames=[])),
        "an MTU shrinks": lambda world: world.harm_link(partial(world.kernel.set_link, mtu=1280), ports=False),
        "a shaper goes": lambda world: world.harm_link(world.kernel.remove_root),
        "an address goes": lambda world: world.harm_link(world.lose_address),
        "a rate changes": lambda world: world.harm_link(world.lose_class),
        "a port is set down": lambda world: world.kernel.set_link("eth1", up=False),
        "a port is set up": lambda world: world.kernel.set_link("eth1", up=True),
        "a route goes": lambda world: world.kernel.remove_route("10.20.0.0/16"),
        "forwarding is switched off": lambda world: world.kernel.set_sysctl("net/ipv4/ip_forward", 0),
        "dumps are interrupted": lambda world: world.kernel.interrupt_dumps(3),
        "an answer is lost": lambda world: world.kernel.overrun(),
    }
    for kind in KINDS:
        steps[f"order: {kind}"] = partial(_order, kind)
    for what in REFUSED:
        steps[f"{what} is refused"] = partial(_refuse, what)
        if what != "RTM_NEWLINK":  # what a later message builds on is there once it is acknowledged
            steps[f"{what} is acknowledged and not done"] = partial(_pretend, what)
    return steps


def _order(kind: str, world: World) -> None:
    world.order(kind)


def _refuse(what: str, world: World) -> None:
    world.kernel.refuse(what, code=12, times=2)


def _pretend(what: str, world: World) -> None:
    world.kernel.pretend(what, times=2)


STEPS = _steps()


@settings(max_examples=settings().max_examples // 4)  # each is a dozen passes
@given(history=st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=10))
def test_every_history_ends_as_ordered_and_a_purge_leaves_what_was_there(history: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        world = World(Path(folder), monkeypatch)
        before = world.kernel.picture()
        for step in history:
            STEPS[step](world)
        world.end()
        result = world.router.run(KINDS[world.kind])
        assert result.complete, [failure.text for failure in result.failures]
        assert not result.done, [str(operation.key) for operation in result.done.operations]
        assert not world.router.purge().failures
        assert world.kernel.picture() == before
