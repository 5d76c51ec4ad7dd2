"""FRR's part of a pass: look, write, read back; see that every key is in force; save what is meant to stay.

Everything in here blocks. It comes after the kernel's part, which must never wait for a daemon that is wedged; only
where something of the kernel's goes, FRR is told first, so that the peer hears of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from dcedge.bgp.config import FrrConfig, Line
from dcedge.bgp.delta import delta, line_delta
from dcedge.bgp.md5 import KeyedPeer, hold_shut, keyed_peers, look_for_keys, secure
from dcedge.bgp.observe import left_over, observe_frr, owned_alike, remember
from dcedge.bgp.render import keep_unkeyed, session_key
from dcedge.bgp.resources import COMMON, MAP, POLICY, FrrBlock
from dcedge.bgp.vty import FrrClient
from dcedge.errors import FrrError, FrrUnavailableError, KernelError
from dcedge.intent import Intent
from dcedge.kernel.execute import Failure
from dcedge.plan import Operation, Plan, plan
from dcedge.resource import Key
from dcedge.store import Owned, Store

log = logging.getLogger(__name__)

# A FRR that starts is empty first and reads its file then (`vtysh -b`): to write that file meanwhile would lose what
# the operator has in it, and to configure what the file has as well shuts sessions that are up by now.
SETTLED_SECONDS = 10.0
# A long file takes longer; then it is read as long as lines keep coming.
READING_SECONDS_MAX, QUIET_SECONDS = 120.0, 2.0


@dataclass(frozen=True, slots=True)
class FrrObserved:
    """FRR's side: `blocks` is None where FRR does not answer or contradicts the order; `detail` says why."""

    running: FrrConfig
    blocks: Mapping[Key, FrrBlock] | None
    detail: str


class FrrPart:
    """What is known of FRR, and what is done to it."""

    def __init__(self, client: FrrClient, store: Store) -> None:
        self.client = client
        self.store = store
        self.observed = FrrObserved(FrrConfig(frozenset()), None, "not asked yet")
        self._observed_for: tuple[Mapping[Key, FrrBlock], frozenset[Line]] = ({}, frozenset())
        self.unsaved = ""  # why FRR would come up without our part as it is now; empty where it would not
        self.unverified = ""  # why keys cannot be looked for; empty where they can
        self._unsafe: frozenset[KeyedPeer] = frozenset()  # shut, as their keys are not in force
        self._processes: dict[str, int] = {}  # FRR's, as the last pass found them
        self._copies_cleared = False  # no other daemon has of ours what bgpd has not
        self._settled: dict[str, int] = {}  # those that have read their file
        self._lines: tuple[frozenset[str] | None, float] = None, 0.0  # what FRR had, and since when (monotonic)

    def look(self, intent: Intent, owned: Owned) -> FrrObserved:
        """What FRR has now; an error is in the result."""
        running = FrrConfig(frozenset())
        try:
            running = self.client.running_config()
            self._observe(running, intent.frr, owned.frr_lines)
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

    def _observe(self, running: FrrConfig, wanted: Mapping[Key, FrrBlock], owned: frozenset[Line]) -> None:
        before, before_owned = self._observed_for
        self._observed_for = wanted, owned
        if (
            self.observed.blocks is not None
            and running == self.observed.running
            and owned == before_owned
            and owned_alike(wanted, before)
        ):
            return  # nobody has touched FRR since, as ever so often
        blocks = observe_frr(running, wanted, owned)
        # As the intent's own objects where they are equal: thousands of twins cost memory.
        shared = {key: wanted[key] if wanted.get(key) == block else block for key, block in blocks.items()}
        self.observed = FrrObserved(running, shared, "")

    def wanted(self, intent: Intent) -> Mapping[Key, FrrBlock]:
        """FRR's part of the intent as far as it can be had now; nothing while FRR does not answer."""
        if self.observed.blocks is None:
            return {}
        ordered = self._ordered(intent)
        return hold_shut(ordered, self._unsafe & keyed_peers(ordered).keys()) if self._unsafe else ordered

    def plan(self, intent: Intent) -> Plan:
        """What is to be done to FRR as it was last seen."""
        return plan(self.wanted(intent), self.observed.blocks or {})

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
        if any(operation.key.kind in {COMMON, POLICY, MAP} for operation in done.operations):
            self._copies_cleared = False
        if done or self.observed.blocks is not None:
            self._doubt_what_is_saved(lacked=bool(done))
        if done:
            if not self._is_done(done):
                self.look(intent, self.store.owned())
            if self.observed.blocks is not None:
                failures = self._differing(intent, done, failures)
        if self.observed.blocks is None:
            return failures
        failures += self._see_to_keys(intent, fresh=bool(done))
        if not failures and self.store.pending() is None:
            self._save(intent)
        return failures

    def warnings(self) -> tuple[str, ...]:
        """What could not be seen to, in words."""
        return tuple(text for text in (self.unverified, self.unsaved) if text)

    def _ordered(self, intent: Intent) -> Mapping[Key, FrrBlock]:
        assert self.observed.blocks is not None
        return keep_unkeyed(intent.frr, self.observed.blocks, intent.withheld)

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
            log.warning("%s, but what runs is as ordered", text)
        return [
            said.get(key) or Failure(operation, f"was done but is not so: {operation.brief()}", True)
            for key, operation in left.items()
            if key in attempted
        ]

    def _see_to_keys(self, intent: Intent, *, fresh: bool) -> list[Failure]:
        """Shut the sessions whose key the kernel does not have; a failure for each. `fresh`: FRR was written to."""
        ordered = self._ordered(intent)
        keyed = keyed_peers(ordered)
        fate = "its session is shut until the key is in force"
        try:
            found = look_for_keys(keyed, patient=fresh)
            self.unverified = found.unheard
            # Those that were shut are opened where their key has come about by itself, too.
            missing = found.missing | (self._unsafe & keyed.keys())
            if missing:
                missing = secure(self.client, ordered, keyed, missing)
        except KernelError as error:
            missing, self.unverified = self._unsafe, f"TCP-MD5 keys cannot be verified: {error}"
        except FrrError as error:
            fate = f"its session could not be shut: {error}"
        if missing != self._unsafe:
            self._unsafe = missing
            self.look(intent, self.store.owned())
        return [
            Failure(
                Operation("change", key, block, block, (), "its key is not in force", "none", block.affects),
                f"the kernel refused the TCP-MD5 key of {peer.peer}: {fate}",
                True,
            )
            for peer in sorted(missing, key=lambda peer: (peer.virtual_interface, str(peer.peer)))
            if (block := ordered.get(key := session_key(peer.virtual_interface))) is not None
        ]

    def _doubt_what_is_saved(self, *, lacked: bool) -> None:
        """A daemon that has started anew without all of our part may have come up with what others have saved."""
        processes = self.client.processes()
        if processes != self._processes:
            self._copies_cleared = False  # whoever has started has read FRR's file
        if lacked and processes != self._processes:
            self.store.save_owned(replace(self.store.owned(), frr_saved=""))
        self._processes = processes

    def _save(self, intent: Intent) -> None:
        """Have FRR save its configuration where our part of it has changed since the last time."""
        part = digest_of(self.wanted(intent))
        owned = self.store.owned()
        if part == owned.frr_saved:
            self.unsaved = ""
            return
        age = self.client.age()
        if age is not None and age < SETTLED_SECONDS:
            self.unsaved = "FRR's configuration is not saved yet: FRR has only just started"
            return
        try:
            if not self._copies_cleared:
                self._clear_copies()
            self.client.write_config()
        except FrrError as error:
            self.unsaved = f"FRR's configuration is not saved: {error}"
            return
        self.unsaved = ""
        self.store.save_owned(replace(owned, frr_saved=part))

    def _clear_copies(self) -> None:
        """Take out of the other daemons what would come back with FRR's file."""
        for daemon, copy in self.client.copies().items():
            if lines := left_over(copy, self.observed.running):
                self.client.feed_one(daemon, line_delta(lines, ()))
        self._copies_cleared = True


def _has_graceful(intent: Intent) -> bool:
    return any(session.graceful_restart for one in intent.interfaces.values() for session in one.sessions)


def _change(operation: Operation) -> tuple[frozenset[str], frozenset[str]]:
    """The lines that come with an operation, and those that go."""
    before, after = (
        frozenset(block.entries) if isinstance(block, FrrBlock) else frozenset()
        for block in (operation.before, operation.after)
    )
    return after - before, before - after


def digest_of(blocks: Mapping[Key, FrrBlock]) -> str:
    """What identifies FRR's part of an intent; empty where there is none."""
    if not blocks:
        return ""
    return blake2b("\n".join(sorted(block.packed for block in blocks.values())).encode(), digest_size=16).hexdigest()
