"""What a pass is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dcedge.kernel.context import Failure
from dcedge.plan.diff import Plan
from dcedge.plan.resource import Key
from dcedge.reconcile.desired import Intent
from dcedge.reconcile.drift import PortState


@dataclass(frozen=True, slots=True)
class DirtySet:
    """What an incremental pass observes: links by index; their queues too; FRR; the firewall; the router's settings."""

    links: frozenset[int] = frozenset()
    queues: bool = False
    frr: bool = False
    firewall: bool = False
    settings: bool = False

    def __or__(self, other: DirtySet) -> DirtySet:
        return DirtySet(
            self.links | other.links,
            self.queues or other.queues,
            self.frr or other.frr,
            self.firewall or other.firewall,
            self.settings or other.settings,
        )


@dataclass(frozen=True, slots=True)
class PassRequest:
    """One pass. `dirty` None: a full resync."""

    dirty: DirtySet | None = None
    ordered: bool = False  # it carries out an order, so what it does is no repair
    began: float = 0.0  # monotonic
    failures: tuple[Failure, ...] = ()  # of earlier passes, which are tried again
    suppressed: frozenset[Key] = frozenset()  # not to be repaired now


class Meanwhile(Protocol):
    """The incremental passes that a full resync gives way to. Called in the thread of that."""

    def take(self, accept: Callable[[DirtySet], bool]) -> PassRequest | None:
        """The one that is due now, if its dirty set is accepted."""

    def ended(self, result: PassResult) -> None:
        """It has ended so."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a pass would do, and what it could not observe."""

    intent: Intent
    plan: Plan
    frr_detail: str
    firewall_detail: str
    in_the_way: tuple[str, ...] = ()  # of others, where ours should stand, and what stops our traffic


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass did. Times in seconds; `failures` stand until a later pass succeeds."""

    finished: float  # wall clock
    executed: float  # from the start to the last acknowledgement; what follows is verification
    duration: float
    intent: Intent
    indices: Mapping[str, int]  # of links, by name
    done: Plan
    failures: tuple[Failure, ...]
    frr_available: bool
    frr_detail: str
    firewall_detail: str  # why the firewall is not in force, where it is not
    frr_unsaved: str  # why FRR would come up without its part as it is now, where it would
    changed_meanwhile: bool  # something else went wrong during the pass, and nobody will tell of it again
    warnings: tuple[str, ...]  # what the operator's own configuration does that an order cannot mend
    anew: bool = False  # what is asked for differs from the pass before, so nothing that was done is a repair
    repaired: Mapping[Key, PortState] = field(default_factory=dict)  # each with the port that it depends on

    @property
    def complete(self) -> bool:
        """Whether everything is as ordered now."""
        return not self.failures and self.frr_available and not self.intent.missing_credentials
