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

from dcedge.credentials import Secret, as_kept, restored_secrets
from dcedge.errors import BusyError, DcedgeError, KernelError, OrderInvalidError, StateError
from dcedge.order.model import Credential
from dcedge.reconcile import PassResult
from dcedge.store import Pending, Store, digest_of

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
class Outcome:
    """What a change came to. `pending` is the order that waits for a confirmation now."""

    result: PassResult
    pending: Pending | None = None
    rolled_back: bool = False


# Makes the goal what is in force, then makes a pass. Raises KernelError where nothing could be looked at; what is in
# force has changed all the same. Raises OrderInvalidError where this dcedge does not take the order, changing nothing.
Enact = Callable[[Goal], Awaitable[PassResult]]


class Transaction:
    """The changes of one router's order; `store`'s writer uses it."""

    def __init__(self, store: Store, enact: Enact) -> None:
        self._store = store
        self._enact = enact
        self._turn = asyncio.Lock()
        self._rolling_back: Pending | None = None
        self._patience = RETRY_SECONDS
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
        elif self._store.pending() is not None:
            raise BusyError("an order waits for its confirmation: `dcedge confirm` or `dcedge rollback` first")

    async def apply(
        self,
        text: str,
        previous: str | None,
        secrets: Mapping[Credential, Secret],
        seconds: float | None,
    ) -> Outcome:
        """Put an order in force, for good or until the deadline in `seconds`. In a turn.

        `previous` is the order in force, with its secrets.
        Raises BusyError, StateError (nothing was changed), KernelError (what can be looked at again will be carried
        out).
        """
        self.refuse_while_unconfirmed()
        if seconds is None:
            self._store.accept(digest_of(text))
            try:
                result = await self._enact(Goal(text, {}))
            except KernelError:
                self._store.save_last_good_order(text)  # it is in force: the next pass carries it out
                raise
            self._store.save_last_good_order(text)
            return Outcome(result)
        pending = Pending.starting(text, previous, as_kept(secrets), seconds)
        self._store.save_pending(pending)
        self._store.accept(digest_of(text))
        self._changed.set()
        try:
            result = await self._enact(Goal(text, {}))
        except (KernelError, StateError) as error:
            log.error("the order cannot be carried out: %s", error)
            return Outcome(await self._roll_back(pending), rolled_back=True)
        if result.failures:
            return Outcome(await self._roll_back(pending), rolled_back=True)
        return Outcome(result, pending)

    def confirm(self) -> Pending:
        """The order that waits is what is wanted. In a turn.

        Raises DcedgeError where none waits (any more), StateError where a restart would not know of it.
        """
        if self._rolling_back is not None:
            raise DcedgeError("too late: the order is being rolled back")
        pending = self._store.pending()
        if pending is None:
            raise DcedgeError("nothing waits for a confirmation")
        if not pending.seconds_left:
            raise DcedgeError("too late: the time for the confirmation is over")
        self._store.drop_pending()
        self._store.save_last_good_order(pending.order)
        log.info("confirmed")
        return pending

    async def roll_back(self) -> PassResult:
        """Go back to the order before, now. In a turn. Raises NothingToRollBackError, KernelError (tried again)."""
        pending = self._rolling_back or self._store.pending()
        if pending is None:
            current, previous = self._store.last_good(), self._store.previous_order()
            if current is None or previous is None:
                raise NothingToRollBackError("no order waits for a confirmation, and no previous order is known")
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
                pending = self._store.pending()
                pause = min(pending.seconds_left, WATCH_SECONDS) if pending is not None else WATCH_SECONDS
            if pause:
                try:
                    await asyncio.wait_for(self._changed.wait(), pause)
                    continue
                except TimeoutError:
                    pass
            if self._rolling_back is None or not self._taken:
                await self.roll_back_if_due()
                if (left := self._store.pending()) is not None and not left.seconds_left:
                    await asyncio.sleep(self._patience)  # it failed, and would again at once

    async def roll_back_if_due(self) -> PassResult | None:
        """Roll back what is unconfirmed past its deadline, or could not be rolled back before; None where nothing is.

        A pass that fails is told of and tried again by who calls.
        """
        async with self._turn:
            due = self._rolling_back
            if due is None:
                due = self._store.pending()
                if due is None or due.seconds_left:
                    return None
                log.warning("the confirmation did not come")
            self._patience = min(self._patience * 2, RETRY_SECONDS_MAX)
            try:
                return await self._roll_back(due)
            except DcedgeError as error:
                log.error("the rollback failed and is tried again: %s", error)
                return None

    def settle(self) -> None:
        """What a rollback has done is all: it is written down, what cannot be written now later, the way back last."""
        if self._rolling_back is None:
            return
        done, self._rolling_back = self._rolling_back, None
        self._patience, self._tries = RETRY_SECONDS, 0
        self._store.save_rolled_back(done.previous, done.order)
        self._store.forget_pending()

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
        self._store.expire_pending()
        try:
            result = await self._enact(Goal(pending.previous, restored_secrets(pending.secrets), back=True))
        except KernelError:
            self._took()  # it is in force, and the next pass carries it out
            raise
        except BaseException as error:
            self._rolling_back = None  # what is on disk stays there, so that it is not lost
            if isinstance(error, OrderInvalidError):
                said = f"the previous order is not one that this dcedge takes:\n{error}"
                raise DcedgeError(said) from error
            raise
        finally:
            self._changed.set()
        self._took()
        log.warning("rolled back: %d operations, %d failed", len(result.done.operations), len(result.failures))
        self.passed(result)
        return result

    def _took(self) -> None:
        """What is rolled back to is what is in force now."""
        self._taken = True
        if self._store.pending() is None:
            self.settle()  # nothing on disk would have a restart go on with it
