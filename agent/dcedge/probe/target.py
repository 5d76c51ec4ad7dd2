"""What is probed: one address of the cloud's side through one virtual interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dcedge.order.field_types import Address, Family, Seconds
from dcedge.order.resolve import ResolvedInterface


@dataclass(frozen=True, slots=True)
class Target:
    """One stream of echo requests. `interval` is what was ordered; a connection's budget may stretch it.

    With an `mtu` some of them are packets of that size, which nobody may fragment.
    """

    virtual_interface: str
    connection: str
    family: Family
    ifindex: int
    vrf: str | None
    source: Address
    destination: Address
    interval: Seconds
    mtu: int | None = None

    @property
    def key(self) -> tuple[str, Address]:
        """Names the stream: statistics live as long as it does."""
        return self.virtual_interface, self.destination


def targets_of(vi: ResolvedInterface, ifindex: int) -> Iterator[Target]:
    """The targets of one virtual interface whose link has this index; none where the order has it down."""
    if vi.admin == "down":
        return
    for pair in vi.addresses:
        yield Target(
            virtual_interface=vi.name,
            connection=vi.connection,
            family=pair.family,
            ifindex=ifindex,
            vrf=vi.vrf,
            source=pair.customer.ip,
            destination=pair.cloud,
            interval=vi.probe_interval,
            mtu=vi.mtu,
        )


def budgets_of(vis: Iterable[ResolvedInterface]) -> dict[str, float]:
    """Echo requests a second that each connection's provider tolerates, where it says."""
    return {
        vi.connection: vi.profile.probe_budget_per_second
        for vi in vis
        if vi.profile.probe_budget_per_second is not None
    }
