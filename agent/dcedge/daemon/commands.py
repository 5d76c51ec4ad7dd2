"""The changes that the control socket offers to root, each from its first word to its last before the next begins."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from dcedge.api.control.control_server import Command
from dcedge.api.control.replies import AppliedReply, ConfirmedReply, CredentialsReply
from dcedge.api.plan import applied_json
from dcedge.daemon.draining import Draining
from dcedge.daemon.passes import PassRunner
from dcedge.errors import DcedgeError
from dcedge.monitor.status_collector import StatusCollector
from dcedge.order.credentials import Secret, restored_secrets
from dcedge.order.findings import OrderInvalidError
from dcedge.order.load import digest_of_file
from dcedge.order.model import Credential
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.queue import PassQueue
from dcedge.reconcile.reconciler import Reconciler
from dcedge.reconcile.result import DirtySet, PassResult
from dcedge.reconcile.state.writer import Written, written_at_once
from dcedge.reconcile.transaction import Goal, Transaction

log = logging.getLogger(__name__)


class Commands:
    """Carries the commands out. `poll` reads the state anew, so that who asks next sees what a change has led to."""

    def __init__(
        self,
        in_force: OrderInForce,
        reconciler: Reconciler,
        runner: PassRunner,
        queue: PassQueue,
        collector: StatusCollector,
        poll: Callable[[], Awaitable[None]],
        written: Written = written_at_once,
    ) -> None:
        self._in_force = in_force
        self._reconciler = reconciler
        self._runner = runner
        self._queue = queue
        self._poll = poll
        self._written = written
        self.transaction = Transaction(in_force.store, self._enact, written, self._settled)
        self._draining = Draining(in_force, runner, collector, self.transaction, self._answer)
        # Called after every order that is taken; says what of it beside the data plane is not in force.
        self.order_taken: Callable[[], Awaitable[str]] | None = None
        self.end: Callable[[], None] = lambda: None  # the daemon
        self._offered: Mapping[Credential, Secret] | None = None  # with the order that comes next

    @property
    def by_verb(self) -> Mapping[str, Command]:
        """Each with the request's body and its parameters."""
        return {
            "apply": self._apply,
            "credentials": self._hand_over,
            "reload": self._reload,
            "confirm": self._confirm,
            "rollback": self._roll_back,
            "drain": self._draining.drain,
            "undrain": self._draining.undrain,
        }

    async def reload(self) -> AppliedReply:
        """Read the order file again and carry it out; what was done.

        Raises OrderInvalidError and BusyError, and then nothing has changed; DcedgeError where the data plane is as
        ordered, and something beside it is not.
        """
        async with self.transaction.turn():
            offered, self._offered = self._offered, None
            self.transaction.refuse_while_unconfirmed()
            try:
                loaded = await asyncio.to_thread(self._in_force.read_file)
            except OrderInvalidError as error:
                self._in_force.refuse(error)
                raise
            self._take_credentials(offered)
            log.info("reloading: %s", self._in_force.settings.order)
            try:
                result = await self._runner.make(lambda: self._in_force.take(loaded))
            finally:
                if self._in_force.loaded is loaded:
                    self._in_force.store.orders.save_last_good(loaded.text)
            answer, lacking = await self._answer(result), await self._beside()
            if lacking:
                raise DcedgeError(lacking)
            return answer

    async def reload_on_signal(self) -> None:
        """The same for SIGHUP, to which nobody waits for an answer."""
        try:
            await self.reload()
        except OrderInvalidError:
            return  # which is said already
        except DcedgeError as error:
            log.error("reloading: %s", error)

    async def _reload(self, _: str, __: Mapping[str, str]) -> AppliedReply:
        return await self.reload()

    async def _apply(self, text: str, parameters: Mapping[str, str]) -> AppliedReply:
        """Put an order's contents in force now; what was done. Raises OrderInvalidError: then nothing has changed."""
        seconds = float(parameters["confirm"]) if "confirm" in parameters else None
        allow_removal = int(parameters["allow_removal"]) if "allow_removal" in parameters else None
        async with self.transaction.turn():
            offered, self._offered = self._offered, None
            self.transaction.refuse_while_unconfirmed()
            await asyncio.to_thread(self._in_force.read_text, text, allow_removal)
            self._take_credentials(offered)
            before, result = self._in_force.loaded, self._runner.result
            outcome = await self.transaction.apply(
                text,
                before.text if before is not None else None,
                result.intent.secrets if result is not None else {},
                seconds,
            )
            answer = await self._answer(outcome.result)
            if lacking := await self._beside():
                answer["notes"].append(lacking)
            if outcome.rolled_back:
                answer["complete"], answer["rolled_back"] = False, True
            elif outcome.pending is not None:
                answer["confirm_seconds"] = outcome.pending.seconds_left
            return answer

    async def _hand_over(self, body: str, _: Mapping[str, str]) -> CredentialsReply:
        """Passwords that root can read and this daemon cannot, for the order that comes next, if it is taken."""
        self._offered = restored_secrets(json.loads(body))
        return {"credentials": len(self._offered)}

    def _take_credentials(self, offered: Mapping[Credential, Secret] | None) -> None:
        if offered is not None:
            self._reconciler.handed_over = offered

    async def _confirm(self, _: str, __: Mapping[str, str]) -> ConfirmedReply:
        """The order that waits is what is wanted."""
        async with self.transaction.turn():
            pending = await self.transaction.confirm()
            notes = list(self._in_force.store.troubles())
            return {"confirmed": True, "order": pending.order, "notes": notes}

    async def _roll_back(self, _: str, __: Mapping[str, str]) -> AppliedReply:
        """Go back to the order before, now."""
        async with self.transaction.turn():
            return await self._answer(await self.transaction.roll_back())

    def _settled(self) -> None:
        self._queue.ask(DirtySet(frr=True), "FRR saves what is in force, as no order waits any more")

    async def _enact(self, goal: Goal) -> PassResult:
        if goal.text is None:
            self.end()
            raise DcedgeError("there is no previous order: the daemon stops, and everything that it created is removed")
        loaded = await asyncio.to_thread(self._in_force.read_back, goal.text)

        def take() -> None:
            self._in_force.take(loaded, goal.secrets)
            if goal.back and digest_of_file(self._in_force.settings.order) != loaded.digest:
                self._in_force.problems = ("the last order was rolled back, the one before it is in force",)

        return await self._runner.make(take)

    async def _beside(self) -> str:
        return await self.order_taken() if self.order_taken is not None else ""

    async def _answer(self, result: PassResult) -> AppliedReply:
        """What a change has done, after a poll."""
        await self._poll()
        await self._written()
        return applied_json(result, self._in_force.store.troubles())
