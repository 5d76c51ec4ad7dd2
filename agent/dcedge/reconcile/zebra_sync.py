"""Keeping step with zebra, which misses what is made too fast, and crashes on a VRF removed too fast (frr/zebra.py)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from dcedge.errors import FrrError, FrrUnavailableError
from dcedge.frr.vty import FrrClient
from dcedge.frr.zebra import wait_for_addresses, wait_for_links, wait_for_no_routes
from dcedge.kernel.address.resource import IpAddress
from dcedge.kernel.context import Failure
from dcedge.kernel.execute import KernelExecutor
from dcedge.plan.diff import Operation

log = logging.getLogger(__name__)

Place = tuple[str, str]  # a link, and an address with its length


class ZebraSync:
    """Waits for zebra while links and addresses are made, and VRFs go.

    It remembers what zebra may have missed while it was silent.
    """

    def __init__(self, frr: FrrClient) -> None:
        self._frr = frr
        self._missed: dict[Place, IpAddress] = {}

    def await_links(self, executor: KernelExecutor) -> None:
        """Wait until zebra knows the links that were made."""
        try:
            if not wait_for_links(self._frr, executor.created):
                log.warning("zebra does not know the new links yet; it may miss their addresses")
        except FrrUnavailableError:
            return  # FRR's own part says so
        except FrrError as error:
            log.warning("zebra: %s", error)

    def await_addresses(
        self, executor: KernelExecutor, operations: Iterable[Operation], failures: Iterable[Failure]
    ) -> None:
        """Wait until zebra lists the addresses that were made; make those again that it missed."""
        failed = {failure.operation.key for failure in failures}
        made = {
            (operation.after.link, str(operation.after.interface)): operation.after
            for operation in operations
            if isinstance(operation.after, IpAddress) and operation.key not in failed
        }
        self._have_listed(executor, made)

    def await_no_routes(self, vrfs: Iterable[str]) -> None:
        """Wait until zebra has forgotten the routes of VRFs that are about to go."""
        try:
            if left := wait_for_no_routes(self._frr, vrfs):
                log.warning("zebra still has routes in VRF %s, which is removed now", ", ".join(left))
        except FrrUnavailableError:
            return  # it will read the kernel's tables when it starts
        except FrrError as error:
            log.warning("zebra: %s", error)

    def take_missed(self) -> dict[Place, IpAddress]:
        """The addresses that were made while zebra was silent; they are forgotten here."""
        missed, self._missed = self._missed, {}
        return missed

    def announce(self, executor: KernelExecutor, missed: Mapping[Place, IpAddress]) -> None:
        """Have zebra list addresses that it may have missed."""
        self._have_listed(executor, missed)

    def _have_listed(self, executor: KernelExecutor, made: Mapping[Place, IpAddress]) -> None:
        try:
            missing = wait_for_addresses(self._frr, made)
            if missing:
                log.warning("zebra missed %d new addresses; recreating them", len(missing))
                executor.renew(made[place] for place in missing)
        except FrrUnavailableError:
            self._missed |= made
        except FrrError as error:
            log.warning("zebra: %s", error)
