"""What this kernel can do, asked without changing anything."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from dcedge.kernel.queue import messages as q
from dcedge.netlink.descriptions import cake_options, queue_message
from dcedge.netlink.socket import RouteSocket

_LOOPBACK_INDEX = 1


class _NarrowCake(cake_options):
    """cake with a rate of half the size, which the kernel refuses."""

    _nlmsg_base__compiled_nla = False
    nla_map = tuple((name, "uint32" if name == q.CAKE["rate"] else form) for name, form in cake_options.nla_map)


class _NarrowQueue(queue_message):
    """A qdisc that is such a cake."""

    _nlmsg_base__compiled_nla = False

    @staticmethod
    def get_options(*_: object, **__: object) -> type:
        """Always that."""
        return _NarrowCake


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kernel has (or can load) that an order can do without.

    `skbedit`: it can mark control packets for lower devices; without it they go first on their own link only, and no
    802.1p priority is set.
    """

    fq_codel: bool = True
    cake: bool = True
    skbedit: bool = True

    def queue(self, ordered: str) -> str:
        """The queue that stands for the ordered one here: a plain one where this kernel has no such kind."""
        return ordered if getattr(self, ordered, True) else "pfifo"


EVERYTHING = Capabilities()


def capabilities(sock: RouteSocket) -> Capabilities:
    """Ask the kernel.

    It is offered what is invalid in itself (no flows at all, a rate of half the size, an action without parameters),
    and says so before anything is put in place; where it has no such kind at all, it says that instead.
    """
    offers = [
        q.qdisc(_LOOPBACK_INDEX, "fq_codel", {"attrs": [(q.FQ_CODEL["flows"], 0)]}),
        q.qdisc(_LOOPBACK_INDEX, "cake", {"attrs": [(q.CAKE["rate"], 0)]}, _NarrowQueue),
        q.action("skbedit"),
    ]
    return Capabilities(*(answer.errno in {errno.EINVAL, errno.ERANGE} for answer in sock.execute(offers)))
