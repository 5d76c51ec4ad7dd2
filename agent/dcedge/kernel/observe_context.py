"""What is looked at, as each kind of kernel object needs it to tell which objects are ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dcedge.kernel.link.resource import Link
from dcedge.kernel.link.view import LinkView
from dcedge.kernel.view import KernelView
from dcedge.plan.resource import State


@dataclass(frozen=True, slots=True)
class ObserveContext:
    """What the kernel says, beside what should be.

    `links`: all but the devices through which what comes in is shaped. `ours`, by index: those that are ours, or
    (foreign) stand where ours should. `needed`: the MTU that links of others need on a link, by its index. `vrfs`: the
    names of VRFs by their table.
    """

    view: KernelView
    intent: State
    links: tuple[LinkView, ...]
    ours: Mapping[int, Link]
    needed: Mapping[int, int]
    vrfs: Mapping[int, str]
