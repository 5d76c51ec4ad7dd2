"""Kernel settings as resources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from dcedge.kernel.ranks import RANK_SYSCTL
from dcedge.kernel.resource import KernelResource
from dcedge.plan.resource import Change, Key


@dataclass(frozen=True, slots=True)
class Sysctl(KernelResource):
    """A kernel setting below /proc/sys; set back by us on purge only.

    `at_least`: a limit, which may be higher, and which a network namespace may not have at all. `early`: before the
    others. `along`: a setting that the kernel changes with this one, with the value that it is to have afterwards.
    """

    path: str
    value: int
    at_least: bool = field(default=False, compare=False)
    early: bool = field(default=False, compare=False)
    along: tuple[str, int] | None = field(default=None, compare=False)

    wide: ClassVar[bool] = True
    for_the_router: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        return Key("sysctl", self.path.replace("/", "."))

    @property
    def rank(self) -> int:
        return RANK_SYSCTL - self.early

    @property
    def affects(self) -> tuple[str, ...]:
        return ()

    def describe(self) -> str:
        return f"{'at least' if self.at_least else '='} {self.value}"

    def changes_from(self, observed: Sysctl) -> tuple[Change, ...]:
        if self.value == observed.value or (self.at_least and observed.value > self.value):
            return ()
        return (Change("value", str(observed.value), str(self.value)),)
