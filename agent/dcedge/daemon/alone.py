"""Changes where no daemon runs: the command line carries them out itself, one pass each, under the writer's lock."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dcedge.api.control.replies import AppliedReply, ConfirmedReply
from dcedge.api.plan import applied_json
from dcedge.errors import BusyError, DcedgeError, StateError
from dcedge.frr.vty import FrrClient
from dcedge.order.credentials import Secret, read_credentials
from dcedge.order.load import Loaded, parse_order
from dcedge.order.model import Credential, Order
from dcedge.reconcile.desired import Intent, credentials_of
from dcedge.reconcile.in_force import last_good, refuse_unmeant
from dcedge.reconcile.reconciler import Reconciler, purge_intent
from dcedge.reconcile.result import PassResult
from dcedge.reconcile.state.formats import Pending
from dcedge.reconcile.state.state_dir import with_rights_of_owner
from dcedge.reconcile.state.store import Store
from dcedge.reconcile.transaction import RETRY_SECONDS, RETRY_SECONDS_MAX, TRIES_MAX, Goal, Transaction
from dcedge.settings import Settings

log = logging.getLogger(__name__)

# The daemon rolls back at the deadline; the guard looks this much later whether it did.
GRACE_SECONDS = 0.3
# After a reboot the daemon rolls back as its first deed; where it does not start, the guard does it this long after.
BOOT_SECONDS = 60.0
APPEARANCE_SECONDS = 30.0
LOCK_SECONDS = 0.2


@contextmanager
def reconciling(settings: Settings) -> Iterator[Reconciler]:
    """A reconciler of this router for as long as the context lasts; it changes nothing by itself."""
    reconciler = Reconciler(settings, Store(settings.state_dir), FrrClient(settings.frr_pathspace))
    try:
        yield reconciler
    finally:
        reconciler.close()
        reconciler.frr.close()


def apply(settings: Settings, loaded: Loaded, seconds: float | None, allow_removal: int | None = None) -> AppliedReply:
    """Put an order in force; what was done.

    Raises OrderInvalidError, BusyError, StateError, KernelError.
    """
    with _changing(settings) as (reconciler, transaction):
        asyncio.run(transaction.roll_back_if_due())
        transaction.refuse_while_unconfirmed()
        refuse_unmeant(str(settings.order), loaded, last_good(reconciler.store), allow_removal)
        previous = reconciler.store.orders.last_good()
        outcome = asyncio.run(transaction.apply(loaded.text, previous, {}, seconds))
        answer = applied_json(outcome.result, reconciler.store.troubles())
        if outcome.rolled_back:
            answer["complete"], answer["rolled_back"] = False, True
        return answer


def confirm(settings: Settings) -> ConfirmedReply:
    """Keep the order that waits, and have FRR save it; which order. Raises DcedgeError."""
    with _changing(settings) as (reconciler, transaction):
        pending = asyncio.run(transaction.confirm())
        order = parse_order(pending.order, "the confirmed order").order
        reconciler.save_frr(_intent_of_found(reconciler, order, {}))
        return {"confirmed": True, "order": pending.order, "notes": list(reconciler.store.troubles())}


def roll_back(settings: Settings) -> AppliedReply:
    """Go back to the order before; what was done. Raises DcedgeError."""
    with _changing(settings) as (reconciler, transaction):
        return applied_json(asyncio.run(transaction.roll_back()), reconciler.store.troubles())


def start_guard(settings: Settings) -> None:
    """Leave a process behind that sees to the rollback even if the daemon dies and whoever called is cut off."""
    subprocess.Popen(
        [sys.executable, "-m", "dcedge", "rollback", "--at-deadline", *settings.arguments()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )


def guard(settings: Settings) -> None:
    """See to it that an order which nobody confirms goes away, where no daemon does it; until that is done."""
    if wait_for_deadline(Store(settings.state_dir)) is None:
        return
    patience = RETRY_SECONDS
    with reconciling(settings) as reconciler:
        store, transaction, before = reconciler.store, _transaction(reconciler), None
        while store.pending_order.get() is not None:
            try:
                with store.writer():
                    pending = store.pending_order.get()
                    if pending is None or pending.seconds_left:
                        return  # another one has a guard of its own
                    if before is None or pending.order != before.order:
                        transaction = _transaction(reconciler)  # what it knew was of another order
                    before = pending
                    asyncio.run(transaction.roll_back_if_due())
            except BusyError:
                time.sleep(LOCK_SECONDS)  # whoever has the lock does it
                continue
            except DcedgeError as error:
                log.error("the rollback failed and will be retried: %s", error)
            if store.pending_order.get() is None:
                return
            # Without the lock, so that a daemon which starts meanwhile can take over.
            time.sleep(patience)
            patience = min(patience * 2, RETRY_SECONDS_MAX)


def wait_for_deadline(store: Store) -> Pending | None:
    """Sleep until the pending order's time is over; None where it was confirmed or rolled back meanwhile.

    The guard is started before the order is pending, so that nothing can come between: it waits for that first.
    """
    patience = time.monotonic() + APPEARANCE_SECONDS
    while store.pending_order.get() is None:
        if time.monotonic() > patience:
            return None
        time.sleep(0.05)
    while (pending := store.pending_order.get()) is not None:
        left = pending.seconds_until(GRACE_SECONDS, BOOT_SECONDS)
        if left <= 0:
            return pending
        time.sleep(min(1.0, left))
    return None


def go_back_to_nothing(settings: Settings, store: Store) -> None:
    """Before a daemon starts: remove an order that nobody confirmed and before which there was none.

    Raises DcedgeError where that cannot be done yet.
    """
    pending = store.pending_order.get()
    if pending is None or pending.previous is not None or pending.seconds_left:
        return
    log.warning("the order was not confirmed in time, and there is no previous order")
    reconciler = Reconciler(settings, store, FrrClient(settings.frr_pathspace))
    transaction = _transaction(reconciler)
    try:
        for _ in range(TRIES_MAX):
            result = asyncio.run(transaction.roll_back_if_due())
            if not transaction.rolling_back:
                return
            time.sleep(RETRY_SECONDS)
        if result is None:
            raise DcedgeError("the unconfirmed order cannot be rolled back yet")
        transaction.settle()  # FRR that does not answer has nothing of ours that it would keep over a restart
    finally:
        reconciler.close()
        reconciler.frr.close()


@contextmanager
def _changing(settings: Settings) -> Iterator[tuple[Reconciler, Transaction]]:
    with reconciling(settings) as reconciler, reconciler.store.writer():
        yield reconciler, _transaction(reconciler)


def _transaction(reconciler: Reconciler) -> Transaction:
    async def enact(goal: Goal) -> PassResult:
        return reconciler.run(_intent(reconciler, goal))

    return Transaction(reconciler.store, enact)


def _intent(reconciler: Reconciler, goal: Goal) -> Intent:
    if goal.text is None:
        return purge_intent(reconciler.store.owned())
    order = parse_order(goal.text, "the order").order
    if goal.back:
        return _intent_of_found(reconciler, order, goal.secrets)
    return reconciler.intent(order, reconciler.store.runtime(), goal.secrets)


def _intent_of_found(reconciler: Reconciler, order: Order, secrets: Mapping[Credential, Secret]) -> Intent:
    """The intent of an order that was found in the state folder, whose owner may be another user than root.

    That user must not learn, out of FRR, what only root may read: a password's file is read with the owner's rights,
    but for the credentials' folder, which is root's.
    """
    folder = reconciler.settings.credentials
    roots = [one for one in credentials_of(order) if one.file is None or _lies_in(Path(one.file), folder)]
    known, _ = read_credentials(roots, folder)
    try:
        with with_rights_of_owner(reconciler.store.folder):
            return reconciler.intent(order, reconciler.store.runtime(), {**known, **secrets})
    except OSError as error:
        raise StateError(f"{reconciler.store.folder}: {error.strerror or error}") from error


def _lies_in(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) and ".." not in path.parts
