"""Ports as resources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from dcedge.kernel.for_all import ForAll
from dcedge.kernel.ranks import RANK_PORT
from dcedge.kernel.resource import KernelResource
from dcedge.plan.resource import Change, Key


@dataclass(frozen=True, slots=True)
class Port(KernelResource):
    """A connection's port: another's device, which we only bring up and give room for the VIs' MTU.

    Its MTU is raised where a VI needs it, and lowered by nobody but a purge (`exact`), which puts back what was there;
    `floor` (observed) is what other people's links on it need. `needy`: the VIs that need `mtu_min`. `tagged`: it
    carries VLANs of ours; `tag_bytes` (observed): what a tag takes of the device's MTU, which is 4 on MACsec only
    (netif_reduces_vlan_mtu() in linux/netdevice.h); `part_of` (observed): the bond or team that somebody has made of it
    and others, with its kind.
    """

    name: str
    mtu_min: int
    up: bool
    affects: tuple[str, ...]
    needy: tuple[str, ...] = field(default=(), compare=False)
    exact: bool = field(default=False, compare=False)
    floor: int = field(default=0, compare=False)
    tagged: bool = field(default=False, compare=False)
    tag_bytes: int = 0
    part_of: str = ""

    wide: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        return Key("port", self.name)

    @property
    def unseen(self) -> tuple[str, ...]:
        return self.needy

    def mtu_on(self, observed: Port) -> int:
        """The MTU that it needs at least; where it is put back, the one that it gets."""
        if self.exact:
            return max(self.mtu_min, observed.floor)
        return self.mtu_min + (observed.tag_bytes if self.tagged else 0)

    @property
    def rank(self) -> int:
        return RANK_PORT

    def describe(self) -> str:
        return f"up, MTU at least {self.mtu_min}"

    def changes_from(self, observed: Port) -> tuple[Change, ...]:
        changes = []
        if self.up and not observed.up:
            changes.append(Change("state", "down", "up"))
        wanted = self.mtu_on(observed)
        if observed.mtu_min < wanted or (self.exact and observed.mtu_min > wanted):
            # A driver resets its rings for a new MTU.
            changes.append(Change("MTU", str(observed.mtu_min), str(wanted), "link"))
        return tuple(changes)

    def warnings(self, observed: Port, for_all: ForAll) -> Iterator[str]:
        if observed.part_of:
            device = observed.part_of.partition(" ")[0]
            yield (
                f"port {observed.name} is a member of {observed.part_of}: what the other end sends over other members"
                f" does not come in here; order port {device}"
            )
