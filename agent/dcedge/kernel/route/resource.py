"""Static routes as resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dcedge.kernel.ranks import RANK_ROUTE
from dcedge.kernel.resource import KernelResource
from dcedge.order.field_types import Address, Prefix
from dcedge.plan.resource import Change, Disruption, Key


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a static route goes: the cloud's address on a VI's link."""

    link: str
    gateway: Address

    def __str__(self) -> str:
        return f"{self.gateway} on {self.link}"


@dataclass(frozen=True, slots=True)
class Route(KernelResource):
    """A static route of ours: one hop, or several that share the traffic. Hops in order of their links."""

    prefix: Prefix
    vrf: str | None
    metric: int
    hops: tuple[Hop, ...]
    affects: tuple[str, ...]

    needs_links_up: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        where = f" in VRF {self.vrf}" if self.vrf else ""
        return Key("route", f"{self.prefix} metric {self.metric}{where}")

    @property
    def rank(self) -> int:
        return RANK_ROUTE

    @property
    def parent(self) -> Key:
        return Key("link", self.hops[0].link)

    @property
    def links(self) -> tuple[str, ...]:
        return tuple(hop.link for hop in self.hops)

    @property
    def deletion(self) -> Disruption:
        return "link"

    @property
    def deleted_last(self) -> bool:
        return True

    def describe(self) -> str:
        return "via " + ", ".join(map(str, self.hops))

    def changes_from(self, observed: Route) -> tuple[Change, ...]:
        if self.hops == observed.hops:
            return ()
        kept = set(self.hops) & set(observed.hops)
        harm: Disruption = "none" if kept else "link"
        return (Change("via", ", ".join(map(str, observed.hops)), ", ".join(map(str, self.hops)), harm),)
