"""The changes that the control socket offers to root, each from its first word to its last before the next begins."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from dcedge.credentials import Secret, restored_secrets
from dcedge.drain import quiet_bps, refuse_last_paths, select, undone
from dcedge.errors import DcedgeError, OrderInvalidError
from dcedge.expose.control_server import Command, Reply
from dcedge.expose.plan_document import applied_json
from dcedge.in_force import OrderInForce
from dcedge.order.load import digest_of_file
from dcedge.order.model import Credential
from dcedge.pass_queue import PassQueue, Scope
from dcedge.pass_runner import PassRunner
from dcedge.picture import Picture
from dcedge.reconcile import PassResult, Reconciler
from dcedge.transaction import Goal, Transaction

log = logging.getLogger(__name__)


class Commands:
    """Carries the commands out. `look` polls, so that who asks next sees what a change has led to."""

    def __init__(
        self,
        in_force: OrderInForce,
        reconciler: Reconciler,
        runner: PassRunner,
        queue: PassQueue,
        picture: Picture,
        look: Callable[[], Awaitable[None]],
    ) -> None:
        self._in_force = in_force
        self._reconciler = reconciler
        self._runner = runner
        self._queue = queue
        self._picture = picture
        self._look = look
        self.transaction = Transaction(in_force.store, self._enact)
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
            "drain": self._drain,
            "undrain": self._undrain,
        }

    async def reload(self) -> Reply:
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
                    self._in_force.store.save_last_good_order(loaded.text)
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

    async def _reload(self, _: str, __: Mapping[str, str]) -> Reply:
        return await self.reload()

    async def _apply(self, text: str, parameters: Mapping[str, str]) -> Reply:
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
                answer = {**answer, "notes": [*answer["notes"], lacking]}
            if outcome.rolled_back:
                return {**answer, "complete": False, "rolled_back": True}
            return answer if outcome.pending is None else {**answer, "confirm_seconds": outcome.pending.seconds_left}

    async def _hand_over(self, body: str, _: Mapping[str, str]) -> Reply:
        """Passwords that root can read and this daemon cannot, for the order that comes next, if it is taken."""
        self._offered = restored_secrets(json.loads(body))
        return {"credentials": len(self._offered)}

    def _take_credentials(self, offered: Mapping[Credential, Secret] | None) -> None:
        if offered is not None:
            self._reconciler.handed_over = offered

    async def _confirm(self, _: str, __: Mapping[str, str]) -> Reply:
        """The order that waits is what is wanted."""
        async with self.transaction.turn():
            pending = self.transaction.confirm()
            self._queue.ask(Scope(frr=True))  # what is confirmed is saved
            return {"confirmed": True, "order": pending.order}

    async def _roll_back(self, _: str, __: Mapping[str, str]) -> Reply:
        """Go back to the order before, now."""
        async with self.transaction.turn():
            return await self._answer(await self.transaction.roll_back())

    async def _drain(self, body: str, parameters: Mapping[str, str]) -> Reply:
        """Move traffic away from virtual interfaces."""
        async with self.transaction.turn():
            assert self._in_force.loaded is not None
            order, before = self._in_force.loaded.order, self._in_force.runtime.drained
            chosen = select(order, json.loads(body))
            if "force" not in parameters:
                refuse_last_paths(order, chosen - before, before | chosen, self._picture.carrying(order))
            return await self._set_drained(before | chosen, chosen)

    async def _undrain(self, body: str, _: Mapping[str, str]) -> Reply:
        """Let virtual interfaces carry traffic again."""
        async with self.transaction.turn():
            assert self._in_force.loaded is not None
            before = self._in_force.runtime.drained
            # What was drained and has left the order since would be drained again if it came back.
            chosen = select(self._in_force.loaded.order, json.loads(body), also=before)
            return await self._set_drained(before - chosen, chosen)

    async def _set_drained(self, drained: frozenset[str], chosen: frozenset[str]) -> Reply:
        changed = self._in_force.runtime.drained ^ drained
        result = await self._runner.make(lambda: self._in_force.note(drained=drained))
        interfaces = result.intent.interfaces
        failing = {name for failure in result.failures for name in failure.operation.affects}
        withheld = result.intent.withheld
        return {
            **await self._answer(result),
            "virtual_interfaces": sorted(chosen),
            "changed": sorted(changed),
            "undone": undone(chosen, interfaces, failing, withheld, frr_available=result.frr_available),
            "static": sorted(name for name in chosen if name in interfaces and not interfaces[name].sessions),
            "quiet_bps": {name: round(quiet_bps(interfaces[name])) for name in chosen if name in interfaces},
        }

    async def _enact(self, goal: Goal) -> PassResult:
        if goal.text is None:
            self.end()
            raise DcedgeError("nothing was ordered before: the daemon ends, and all that it made is removed without it")
        loaded = await asyncio.to_thread(self._in_force.read_back, goal.text)

        def take() -> None:
            self._in_force.take(loaded, goal.secrets)
            if goal.back and digest_of_file(self._in_force.settings.order) != loaded.digest:
                self._in_force.problems = ("the last order was rolled back, the one before it is in force",)

        return await self._runner.make(take)

    async def _beside(self) -> str:
        return await self.order_taken() if self.order_taken is not None else ""

    async def _answer(self, result: PassResult) -> dict[str, Any]:
        """What a change has done, after a look at what it led to."""
        await self._look()
        return applied_json(result, self._in_force.store.troubles())
