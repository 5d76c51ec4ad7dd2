"""Addresses as resources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dcedge.kernel.for_all import ForAll
from dcedge.kernel.ranks import RANK_ADDRESS
from dcedge.kernel.resource import OnLink
from dcedge.order.field_types import Interface
from dcedge.plan.resource import Change, Disruption, Key


@dataclass(frozen=True, slots=True)
class IpAddress(OnLink):
    """An address of ours on a link; `secondary` (observed): somebody else's in its subnet was there before.

    What the router itself sends into the subnet has that one as its source then.
    """

    link: str
    interface: Interface
    affects: tuple[str, ...]
    secondary: bool = False

    @property
    def key(self) -> Key:
        return Key("address", f"{self.interface} on {self.link}")

    @property
    def rank(self) -> int:
        return RANK_ADDRESS

    @property
    def deletion(self) -> Disruption:
        return "link"

    def describe(self) -> str:
        return f"{self.interface} on {self.link}"

    def changes_from(self, observed: IpAddress) -> tuple[Change, ...]:
        return ()

    def warnings(self, observed: IpAddress, for_all: ForAll) -> Iterator[str]:
        if observed.secondary:
            yield (
                f"{observed.describe()} comes after somebody's address in its subnet, which is the source of what this"
                f" router sends to the cloud: see `ip address show dev {observed.link}`, and remove that one"
            )


@dataclass(frozen=True, slots=True)
class LinkLocal(OnLink):
    """Some IPv6 link-local address on a link, without which FRR sets no IPv6 session up there.

    The kernel makes it when the link comes up, and never again: it is ours to make only where it is lost meanwhile.
    """

    link: str
    affects: tuple[str, ...]

    @property
    def key(self) -> Key:
        return Key("link-local", self.link)

    @property
    def rank(self) -> int:
        return RANK_ADDRESS

    @property
    def made_by_kernel(self) -> bool:
        return True

    def describe(self) -> str:
        return "an IPv6 link-local address"

    def changes_from(self, observed: LinkLocal) -> tuple[Change, ...]:
        return ()
