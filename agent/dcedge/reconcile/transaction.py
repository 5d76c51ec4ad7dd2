"""A change of the order that may be taken back: carried out, confirmed, rolled back, taken up again after a restart.

The daemon and the command line use it alike. One change at a time, from its first word to its last (`turn`).

    state         event                                  next          what is done
    settled       apply                                  settled       the order is in force, and the last good one
    settled       apply --confirm                        unconfirmed   the way back is on disk before anything changes;
                                                                       else nothing changes
    settled       rollback                               rolling back  to the last good order but one
    unconfirmed   confirm                                settled       the way back is dropped
    unconfirmed   deadline, rollback, a failure          rolling back  the previous order is in force from now on
    unconfirmed   apply, reload                          unconfirmed   refused
    unconfirmed   restart                                unconfirmed   or rolling back, by the deadline
    rolling back  confirm                                rolling back  refused: too late
    rolling back  a pass fails, FRR does not answer      rolling back  tried again, with growing patience
    rolling back  all is as the previous order says      settled       the other order is remembered as rejected
    rolling back  apply, reload                          settled       then as there
    rolling back  the previous order is not taken        unconfirmed   past its deadline; apply and reload settle it
    rolling back  restart                                rolling back

What is written about a rollback follows it, and the way back stays on disk until all of that is written: whatever is
killed or full meanwhile, a restart comes to the same end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dcedge.errors import BusyError, DcedgeError, KernelError, StateError
from dcedge.order.credentials import Secret, as_kept, restored_secrets
from dcedge.order.findings import OrderInvalidError
from dcedge.order.load import digest_of
from dcedge.order.model import Credential
from dcedge.reconcile.result import PassResult
from dcedge.reconcile.state.formats import Pending
from dcedge.reconcile.state.owed_writes import Attempt
from dcedge.reconcile.state.store import Store
from dcedge.reconcile.state.writer import FirstOnDisk, Written, written_at_once

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
RETRY_SECONDS, RETRY_SECONDS_MAX = 0.5, 4.0
TRIES_MAX = 5  # what fails so often when all is there fails as it would in any pass, and is told as such


class NothingToRollBackError(DcedgeError):
    """No order waits for a confirmation, and no previous one is known."""


@dataclass(frozen=True, slots=True)
class Goal:
    """The order that the router is to be taken to; None: to nothing of ours. `secrets` go before those on disk.

    `back`: another order is given up for it.
    """

    text: str | None
    secrets: Mapping[Credential, Secret]
    back: bool = False


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """What a change came to. `pending` is the order that waits for a confirmation now."""

    result: PassResult
    pending: Pending | None = None
    rolled_back: bool = False


# Makes the goal what is in force, then makes a pass. Raises KernelError where nothing could be looked at; what is in
# force has changed all the same. Raises OrderInvalidError where this dcedge does not take the order, changing nothing.
Enact = Callable[[Goal], Awaitable[PassResult]]


class Transaction:
    """The changes of one router's order; `store`'s writer uses it.

    `written` waits, a while at most, until what the store owes was tried: where a disk hangs, changes go on, but for
    those that can be taken back: how, has to be on disk first. `settled` is called when no order waits any more.
    """

    def __init__(
        self,
        store: Store,
        enact: Enact,
        written: Written = written_at_once,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._enact = enact
        self._written = written
        self._settled = settled
        self._first = FirstOnDisk()
        self._turn = asyncio.Lock()
        self._rolling_back: Pending | None = None
        self._patience = RETRY_SECONDS
        self._dead_end: Pending | None = None  # past its deadline, and its previous order is none that can be taken
        self._taken = False  # what is rolled back to is what is in force
        self._tries = 0  # with all that it takes being there
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """The whole of one command; others wait."""
        async with self._turn:
            yield

    def refuse_while_unconfirmed(self) -> None:
        """Raises BusyError where an order waits for its confirmation."""
        if self._rolling_back is not None:
            self.settle()
        elif (pending := self._store.pending_order.get()) is not None and pending != self._dead_end:
            raise BusyError("an order waits for confirmation: `dcedge confirm` or `dcedge rollback` first")

    async def apply(
        self,
        text: str,
        previous: str | None,
        secrets: Mapping[Credential, Secret],
        seconds: float | None,
    ) -> ChangeOutcome:
        """Put an order in force, for good or until the deadline in `seconds`. In a turn.

        `previous` is the order in force, with its secrets.
        Raises BusyError, StateError (nothing was changed), KernelError (what can be looked at again will be carried
        out).
        """
        self.refuse_while_unconfirmed()
        if seconds is None:
            self._store.forget_cards()
            self._store.orders.accept(digest_of(text))
            return ChangeOutcome(await self._apply_for_good(text))
        pending = Pending.starting(text, previous, as_kept(secrets), seconds)
        waiting = self._store.pending_order
        await self._first.keep(lambda attempt: waiting.save(pending, attempt), lacks="nothing was changed")
        self._store.forget_cards()
        self._store.orders.accept(digest_of(text))
        self._changed.set()
        try:
            result = await self._enact(Goal(text, {}))
        except (KernelError, StateError) as error:
            log.error("the order cannot be carried out: %s", error)
            return ChangeOutcome(await self._roll_back(pending), rolled_back=True)
        if result.failures:
            return ChangeOutcome(await self._roll_back(pending), rolled_back=True)
        return ChangeOutcome(result, pending)

    async def _apply_for_good(self, text: str) -> PassResult:
        try:
            result = await self._enact(Goal(text, {}))
        except KernelError:
            await self._in_force_for_good(text)  # the next pass carries it out
            raise
        await self._in_force_for_good(text)
        return result

    async def _in_force_for_good(self, text: str) -> None:
        self._store.orders.save_last_good(text)
        await self._written()

    async def confirm(self) -> Pending:
        """The order that waits is what is wanted. In a turn.

        Raises DcedgeError where none waits (any more), StateError where a restart would not know of it: then it waits
        on, until its deadline.
        """
        if self._rolling_back is not None:
            raise DcedgeError("too late: the order is being rolled back")
        pending = self._store.pending_order.get()
        if pending is None:
            raise DcedgeError("no order waits for confirmation")
        if not pending.seconds_left:
            raise DcedgeError("too late: the deadline for the confirmation has passed")
        await self._first.keep(
            lambda attempt: _keep_confirmed(self._store, pending, attempt),
            pending.seconds_left,
            lacks="the order is not confirmed, and is rolled back at its deadline",
        )
        self._settled()
        await self._written()
        log.info("confirmed")
        return pending

    async def roll_back(self) -> PassResult:
        """Go back to the order before, now. In a turn. Raises NothingToRollBackError, KernelError (tried again)."""
        pending = self._rolling_back or self._store.pending_order.get()
        if pending is None:
            current, previous = self._store.orders.last_good(), self._store.orders.previous()
            if current is None or previous is None:
                raise NothingToRollBackError("no order waits for confirmation, and no previous order is known")
            pending = Pending.starting(current, previous, {}, 0.0)
        return await self._roll_back(pending)

    async def watch(self) -> None:
        """See to every deadline, and to a rollback that could not be carried out, for as long as the daemon runs."""
        while True:
            self._changed.clear()
            if self._rolling_back is not None:
                # Once that is what is in force, the passes see to it.
                pause = WATCH_SECONDS if self._taken else self._patience
            else:
                pending = self._store.pending_order.get()
                pause = min(pending.seconds_left, WATCH_SECONDS) if pending is not None else WATCH_SECONDS
            if pause:
                try:
                    await asyncio.wait_for(self._changed.wait(), pause)
                    continue
                except TimeoutError:
                    pass
            if self._rolling_back is None or not self._taken:
                await self.roll_back_if_due()
                if (left := self._store.pending_order.get()) is not None and not left.seconds_left:
                    await asyncio.sleep(self._patience)  # it failed, and would again at once

    async def roll_back_if_due(self) -> PassResult | None:
        """Roll back what is unconfirmed past its deadline, or could not be rolled back before; None where nothing is.

        A pass that fails is told of and tried again by who calls.
        """
        async with self._turn:
            due = self._rolling_back
            if due is None:
                due = self._store.pending_order.get()
                if due is None or due.seconds_left or due == self._dead_end:
                    return None
                log.warning("the order was not confirmed in time")
            self._patience = min(self._patience * 2, RETRY_SECONDS_MAX)
            try:
                return await self._roll_back(due)
            except DcedgeError as error:
                log.error("the rollback failed and will be retried: %s", error)
                return None

    def settle(self) -> None:
        """What a rollback has done is all: it is written down, what cannot be written now later, the way back last."""
        if self._rolling_back is None:
            return
        done, self._rolling_back = self._rolling_back, None
        self._patience, self._tries = RETRY_SECONDS, 0
        self._store.orders.save_rolled_back(done.previous, done.order)
        self._store.pending_order.forget()
        self._settled()

    def passed(self, result: PassResult) -> None:
        """A pass over what is in force has ended; where that finished a rollback it is written down."""
        if self._rolling_back is None or not self._taken:
            return
        self._tries += result.frr_available
        if result.frr_available and (not result.failures or self._tries >= TRIES_MAX):
            self.settle()

    @property
    def rolling_back(self) -> bool:
        """Whether the router is not yet as the previous order says."""
        return self._rolling_back is not None

    async def _roll_back(self, pending: Pending) -> PassResult:
        self._rolling_back, self._taken = pending, False
        self._store.pending_order.expire()
        try:
            result = await self._enact(Goal(pending.previous, restored_secrets(pending.secrets), back=True))
        except KernelError:
            self._took()  # it is in force, and the next pass carries it out
            await self._written()
            raise
        except BaseException as error:
            self._rolling_back = None  # what is on disk stays there, so that it is not lost
            if isinstance(error, OrderInvalidError):
                self._dead_end = self._store.pending_order.get()
                raise DcedgeError(
                    "this dcedge does not accept the previous order: `dcedge apply` of a valid order ends "
                    f"this\n{error}"
                ) from error
            raise
        finally:
            self._changed.set()
        self._took()
        log.warning("rolled back: %d operations, %d failed", len(result.done.operations), len(result.failures))
        self.passed(result)
        await self._written()
        return result

    def _took(self) -> None:
        """What is rolled back to is what is in force now."""
        self._taken = True
        if self._store.pending_order.get() is None:
            self.settle()  # nothing on disk would have a restart go on with it


def _keep_confirmed(store: Store, pending: Pending, attempt: Attempt) -> None:
    store.pending_order.drop(attempt)
    store.orders.save_last_good(pending.order)
