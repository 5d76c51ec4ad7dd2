"""Qdiscs, classes and filters as the kernel tells of them; equal ones of several links are one object."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pyroute2.netlink.rtnl import TC_H_ROOT
from pyroute2.netlink.rtnl.tcmsg import act_mirred, act_skbedit, cls_u32, sched_fq_codel, sched_pfifo
from pyroute2.netlink.rtnl.tcmsg.common_act import tca_act_prio

from dcedge.kernel import questions
from dcedge.kernel.dump import dump
from dcedge.kernel.queue.classify import Classifier
from dcedge.kernel.queue.handles import CLASSIFIER_HANDLE, ROOT_HANDLE
from dcedge.kernel.queue.messages import CAKE, CLASSIFIER_INFO, FQ_CODEL, REDIRECT_INFO
from dcedge.kernel.queue.shaping import HtbClass
from dcedge.netlink.descriptions import bpf_options, cake_options, htb_options, queue_message, tbf_options
from dcedge.netlink.layout import fields_struct
from dcedge.netlink.reader import ListReader, Read, Reader
from dcedge.netlink.socket import RouteSocket

Settings = tuple[tuple[str, int], ...]

ANOTHER = Classifier(b"", 0)  # somebody else's filter, or several
_ALIKE = 1024  # so many kinds of one thing are remembered
INDEX = fields_struct(queue_message, ("index",))  # of the link that a message is about


@dataclass(frozen=True, slots=True)
class QdiscView:
    """One qdisc of some link; equal ones of several links are one object."""

    kind: str
    handle: int
    parent: int
    settings: Settings


Qdiscs = Mapping[int, tuple[QdiscView, ...]]  # by index of their link

QDISC = Reader(queue_message, "handle", "parent", "TCA_KIND", "TCA_OPTIONS")
FILTER = Reader(queue_message, "handle", "info", "TCA_KIND", "TCA_OPTIONS")
HTB = Reader(
    htb_options,
    *("TCA_HTB_RATE64", "TCA_HTB_CEIL64"),
    nests={
        "TCA_HTB_INIT": Reader(htb_options.htb_glob, "defcls"),
        "TCA_HTB_PARMS": Reader(
            htb_options.htb_parms,
            *("rate_overhead", "rate_mpu", "rate", "ceil", "buffer", "cbuffer", "quantum", "prio"),
        ),
    },
)
TBF = Reader(
    tbf_options, "TCA_TBF_RATE64", nests={"TCA_TBF_PARMS": Reader(tbf_options.tbf_parms, "rate", "limit", "mtu")}
)
FQ_CODEL_OPTIONS = Reader(sched_fq_codel.options, *FQ_CODEL.values())
CAKE_OPTIONS = Reader(cake_options, *CAKE.values())
PFIFO = Reader(sched_pfifo.options, "limit")
BPF = Reader(
    bpf_options,
    "TCA_BPF_OPS",
    nests={
        "TCA_BPF_ACT": ListReader(
            Reader(
                bpf_options.bpf_act.tca_act_bpf,
                nests={"TCA_ACT_OPTIONS": Reader(act_skbedit.options, "TCA_SKBEDIT_PRIORITY")},
            )
        )
    },
)
_MIRRED = Reader(act_mirred.options, nests={"TCA_MIRRED_PARMS": Reader(act_mirred.options.tca_mirred_parms, "ifindex")})
U32 = Reader(
    cls_u32.options,
    "TCA_U32_SEL",
    nests={"TCA_U32_ACT": ListReader(Reader(tca_act_prio.tca_act, nests={"TCA_ACT_OPTIONS": _MIRRED}))},
)


def qdiscs_of(sock: RouteSocket, only: Collection[int] | None = None) -> dict[int, tuple[QdiscView, ...]]:
    """The qdiscs of all links, or of some, by index; the kernel tells those of all anyway, so it is asked once."""
    found: dict[int, tuple[QdiscView, ...]] = {}
    index_at = INDEX.unpack_from

    def enter(data: memoryview, start: int, end: int) -> None:
        (index,) = index_at(data, start)
        if only is None or index in only:
            qdisc, before = qdisc_view(data, start, end), found.get(index, ())
            if qdisc not in before:  # an interrupted dump begins anew
                found[index] = (*before, qdisc)

    dump(sock, questions.qdiscs(), enter)
    return found


def ingress_filters(sock: RouteSocket, index: int) -> list[tuple[int | None, int]]:
    """The filters on what comes in by a link: where one of ours redirects to (None: somebody else's), preference."""
    found = dump(sock, questions.ingress_filters(index), ingress_filter)
    return [filter_ for filter_ in found if filter_ is not None]


def has_tree(qdiscs: Iterable[QdiscView]) -> bool:
    """Whether the root among a link's qdiscs is ours."""
    return any(q.handle == ROOT_HANDLE and q.kind == "htb" for q in qdiscs)


def classes_of(sock: RouteSocket, index: int) -> tuple[HtbClass, ...]:
    """The classes of our tree on one device, in order of their minors; none of the queues' own."""
    found = dump(sock, questions.classes(index), htb_class)
    return tuple(sorted((htb for htb in found if htb is not None), key=lambda htb: htb.minor))


def classifier_of(sock: RouteSocket, index: int) -> Classifier | None:
    """The filter at our root; one that is not as we make them, or is not alone, equals none of ours."""
    found = [filter_ for filter_ in dump(sock, questions.root_filters(index), classifier) if filter_ is not None]
    return found[0] if len(found) == 1 else ANOTHER if found else None


def qdisc_view(data: memoryview, start: int, end: int) -> QdiscView:
    """A qdisc from an RTM_NEWQDISC message's body."""
    said = QDISC.read(data, start, end)
    kind, handle = sys.intern(said["TCA_KIND"]), said["handle"]
    options = said.get("TCA_OPTIONS", b"") if handle and kind in _SETTINGS else b""
    return _known_qdisc(kind, handle, said["parent"], options)


@lru_cache(_ALIKE)
def _known_qdisc(kind: str, handle: int, parent: int, options: bytes) -> QdiscView:
    return QdiscView(kind, handle, parent, _SETTINGS[kind](options) if options else ())


def _htb_settings(options: bytes) -> Settings:
    said = HTB.read_bytes(options)
    return (("default", said["TCA_HTB_INIT"]["defcls"]),) if "TCA_HTB_INIT" in said else ()


def _tbf_settings(options: bytes) -> Settings:
    said = TBF.read_bytes(options)
    parameters = said.get("TCA_TBF_PARMS")
    if parameters is None:
        return ()
    return (("rate", said.get("TCA_TBF_RATE64", parameters["rate"])), ("cut", parameters["mtu"]))


def _named(reader: Reader, names: Mapping[str, str]) -> Callable[[bytes], Settings]:
    def settings(options: bytes) -> Settings:
        said = reader.read_bytes(options)
        return tuple((name, said[attribute]) for name, attribute in names.items() if attribute in said)

    return settings


_SETTINGS: dict[str, Callable[[bytes], Settings]] = {
    "htb": _htb_settings,
    "fq_codel": _named(FQ_CODEL_OPTIONS, FQ_CODEL),
    "cake": _named(CAKE_OPTIONS, CAKE),
    "tbf": _tbf_settings,
    "pfifo": _named(PFIFO, {"limit": "limit"}),
}


def htb_class(data: memoryview, start: int, end: int) -> HtbClass | None:
    """A class of ours from an RTM_NEWTCLASS message's body; None for one of a queue's own."""
    said = QDISC.read(data, start, end)
    parent = said["parent"]
    return _class(said["handle"] & 0xFFFF, parent & 0xFFFF if parent != TC_H_ROOT else 0, said["TCA_OPTIONS"])


@lru_cache(_ALIKE)
def _class(minor: int, parent: int, options: bytes) -> HtbClass | None:
    said = HTB.read_bytes(options)
    parameters = said.get("TCA_HTB_PARMS")
    if parameters is None:
        return None
    return HtbClass(
        minor=minor,
        parent=parent,
        rate_bytes=said.get("TCA_HTB_RATE64", parameters["rate"]),
        ceil_bytes=said.get("TCA_HTB_CEIL64", parameters["ceil"]),
        burst_ticks=parameters["buffer"],
        ceil_burst_ticks=parameters["cbuffer"],
        quantum=parameters["quantum"],
        priority=parameters["prio"],
        overhead=parameters["rate_overhead"],
        mpu=parameters["rate_mpu"],
    )


def classifier(data: memoryview, start: int, end: int) -> Classifier | None:
    """A filter at our root; None for the head of a list of them."""
    said = FILTER.read(data, start, end)
    if not said["handle"]:
        return None
    options: Read = BPF.read_bytes(said["TCA_OPTIONS"]) if "TCA_OPTIONS" in said else {}
    if (said["handle"], said["info"]) != (CLASSIFIER_HANDLE, CLASSIFIER_INFO) or "TCA_BPF_OPS" not in options:
        return ANOTHER
    marks = [one["TCA_ACT_OPTIONS"].get("TCA_SKBEDIT_PRIORITY", 0) for one in options.get("TCA_BPF_ACT", ())]
    return Classifier(options["TCA_BPF_OPS"], marks[-1] if marks else 0)


def ingress_filter(data: memoryview, start: int, end: int) -> tuple[int | None, int] | None:
    """A filter on what comes in: where one of ours redirects to (None: somebody else's), preference.

    None for a table of filters.
    """
    said = FILTER.read(data, start, end)
    options: Read = U32.read_bytes(said["TCA_OPTIONS"]) if "TCA_OPTIONS" in said else {}
    if not said["handle"] or (said["TCA_KIND"] == "u32" and "TCA_U32_SEL" not in options):
        return None
    preference = said["info"] >> 16
    if said["info"] != REDIRECT_INFO:
        return None, preference
    to = 0
    for one in options.get("TCA_U32_ACT", ()):
        to = one["TCA_ACT_OPTIONS"].get("TCA_MIRRED_PARMS", {}).get("ifindex", to)
    return to, preference
