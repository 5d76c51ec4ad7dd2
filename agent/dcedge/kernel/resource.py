"""What a pass needs to know of any of the kernel's objects, besides what the plan asks of every resource."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from dcedge.kernel.for_all import ForAll
from dcedge.plan.resource import Key, Plain


class KernelResource(Plain):
    """What most answer. `wide`: many links feel it, and a look at single ones does not show it.

    `for_the_router`: there is one for the whole router, and it can be observed by itself. `needs_links_up`: it can be
    made only when the links that it is on are up.
    """

    __slots__ = ()
    wide: ClassVar[bool] = False
    for_the_router: ClassVar[bool] = False
    needs_links_up: ClassVar[bool] = False

    @property
    def links(self) -> tuple[str, ...]:
        """The links that it is on; a look at them shows it."""
        return ()

    @property
    def on_link(self) -> str | None:
        """The link that it goes with, and is seen with; None for what has events, or a look, of its own."""
        return None

    @property
    def makes(self) -> tuple[str, ...]:
        """The links that there are once it is made."""
        return ()

    @property
    def felt_by_many(self) -> tuple[str, ...]:
        """The links of which a change may show at many others."""
        return ()

    @property
    def unseen(self) -> object:
        """What equality leaves out since the kernel does not show it, and messages say."""
        return None

    def warnings(self, observed: Any, for_all: ForAll) -> Iterable[str]:
        """What others have set that stops or loses traffic of ours, in words."""
        return ()


class OnLink(KernelResource):
    """What stands on one `link` and goes with it."""

    __slots__ = ()
    link: str

    @property
    def parent(self) -> Key:
        return Key("link", self.link)

    @property
    def links(self) -> tuple[str, ...]:
        return (self.link,)

    @property
    def on_link(self) -> str:
        return self.link
