"""FRR's part of a pass: observe, write, read back; see that every key is in force; save what is meant to stay.

Everything in here blocks. It comes after the kernel's part, which must never wait for a daemon that is wedged; only
where something of the kernel's goes, FRR is told first, so that the peer hears of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dcedge.errors import FrrError, FrrUnavailableError, StateError
from dcedge.frr.config import ConfigLine, FrrConfig
from dcedge.frr.delta import delta
from dcedge.frr.descriptors import NO_OTHERS, Others, served_for_others
from dcedge.frr.observe import observe_frr, owned_alike, remember
from dcedge.frr.resources import FrrBlock, without_bfdd
from dcedge.frr.session_block import keep_unkeyed
from dcedge.frr.started import needed_daemons
from dcedge.frr.vty import FrrClient
from dcedge.kernel.context import Failure
from dcedge.plan.diff import Operation, Plan, plan
from dcedge.plan.resource import Key
from dcedge.reconcile.desired import Intent
from dcedge.reconcile.frr_keys import FrrKeys
from dcedge.reconcile.frr_saving import SETTLED_SECONDS, FrrSaving, digest_of
from dcedge.reconcile.state.formats import Owned
from dcedge.reconcile.state.store import Store

log = logging.getLogger(__name__)

# FRR reads its file for SETTLED_SECONDS; a long one takes longer, and is read as long as lines keep coming.
READING_SECONDS_MAX, QUIET_SECONDS = 120.0, 2.0


@dataclass(frozen=True, slots=True)
class FrrObserved:
    """FRR's side: `blocks` is None where FRR does not answer or contradicts the order; `detail` says why."""

    running: FrrConfig
    blocks: Mapping[Key, FrrBlock] | None
    detail: str


class FrrSync:
    """What is known of FRR, and what is done to it."""

    def __init__(self, client: FrrClient, store: Store) -> None:
        self.client = client
        self.store = store
        self.observed = FrrObserved(FrrConfig(frozenset()), None, "not queried yet")
        self.others = NO_OTHERS
        self._observed_for: tuple[Mapping[Key, FrrBlock], frozenset[ConfigLine]] = ({}, frozenset())
        self.saving = FrrSaving(client, store)
        self._keys = FrrKeys(client)
        self._settled: dict[str, int] = {}  # those that have read their file
        self._lines: tuple[frozenset[str] | None, float] = None, 0.0  # what FRR had, and since when (monotonic)

    def observe(self, intent: Intent, owned: Owned) -> FrrObserved:
        """What FRR has now; an error is in the result."""
        running = FrrConfig(frozenset())
        self.client.needed = needed_daemons(intent.interfaces.values())
        try:
            running = self.client.running_config()
            self._take(running, intent.frr, owned.frr_lines)
            self.others = served_for_others(self.client, running, owned.links)
            if self._reads_its_file(intent, owned):
                raise FrrUnavailableError("FRR has only just started and still reads its configuration")
        except FrrError as error:
            self.observed = FrrObserved(running, None, str(error))
        return self.observed

    def _reads_its_file(self, intent: Intent, owned: Owned) -> bool:
        """Whether what FRR lacks may still come out of the file that it started with, which has our part.

        It is waited for only where sessions are graceful: traffic flows meanwhile, and would stop if they were shut.
        Elsewhere nothing flows until FRR has its part, and it gets it at once.
        """
        entries, now = self.observed.running.entries, time.monotonic()
        seen, since = self._lines
        if entries != seen:
            since = 0.0 if seen is None else now
            self._lines = entries, since
        processes, age = self.client.processes(), self.client.age()
        if processes == self._settled:
            return False
        young = age is not None and (
            age < SETTLED_SECONDS or (age < READING_SECONDS_MAX and now - since < QUIET_SECONDS)
        )
        if young and owned.frr_saved and _has_graceful(intent) and self.plan(intent):
            reads = digest_of(self.observed.blocks or {}) != owned.frr_saved
        else:
            reads = False
        if not reads:
            self._settled = processes
        return reads

    def _take(self, running: FrrConfig, intended: Mapping[Key, FrrBlock], owned: frozenset[ConfigLine]) -> None:
        before, before_owned = self._observed_for
        self._observed_for = intended, owned
        if (
            self.observed.blocks is not None
            and running == self.observed.running
            and owned == before_owned
            and owned_alike(intended, before)
        ):
            return  # nobody has touched FRR since, as ever so often
        blocks = observe_frr(running, intended, owned)
        # As the intent's own objects where they are equal: thousands of twins cost memory.
        shared = {key: intended[key] if intended.get(key) == block else block for key, block in blocks.items()}
        self.observed = FrrObserved(running, shared, "")

    def intended(self, intent: Intent) -> Mapping[Key, FrrBlock]:
        """FRR's part of the intent as far as it can be had now; nothing while FRR does not answer."""
        if self.observed.blocks is None:
            return {}
        ordered = self._ordered(intent)
        return self._keys.with_unsafe_shut_down(without_bfdd(ordered) if self.client.bfdd_absence else ordered)

    def plan(self, intent: Intent) -> Plan:
        """What is to be done to FRR as it was last seen."""
        return plan(self.intended(intent), self.observed.blocks or {})

    def remembered(self, intent: Intent, owned: Owned) -> Owned:
        """The state file's contents, with the lines of ours that do not show whose they are."""
        if self.observed.blocks is None:
            return owned
        return replace(owned, frr_lines=remember(owned.frr_lines, self.observed.running, intent.frr))

    def execute(self, operations: Sequence[Operation], done: Iterable[Operation]) -> list[Failure]:
        """Write what the operations ask for, `done` being those that were carried out before."""
        try:
            self.client.apply(delta(operations, done))
        except FrrError as error:
            return [Failure(operation, str(error), True) for operation in operations]
        return []

    def settle(self, intent: Intent, done: Plan, failed: Collection[Failure]) -> list[Failure]:
        """See that what was done is so, that every key is in force, and that what is to stay is saved.

        `failed` are those of `done` that did not succeed; returned are the failures that remain.
        """
        failures = list(failed)
        self.saving.changed(done)
        if done or self.observed.blocks is not None:
            self.saving.doubt(lacked=bool(done))
        if done:
            if not self._is_done(done):
                self.observe(intent, self.store.owned())
            if self.observed.blocks is not None:
                failures = self._differing(intent, done, failures)
        if self.observed.blocks is None:
            return failures
        keyless, changed = self._keys.see_to(self._ordered(intent), fresh=bool(done))
        if changed:
            self.observe(intent, self.store.owned())
        failures += keyless
        if not failures:
            confirmed = self.store.pending_order.get() is None
            self.saving.save(self.intended(intent), self.observed.running, confirmed=confirmed)
        return failures

    def warnings(self) -> tuple[str, ...]:
        """What could not be seen to, in words."""
        lacking = "bfdd" in self.client.needed and self.client.bfdd_absence
        no_bfd = f"BFD is not in force: {lacking}" if lacking else ""
        return tuple(text for text in (no_bfd, self._keys.unverified, self.saving.unsaved) if text)

    def _ordered(self, intent: Intent) -> Mapping[Key, FrrBlock]:
        assert self.observed.blocks is not None
        return keep_unkeyed(intent.frr, self.observed.blocks, intent.missing_credentials)

    def _is_done(self, done: Plan) -> bool:
        """Whether FRR differs from what was seen before in just what was to be done; then that is what it has now.

        One virtual interface of a thousand costs what one costs. What does not come out so is looked at as a whole.
        """
        seen, changes = self.observed, [_change(operation) for operation in done.operations]
        comes, goes = (frozenset().union(*sides) for sides in zip(*changes, strict=True))
        if seen.blocks is None or any(entry.endswith(" activate") for entry in comes | goes):
            return False  # FRR does not print every activation
        try:
            running = self.client.running_config()
        except FrrError:
            return False
        if running.entries != seen.running.entries - goes | comes:
            return False
        blocks = dict(seen.blocks)
        for operation in done.operations:
            blocks.pop(operation.key, None)
            if isinstance(operation.after, FrrBlock):
                blocks[operation.key] = operation.after
        self.observed = FrrObserved(running, blocks, "")
        return True

    def _differing(self, intent: Intent, done: Plan, failures: Iterable[Failure]) -> list[Failure]:
        """One failure for all that is not so now. FRR goes on after a line that it refuses, and does the rest."""
        said = {failure.operation.key: failure for failure in failures}
        left = {operation.key: operation for operation in self.plan(intent).operations}
        attempted = {operation.key for operation in done.operations}
        for text in sorted({failure.text for key, failure in said.items() if key not in left}):
            log.warning("%s, but the running configuration is as ordered", text)
        return [
            said.get(key) or Failure(operation, f"was acknowledged, but had no effect: {operation.brief()}", True)
            for key, operation in left.items()
            if key in attempted
        ]


def others_seen(client: FrrClient, state_dir: Path) -> Others:
    """What FRR serves beside dcedge, for whoever comes by.

    Nothing where FRR does not tell, or where what is ours is not to be known: the state folder is not for everybody.
    """
    try:
        return served_for_others(client, client.running_config(), Store(state_dir).owned().links)
    except (FrrError, StateError):
        return NO_OTHERS


def _has_graceful(intent: Intent) -> bool:
    return any(session.graceful_restart for one in intent.interfaces.values() for session in one.sessions)


def _change(operation: Operation) -> tuple[frozenset[str], frozenset[str]]:
    """The lines that come with an operation, and those that go."""
    before, after = (
        frozenset(block.entries) if isinstance(block, FrrBlock) else frozenset()
        for block in (operation.before, operation.after)
    )
    return after - before, before - after
