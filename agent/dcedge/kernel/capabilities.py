"""What this kernel can do, asked without changing anything."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from dcedge.kernel import messages as m
from dcedge.kernel.netlink import NLM_F_CREATE, NLM_F_REPLACE, Request, RouteSocket, attribute, nested, text

_LOOPBACK_INDEX = 1
_TCA_ACT_TAB = 1


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
    fq_codel = nested(m.TCA_OPTIONS, struct.pack("=HHI", 8, m.FQ_CODEL["flows"], 0))
    cake = nested(m.TCA_OPTIONS, attribute(m.CAKE["rate"], bytes(4)))
    action = nested(1, text(m.TCA_ACT_KIND, "skbedit"), nested(m.TCA_ACT_OPTIONS))
    offers = [
        _queue("fq_codel", fq_codel),
        _queue("cake", cake),
        Request(m.RTM_NEWACTION, NLM_F_CREATE, struct.pack("=Bxxx", m.AF_UNSPEC) + nested(_TCA_ACT_TAB, action)),
    ]
    return Capabilities(*(answer.errno in {errno.EINVAL, errno.ERANGE} for answer in sock.execute(offers)))


def _queue(kind: str, impossible: bytes) -> Request:
    body = m.TC_BODY.pack(0, _LOOPBACK_INDEX, 0, m.TC_H_ROOT, 0) + text(m.TCA_KIND, kind) + impossible
    return Request(m.RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, body)
