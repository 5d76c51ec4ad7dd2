"""Changes where no daemon runs: the command line carries them out itself, one pass each, under the writer's lock."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dcedge.bgp.vty import FrrClient
from dcedge.errors import BusyError, DcedgeError
from dcedge.expose.plan_document import applied_json
from dcedge.in_force import last_good, refuse_unmeant
from dcedge.intent import Intent
from dcedge.order.load import Loaded, parse_order
from dcedge.reconcile import PassResult, Reconciler, purge_intent
from dcedge.settings import Settings
from dcedge.store import Pending, Store
from dcedge.transaction import RETRY_SECONDS, RETRY_SECONDS_MAX, TRIES_MAX, Goal, Transaction

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


def apply(
    settings: Settings, loaded: Loaded, seconds: float | None, allow_removal: int | None = None
) -> dict[str, Any]:
    """Put an order in force; what was done.

    Raises OrderInvalidError, BusyError, StateError, KernelError.
    """
    with _changing(settings) as (reconciler, transaction):
        transaction.refuse_while_unconfirmed()
        refuse_unmeant(str(settings.order), loaded, last_good(reconciler.store), allow_removal)
        previous = reconciler.store.last_good()
        outcome = asyncio.run(transaction.apply(loaded.text, previous, {}, seconds))
        answer = applied_json(outcome.result, reconciler.store.troubles())
        return {**answer, "complete": False, "rolled_back": True} if outcome.rolled_back else answer


def confirm(settings: Settings) -> dict[str, Any]:
    """Keep the order that waits, and have FRR save it; which order. Raises DcedgeError."""
    with _changing(settings) as (reconciler, transaction):
        pending = transaction.confirm()
        order = parse_order(pending.order, "the confirmed order").order
        reconciler.save_frr(reconciler.intent(order, reconciler.store.runtime()))
        return {"order": pending.order}


def roll_back(settings: Settings) -> dict[str, Any]:
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
        store, transaction = reconciler.store, _transaction(reconciler)
        while store.pending() is not None:
            try:
                with store.writer():
                    if store.pending() is not None:
                        asyncio.run(transaction.roll_back_if_due())
                if not transaction.rolling_back:
                    time.sleep(LOCK_SECONDS)
                    continue
            except BusyError:
                time.sleep(LOCK_SECONDS)  # whoever has the lock does it
                continue
            except DcedgeError as error:
                log.error("the rollback failed and is tried again: %s", error)
            # Without the lock, so that a daemon which starts meanwhile can take over.
            time.sleep(patience)
            patience = min(patience * 2, RETRY_SECONDS_MAX)


def wait_for_deadline(store: Store) -> Pending | None:
    """Sleep until the pending order's time is over; None where it was confirmed or rolled back meanwhile.

    The guard is started before the order is pending, so that nothing can come between: it waits for that first.
    """
    patience = time.monotonic() + APPEARANCE_SECONDS
    while store.pending() is None:
        if time.monotonic() > patience:
            return None
        time.sleep(0.05)
    while (pending := store.pending()) is not None:
        left = pending.seconds_until(GRACE_SECONDS, BOOT_SECONDS)
        if left <= 0:
            return pending
        time.sleep(min(1.0, left))
    return None


def go_back_to_nothing(settings: Settings, store: Store) -> None:
    """Before a daemon starts: remove an order that nobody confirmed and before which there was none.

    Raises DcedgeError where that cannot be done yet.
    """
    pending = store.pending()
    if pending is None or pending.previous is not None or pending.seconds_left:
        return
    log.warning("the confirmation did not come, and nothing was ordered before")
    reconciler = Reconciler(settings, store, FrrClient(settings.frr_pathspace))
    transaction = _transaction(reconciler)
    try:
        for _ in range(TRIES_MAX):
            result = asyncio.run(transaction.roll_back_if_due())
            if not transaction.rolling_back:
                return
            time.sleep(RETRY_SECONDS)
        if result is None:
            raise DcedgeError("the order that nobody confirmed cannot be taken away yet")
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
    return reconciler.intent(order, reconciler.store.runtime(), goal.secrets)
