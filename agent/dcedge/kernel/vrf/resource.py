"""VRFs (vrf.rst) as resources: the device, the rule that leads into it, and an end of the way out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from dcedge.kernel.for_all import LOOSE, ForAll
from dcedge.kernel.link.sysctls import IPV4_CONF, Settings, settings_changed
from dcedge.kernel.ranks import RANK_MEMBER, RANK_UNREACHABLE, RANK_VRF
from dcedge.kernel.resource import KernelResource
from dcedge.plan.resource import Change, Disruption, Key

Version = Literal[4, 6]
VERSIONS: tuple[Version, ...] = (4, 6)
L3MDEV_PRIORITY = 1000  # of the kernel's own rule
UNREACHABLE_METRIC = 4278198272  # vrf.rst: zebra reads distance 255 in it, and so never uses or announces the route


@dataclass(frozen=True, slots=True)
class Vrf(KernelResource):
    """The VRF of one or several virtual gateways; one that somebody else made is used as it is.

    `table` is where its routes lie; where the kernel has that table in use, a new VRF gets the next free one.
    """

    name: str
    table: int
    affects: tuple[str, ...]
    up: bool = True
    kind: str = "vrf"  # of the device that bears the name
    foreign: bool = False
    conf4: Settings = IPV4_CONF  # what comes in by a member is looked up as having come in by the VRF (vrf.rst)

    wide: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        return Key("vrf", self.name)

    @property
    def rank(self) -> int:
        return RANK_VRF

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def felt_by_many(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def deletion(self) -> Disruption:
        return "link"

    def describe(self) -> str:
        return f"table {self.table}"

    def changes_from(self, observed: Vrf) -> tuple[Change, ...]:
        if observed.kind != "vrf":
            text = f"{self.name} exists and is no VRF: remove it, or name the VRF otherwise"
            return (Change("kind", observed.kind or "a device", "a VRF", refusal=text),)
        changes = [Change("state", "down", "up")] if self.up and not observed.up else []
        if not observed.foreign:
            changes += settings_changed("ipv4", self.conf4, observed.conf4)
        return tuple(changes)

    def warnings(self, observed: Vrf, for_all: ForAll) -> Iterator[str]:
        if observed.foreign and for_all.stops_at(observed.conf4):
            setting = f"net.ipv4.conf.{observed.name}.rp_filter"
            yield f"{setting} is strict: traffic over a backup path is dropped; set it to {LOOSE}"


@dataclass(frozen=True, slots=True)
class VrfRule(KernelResource):
    """The rule by which packets of a VRF's links are looked up in the VRF's table; one for all VRFs, by IP version.

    The kernel makes it with the first VRF and never again: it is ours to make only where somebody took it away.
    """

    version: Version
    vrf: str  # one of those that need it
    affects: tuple[str, ...]

    wide: ClassVar[bool] = True
    for_the_router: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        return Key("rule", f"l3mdev IPv{self.version}")

    @property
    def rank(self) -> int:
        return RANK_MEMBER

    @property
    def parent(self) -> Key:
        return Key("vrf", self.vrf)

    @property
    def made_by_kernel(self) -> bool:
        return True

    def describe(self) -> str:
        return f"IPv{self.version} packets of VRFs are looked up in their tables (preference {L3MDEV_PRIORITY})"

    def changes_from(self, observed: VrfRule) -> tuple[Change, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Unreachable(KernelResource):
    """The end of a VRF's table: without it, what the table does not know is looked up in the main one."""

    version: Version
    vrf: str
    affects: tuple[str, ...]

    wide: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        return Key("unreachable", f"IPv{self.version} in VRF {self.vrf}")

    @property
    def rank(self) -> int:
        return RANK_UNREACHABLE

    @property
    def parent(self) -> Key:
        """It is removed with its VRF."""
        return Key("vrf", self.vrf)

    @property
    def creation(self) -> Disruption:
        """Whoever leaned on the main table's routes is cut off from them."""
        return "link"

    def describe(self) -> str:
        return f"what VRF {self.vrf} has no IPv{self.version} route to is unreachable"

    def changes_from(self, observed: Unreachable) -> tuple[Change, ...]:
        return ()
