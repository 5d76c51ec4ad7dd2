"""What this kernel can do, asked without changing anything."""

from __future__ import annotations

import errno
import struct

from dcedge.kernel import messages as m
from dcedge.kernel.netlink import NLM_F_CREATE, NLM_F_REPLACE, Request, RouteSocket, nested, text

_LOOPBACK_INDEX = 1


def has_fq_codel(sock: RouteSocket) -> bool:
    """Whether the kernel has (or can load) fq_codel.

    It is offered a queue with no flows at all, which fq_codel refuses as invalid before anything is put in place;
    a kernel without fq_codel says that it knows no such kind instead.
    """
    impossible = nested(m.TCA_OPTIONS, struct.pack("=HHI", 8, m.FQ_CODEL["flows"], 0))
    body = m.TC_BODY.pack(0, _LOOPBACK_INDEX, 0, m.TC_H_ROOT, 0) + text(m.TCA_KIND, "fq_codel") + impossible
    answer = sock.execute([Request(m.RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, body)])[0]
    return answer.errno == errno.EINVAL
