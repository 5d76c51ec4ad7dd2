"""A whole router in miniature: dcedge's own reconciler on a fake kernel, a fake FRR and a fake nftables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from dcedge.errors import FrrUnavailableError
from dcedge.firewall.nft import Firewall, FirewallError
from dcedge.frr import zebra
from dcedge.frr.md5 import KeySearch
from dcedge.frr.vty import FrrClient
from dcedge.kernel import dump, proc_sys
from dcedge.kernel.context import Failure
from dcedge.kernel.port.speeds import PortSpeeds
from dcedge.order.model import Order
from dcedge.plan.diff import Operation
from dcedge.plan.resource import Key, Resource, State
from dcedge.reconcile import frr_keys, reconciler
from dcedge.reconcile.queue import PassQueue
from dcedge.reconcile.reconciler import Reconciler, purge_intent
from dcedge.reconcile.result import DirtySet, Meanwhile, PassRequest, PassResult
from dcedge.reconcile.state.formats import Runtime
from dcedge.reconcile.state.store import Store
from dcedge.settings import Settings
from tests.unit.bgp.fake_frr import FakeFrrClient
from tests.unit.fake.kernel import FakeKernel


@dataclass
class FakeSpeeds:
    """What drivers tell of the wires of ports that are up: bits a second, by name."""

    wires: dict[str, int] = field(default_factory=dict)

    def read(self, ports: Iterable[str]) -> dict[str, int]:
        """Of these."""
        return {port: self.wires[port] for port in ports if port in self.wires}

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class FakeFirewall:
    """nftables in miniature: holds the resources; `absent` says why it cannot be had."""

    absent: str = ""
    refuses: str = ""
    state: dict[Key, Resource] = field(default_factory=dict)

    def observe(self, wanted: State) -> dict[Key, Resource]:
        """What is in force."""
        if self.absent and wanted:
            raise FirewallError(self.absent)
        return dict(self.state)

    def execute(self, operations: Sequence[Operation]) -> list[Failure]:
        """All of them, or none."""
        if self.refuses:
            return [Failure(operation, f"nft: {self.refuses}", True) for operation in operations]
        for operation in operations:
            if operation.action in {"delete", "replace"}:
                self._remove(operation.key)
            if operation.after is not None:
                self.state[operation.key] = operation.after
        return []

    def _remove(self, key: Key) -> None:
        """Its children go with it."""
        self.state.pop(key, None)
        for above in [one for one, resource in self.state.items() if resource.parent == key]:
            self._remove(above)


@dataclass
class FakeFrrOnKernel(FakeFrrClient):
    """An FRR whose zebra hears of the kernel's links and addresses; `deaf`: not of those until they are made again.

    `asked` has what it was asked, and how many changes the kernel had made by then.
    """

    kernel: FakeKernel | None = None
    deaf: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)

    def ask(self, daemon: str, command: str, *, timeout: float | None = None) -> str:
        """zebra's word on its links, or on the routes of a VRF."""
        assert self.kernel is not None
        assert daemon == "zebra"
        if self.absent:
            raise FrrUnavailableError("zebra is not running")
        self.asked.append((command, len(self.kernel.done)))
        if " summary " in command:
            return json.dumps({"routes": []})
        hears = not self.deaf or any(done.startswith("RTM_DELADDR") for done in self.kernel.done)
        links = {
            link.name: {"index": link.index, "addresses": [one.interface for one in link.addresses if hears]}
            for link in self.kernel.links.values()
        }
        return json.dumps(links)


@dataclass
class Clock:
    """Time that passes when it is told to; seconds."""

    now: float = 1000.0

    def monotonic(self) -> float:
        """Since some beginning."""
        return self.now

    def time(self) -> float:
        """Wall clock."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class FakeRouter:
    """dcedge on a router with two ports.

    Restarted, it is another process with the same state folder on the same kernel.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, lacks: Sequence[str] = ()) -> None:
        self.folder = folder
        self.clock = Clock()
        self.kernel = FakeKernel(folder / "sys", lacks=lacks)
        self.frr = FakeFrrOnKernel(kernel=self.kernel)
        self.firewall = FakeFirewall()
        self.speeds = FakeSpeeds()
        self.kernel.add_link("eth1", up=True)
        self.kernel.add_link("eth2", up=True)
        monkeypatch.setattr(proc_sys, "ROOT", self.kernel.sysctls)
        monkeypatch.setattr(reconciler, "time", self.clock)
        monkeypatch.setattr(dump, "time", self.clock)
        monkeypatch.setattr(zebra, "time", self.clock)
        monkeypatch.setattr(frr_keys, "look_for_keys", lambda *_, **__: KeySearch(frozenset(), ""))
        self.start()

    def start(self) -> None:
        """A process of dcedge starts."""
        self.queue = PassQueue(self.clock.monotonic)
        self.store = Store(self.folder / "state")
        settings = Settings(state_dir=self.folder / "state", credentials=self.folder / "credentials")
        self.reconciler = Reconciler(
            settings,
            self.store,
            cast("FrrClient", self.frr),
            sock=self.kernel.socket(),
            firewall=cast("Firewall", self.firewall),
            speeds=cast("PortSpeeds", self.speeds),
        )

    @property
    def frr_lines(self) -> set[str]:
        """What FRR runs with, without contexts."""
        return {line.text for line in self.frr.frr.lines}

    def run(self, order: Order, dirty: DirtySet | None = None, runtime: Runtime | None = None) -> PassResult:
        """One pass."""
        self.kernel.asked.clear()
        self.kernel.done.clear()
        request = replace(self.queue.take(), dirty=dirty)
        result = self.reconciler.run(self.reconciler.intent(order, runtime or Runtime()), request)
        self.queue.ended(result)
        return result

    def resync(self, order: Order, meanwhile: Meanwhile) -> PassResult:
        """A full resync, which gives way to passes meanwhile."""
        return self.reconciler.run(self.reconciler.intent(order, Runtime()), PassRequest(), meanwhile)

    def purge(self) -> PassResult:
        """Take away all that is ours."""
        return self.reconciler.run(purge_intent(self.store.owned()))
