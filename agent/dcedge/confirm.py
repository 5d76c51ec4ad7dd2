"""Going back: when no confirmation comes, when an operation of such a change fails, or when somebody asks for it.

The way back is stored before the first operation: the previous order with its secrets. Rolling back is then a pass
like any other, with that order as the intent. A rolled-back order is remembered as rejected.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace

from dcedge.credentials import Secret
from dcedge.errors import BusyError, DcedgeError
from dcedge.intent import Intent
from dcedge.order.load import parse_order
from dcedge.order.model import Credential
from dcedge.reconcile import PassResult, Reconciler, purge_intent
from dcedge.settings import Settings
from dcedge.store import Pending, Store, digest_of

log = logging.getLogger(__name__)

# The daemon rolls back at the deadline; the guard looks this much later whether it did.
GRACE_SECONDS = 0.3
# After a reboot the daemon rolls back as its first deed; where it does not start, the guard does it this long after.
BOOT_SECONDS = 60.0
APPEARANCE_SECONDS = 30.0


class NothingToRollBackError(DcedgeError):
    """No order waits for a confirmation, and no previous one is known."""


def kept_secrets(intent: Intent) -> dict[str, str]:
    """An intent's secrets as the state file keeps them."""
    return as_kept(intent.secrets)


def as_kept(secrets: Mapping[Credential, Secret]) -> dict[str, str]:
    """Secrets by the JSON of their Credential."""
    return {json.dumps(asdict(credential)): secret.reveal() for credential, secret in secrets.items()}


def restored_secrets(kept: Mapping[str, str]) -> dict[Credential, Secret]:
    """The secrets out of the state file."""
    return {Credential(**json.loads(name)): Secret(value) for name, value in kept.items()}


def confirm_pending(reconciler: Reconciler) -> None:
    """The pending order is what is wanted, and FRR's part of it is saved. Raises DcedgeError where none is pending."""
    store = reconciler.store
    pending = store.pending()
    if pending is None:
        raise DcedgeError("nothing waits for a confirmation")
    store.save_last_good_order(pending.order)
    store.clear_pending()
    order = parse_order(pending.order, "the confirmed order").order
    reconciler.save_frr(reconciler.intent(order, store.runtime()))


def way_back(store: Store) -> Pending:
    """What a rollback asked for by hand goes back to. Raises NothingToRollBackError."""
    if (pending := store.pending()) is not None:
        return pending
    current, previous = store.last_good(), store.previous_order()
    if current is None or previous is None:
        raise NothingToRollBackError("no order waits for a confirmation, and no previous order is known")
    return Pending.starting(current, previous, {}, 0.0)


def roll_back(reconciler: Reconciler, back: Pending) -> PassResult:
    """Put the previous order in force again; the other one is remembered as rejected."""
    store = reconciler.store
    if back.previous is None:
        intent = purge_intent(store.owned())
    else:
        order = parse_order(back.previous, "the previous order").order
        intent = reconciler.intent(order, store.runtime(), restored_secrets(back.secrets))
    result = reconciler.run(intent)
    runtime = store.runtime()
    store.save_runtime(replace(runtime, rejected=runtime.rejected | {digest_of(back.order)}))
    if back.previous is not None:
        store.save_last_good_order(back.previous)
    store.clear_pending()
    log.warning("rolled back: %d operations, %d failed", len(result.done.operations), len(result.failures))
    return result


def accept_again(store: Store, text: str) -> None:
    """Forget that an order was rejected: somebody asks for it now."""
    runtime = store.runtime()
    if digest_of(text) in runtime.rejected:
        store.save_runtime(replace(runtime, rejected=runtime.rejected - {digest_of(text)}))


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


def roll_back_unconfirmed(settings: Settings, reconciler: Reconciler) -> None:
    """The guard's work, where no daemon does it. Waits for whoever holds the lock."""
    for _ in range(100):
        try:
            with reconciler.store.writer():
                pending = reconciler.store.pending()
                if pending is not None and pending.seconds_left <= 0:
                    roll_back(reconciler, pending)
                return
        except BusyError:
            if reconciler.store.pending() is None:
                return  # whoever holds the lock has done it
            time.sleep(0.1)
    log.error("an unconfirmed order stays: another process holds %s", settings.state_dir)
