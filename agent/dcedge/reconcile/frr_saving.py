"""What FRR would come up with: its configuration is saved when our part of it has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b

from dcedge.errors import FrrError
from dcedge.frr.config import FrrConfig
from dcedge.frr.delta import line_delta
from dcedge.frr.observe import left_over
from dcedge.frr.resources import COMMON, MAP, POLICY, FrrBlock
from dcedge.frr.vty import FrrClient
from dcedge.plan.diff import Plan
from dcedge.plan.resource import Key
from dcedge.reconcile.state.store import Store

# A FRR that starts is empty first and reads its file then (`vtysh -b`): to write that file meanwhile would lose what
# the operator has in it, and to configure what the file has as well shuts sessions that are up by now.
SETTLED_SECONDS = 10.0


class FrrSaving:
    """Has FRR save its configuration, with nothing of ours in another daemon's that bgpd has not."""

    def __init__(self, client: FrrClient, store: Store) -> None:
        self._client = client
        self._store = store
        self.unsaved = ""  # why FRR would come up without our part as it is now; empty where it would not
        self._processes: dict[str, int] = {}  # FRR's, as the last pass found them
        self._copies_cleared = False  # no other daemon has of ours what bgpd has not

    def changed(self, done: Plan) -> None:
        """FRR was given this: the other daemons may have a copy of it."""
        if any(operation.key.type in {COMMON, POLICY, MAP} for operation in done.operations):
            self._copies_cleared = False

    def doubt(self, *, lacked: bool) -> None:
        """A daemon that has started anew without all of our part may have come up with what others have saved."""
        processes = self._client.processes()
        if processes != self._processes:
            self._copies_cleared = False  # whoever has started has read FRR's file
        if lacked and processes != self._processes:
            self._store.save_owned(replace(self._store.owned(), frr_saved=""))
        self._processes = processes

    def save(self, intended: Mapping[Key, FrrBlock], running: FrrConfig, *, confirmed: bool) -> None:
        """Have FRR save its configuration where our part of it has changed since the last time.

        Not before it has read its file, which may undo what FRR has now: until then it is unsaved, and looked at again,
        though the order is not `confirmed` and will not be saved.
        """
        part = digest_of(intended)
        owned = self._store.owned()
        if part == owned.frr_saved:
            self.unsaved = ""
            return
        age = self._client.age()
        if age is not None and age < SETTLED_SECONDS:
            self.unsaved = "FRR's configuration is not saved yet: FRR has only just started"
            return
        if not confirmed:
            self.unsaved = ""
            return
        try:
            if not self._copies_cleared:
                self._clear_copies(running)
            self._client.write_config()
        except FrrError as error:
            self.unsaved = f"FRR's configuration is not saved: {error}"
            return
        self.unsaved = ""
        self._store.save_owned(replace(owned, frr_saved=part))

    def _clear_copies(self, running: FrrConfig) -> None:
        """Take out of the other daemons what would come back with FRR's file."""
        for daemon, copy in self._client.copies().items():
            if lines := left_over(copy, running):
                self._client.feed_one(daemon, line_delta(lines, ()))
        self._copies_cleared = True


def digest_of(blocks: Mapping[Key, FrrBlock]) -> str:
    """What identifies FRR's part of an intent; empty where there is none."""
    if not blocks:
        return ""
    return blake2b("\n".join(sorted(block.packed for block in blocks.values())).encode(), digest_size=16).hexdigest()
