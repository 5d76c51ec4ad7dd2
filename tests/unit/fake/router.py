"""A whole router in miniature: dcedge's own reconciler on a fake kernel, a fake FRR and a fake nftables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from dcedge import frr_part, reconcile
from dcedge.bgp import zebra
from dcedge.bgp.md5 import KeySearch
from dcedge.bgp.vty import FrrClient
from dcedge.errors import FrrUnavailableError
from dcedge.firewall.nft import Firewall, FirewallError
from dcedge.kernel import sysctl, view
from dcedge.kernel.execute import Failure
from dcedge.order.model import Order
from dcedge.pass_queue import Scope
from dcedge.plan import Operation
from dcedge.reconcile import PassResult, Reconciler, purge_intent
from dcedge.resource import Key, Resource, State
from dcedge.settings import Settings
from dcedge.store import Runtime, Store
from tests.unit.bgp.fake_frr import FakeFrrClient
from tests.unit.fake.kernel import FakeKernel


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
        """What stands on it goes with it."""
        self.state.pop(key, None)
        for above in [one for one, resource in self.state.items() if resource.parent == key]:
            self._remove(above)


@dataclass
class FakeFrrOnKernel(FakeFrrClient):
    """An FRR whose zebra hears of the kernel's links and addresses; `deaf`: not of those until they are made again."""

    kernel: FakeKernel | None = None
    deaf: bool = False

    def ask(self, daemon: str, command: str, *, timeout: float | None = None) -> str:
        """zebra's word on its links."""
        assert self.kernel is not None
        assert daemon == "zebra"
        if self.absent:
            raise FrrUnavailableError("zebra is not running")
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
        self.kernel.add_link("eth1", up=True)
        self.kernel.add_link("eth2", up=True)
        monkeypatch.setattr(sysctl, "ROOT", self.kernel.sysctls)
        monkeypatch.setattr(reconcile, "time", self.clock)
        monkeypatch.setattr(view, "time", self.clock)
        monkeypatch.setattr(zebra, "time", self.clock)
        monkeypatch.setattr(frr_part, "look_for_keys", lambda *_, **__: KeySearch(frozenset(), ""))
        self.start()

    def start(self) -> None:
        """A process of dcedge starts."""
        self.store = Store(self.folder / "state")
        settings = Settings(state_dir=self.folder / "state", credentials=self.folder / "credentials")
        self.reconciler = Reconciler(
            settings,
            self.store,
            cast("FrrClient", self.frr),
            sock=self.kernel.socket(),
            firewall=cast("Firewall", self.firewall),
        )

    @property
    def frr_lines(self) -> set[str]:
        """What FRR runs with, without contexts."""
        return {line.text for line in self.frr.frr.lines}

    def run(self, order: Order, scope: Scope | None = None, runtime: Runtime | None = None) -> PassResult:
        """One pass."""
        self.kernel.asked.clear()
        self.kernel.done.clear()
        return self.reconciler.run(self.reconciler.intent(order, runtime or Runtime()), scope)

    def purge(self) -> PassResult:
        """Take away all that is ours."""
        return self.reconciler.run(purge_intent(self.store.owned()))
