"""`drain` and `undrain`, as the daemon carries them out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from dcedge.api.control.replies import AppliedReply, DrainedReply
from dcedge.daemon.passes import PassRunner
from dcedge.monitor.status_collector import StatusCollector
from dcedge.order.drain import quiet_bps, refuse_last_paths, select, undone
from dcedge.reconcile.in_force import OrderInForce
from dcedge.reconcile.result import PassResult
from dcedge.reconcile.transaction import Transaction


class Draining:
    """Moves traffic away from virtual interfaces, and lets them carry it again; `answer` says what a pass has done."""

    def __init__(
        self,
        in_force: OrderInForce,
        runner: PassRunner,
        collector: StatusCollector,
        transaction: Transaction,
        answer: Callable[[PassResult], Awaitable[AppliedReply]],
    ) -> None:
        self._in_force = in_force
        self._runner = runner
        self._collector = collector
        self._transaction = transaction
        self._answer = answer

    async def drain(self, body: str, parameters: Mapping[str, str]) -> DrainedReply:
        """Move traffic away from virtual interfaces."""
        async with self._transaction.turn():
            assert self._in_force.loaded is not None
            order, before = self._in_force.loaded.order, self._in_force.runtime.drained
            chosen = select(order, json.loads(body))
            if "force" not in parameters:
                refuse_last_paths(order, chosen - before, before | chosen, self._collector.carrying(order))
            return await self._set_drained(before | chosen, chosen)

    async def undrain(self, body: str, _: Mapping[str, str]) -> DrainedReply:
        """Let virtual interfaces carry traffic again."""
        async with self._transaction.turn():
            assert self._in_force.loaded is not None
            before = self._in_force.runtime.drained
            # What was drained and has left the order since would be drained again if it came back.
            chosen = select(self._in_force.loaded.order, json.loads(body), also=before)
            return await self._set_drained(before - chosen, chosen)

    async def _set_drained(self, drained: frozenset[str], chosen: frozenset[str]) -> DrainedReply:
        changed = self._in_force.runtime.drained ^ drained
        result = await self._runner.make(lambda: self._in_force.note(drained=drained))
        interfaces = result.intent.interfaces
        failing = {name for failure in result.failures for name in failure.operation.affects}
        missing_credentials = result.intent.missing_credentials
        return {
            **await self._answer(result),
            "virtual_interfaces": sorted(chosen),
            "changed": sorted(changed),
            "undone": undone(chosen, interfaces, failing, missing_credentials, frr_available=result.frr_available),
            "static": sorted(name for name in chosen if name in interfaces and not interfaces[name].sessions),
            "quiet_bps": {name: round(quiet_bps(interfaces[name])) for name in chosen if name in interfaces},
        }
