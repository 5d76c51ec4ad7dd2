"""Changes of qdiscs, classes and filters as netlink messages: pure, one function a change (linux/pkt_sched.h)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from socket import htons
from typing import Any

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink.rtnl import (
    RTM_DELQDISC,
    RTM_DELTCLASS,
    RTM_DELTFILTER,
    RTM_NEWACTION,
    RTM_NEWQDISC,
    RTM_NEWTCLASS,
    RTM_NEWTFILTER,
    TC_H_INGRESS,
    TC_H_ROOT,
)
from pyroute2.netlink.rtnl.tcmsg.act_mirred import MIRRED_EACTIONS
from pyroute2.netlink.rtnl.tcmsg.common import LINKLAYER_ETHERNET, tc_actions
from pyroute2.protocols import ETH_P_ALL

from dcedge.kernel.queue.classify import Classifier
from dcedge.kernel.queue.handles import (
    CLASSIFIER_HANDLE,
    CLASSIFIER_PREFERENCE,
    CONTROL_HANDLE,
    REDIRECT_PREFERENCE,
    ROOT_HANDLE,
    SEGMENTER_RATE_BYTES,
    leaf_handle,
    segmenter_handle,
    spare_handle,
)
from dcedge.kernel.queue.shaping import HtbClass, QueueParameters
from dcedge.netlink.descriptions import INGRESS_FILTERS, INGRESS_HANDLE, action_message, queue_message
from dcedge.netlink.layout import Message
from dcedge.netlink.socket import Request
from dcedge.netlink.templates import Slot, Template, request

CLASSIFIER_INFO = CLASSIFIER_PREFERENCE << 16 | htons(ETH_P_ALL)
REDIRECT_INFO = REDIRECT_PREFERENCE << 16 | htons(ETH_P_ALL)
FQ_CODEL = {
    name: f"TCA_FQ_CODEL_{name.upper()}"
    for name in ("target", "limit", "interval", "ecn", "flows", "quantum", "memory_limit")
}
CAKE = {
    "rate": "TCA_CAKE_BASE_RATE64", "diffserv": "TCA_CAKE_DIFFSERV_MODE", "flows": "TCA_CAKE_FLOW_MODE",
    "rtt": "TCA_CAKE_RTT", "target": "TCA_CAKE_TARGET", "memory": "TCA_CAKE_MEMORY",
    "split_gso": "TCA_CAKE_SPLIT_GSO",
}  # fmt: skip
_HTB_VERSION, _HTB_RATE_TO_QUANTUM = 3, 10
_FIRST_LIMIT_BYTES = 1 << 20  # of what a segmenter holds until it has its queue
_SHAPES = 1024  # of one kind of message: a filter's program has the length of its interface's addresses
_RATE_MAX = 2**32 - 1  # of the field; beyond it an attribute has the rate

Attributes = list[tuple[str, Any]]
Place = dict[str, Any]  # of tcmsg: index, handle, parent, info


def _queue(place: Place, kind: str, options: Any, *, number: int, flags: int) -> Template:
    attrs: Attributes = [("TCA_KIND", kind)]
    if options is not None:
        attrs.append(("TCA_OPTIONS", options))
    return Template(queue_message, number, flags, {**place, "attrs": attrs})


@lru_cache(_SHAPES)
def _place(number: int) -> Template:
    """What is removed: where it stands, and no more."""
    place = {"index": Slot("index"), "handle": Slot("handle"), "parent": Slot("parent"), "info": Slot("info")}
    return Template(queue_message, number, 0, place)


@lru_cache(_SHAPES)
def _htb_root() -> Template:
    init = {"version": _HTB_VERSION, "rate2quantum": _HTB_RATE_TO_QUANTUM, "defcls": Slot("default")}
    place = {"index": Slot("index"), "handle": ROOT_HANDLE, "parent": TC_H_ROOT}
    options = {"attrs": [("TCA_HTB_INIT", init)]}
    return _queue(place, "htb", options, number=RTM_NEWQDISC, flags=NLM_F_CREATE | NLM_F_REPLACE)


def htb_root(index: int, default: int) -> Request:
    """An HTB root with our handle; what no filter sorts goes to the default class. Takes the place of another root."""
    return _htb_root().fill(index=index, default=default)


@lru_cache(_SHAPES)
def _htb_class(wide: tuple[str, ...]) -> Template:
    """`wide`: which of the rates do not fit into their field."""
    slots = (
        "rate", "ceil", "buffer", "cbuffer", "quantum", "prio",
        "rate_overhead", "ceil_overhead", "rate_mpu", "ceil_mpu",
    )  # fmt: skip
    # pyroute2 names it `reserved`: the link layer, in the kernel's struct tc_ratespec.
    parameters = {name: Slot(name) for name in slots} | {
        "rate___reserved": LINKLAYER_ETHERNET,
        "ceil___reserved": LINKLAYER_ETHERNET,
    }
    options: Attributes = [("TCA_HTB_PARMS", parameters), *((name, Slot(name)) for name in wide)]
    place = {"index": Slot("index"), "handle": Slot("handle"), "parent": Slot("parent")}
    return _queue(place, "htb", {"attrs": options}, number=RTM_NEWTCLASS, flags=NLM_F_CREATE)


def htb_class(index: int, htb: HtbClass) -> Request:
    """A class, made or changed in place: what is queued stays queued."""
    rates = {"TCA_HTB_RATE64": htb.rate_bytes, "TCA_HTB_CEIL64": htb.ceil_bytes}
    wide = {name: rate for name, rate in rates.items() if rate > _RATE_MAX}
    return _htb_class(tuple(wide)).fill(
        index=index, handle=ROOT_HANDLE | htb.minor, parent=ROOT_HANDLE | htb.parent,
        rate=min(htb.rate_bytes, _RATE_MAX), ceil=min(htb.ceil_bytes, _RATE_MAX), buffer=htb.burst_ticks,
        cbuffer=htb.ceil_burst_ticks, quantum=htb.quantum, prio=htb.priority,
        rate_overhead=htb.overhead, ceil_overhead=htb.overhead, rate_mpu=htb.mpu, ceil_mpu=htb.mpu, **wide,
    )  # fmt: skip


def delete_class(index: int, minor: int) -> Request:
    """Remove a class; what it held is lost."""
    return _place(RTM_DELTCLASS).fill(index=index, handle=ROOT_HANDLE | minor, parent=0, info=0)


@lru_cache(_SHAPES)
def _segmenter() -> Template:
    parameters = {
        "rate": _RATE_MAX, "rate___reserved": LINKLAYER_ETHERNET, "limit": Slot("limit"), "mtu": Slot("cut"),
    }  # fmt: skip
    options: Attributes = [
        ("TCA_TBF_PARMS", parameters),
        ("TCA_TBF_RATE64", SEGMENTER_RATE_BYTES),
        ("TCA_TBF_BURST", Slot("cut")),
    ]
    place = {"index": Slot("index"), "handle": Slot("handle"), "parent": Slot("parent")}
    return _queue(place, "tbf", {"attrs": options}, number=RTM_NEWQDISC, flags=NLM_F_CREATE | NLM_F_REPLACE)


def segmenter(index: int, minor: int, cut_bytes: int, below: QueueParameters | None) -> Request:
    """A TBF that cuts super-packets longer than `cut_bytes` into frames, made or changed in place.

    What it cuts at is not read back; `mtu`, which counts for nothing where there is no peak rate, says it too. Its
    limit is for a plain FIFO that is below it now: where there is none of ours (`below` None) the kernel makes one of
    that many bytes, and without a limit none, which drops all; a pfifo takes it over, so it is told that queue's.
    """
    limit = _FIRST_LIMIT_BYTES
    if below is not None:
        limit = dict(below.settings)["limit"] if below.kind == "pfifo" else 0
    return _segmenter().fill(
        index=index, handle=segmenter_handle(minor), parent=ROOT_HANDLE | minor, limit=limit, cut=cut_bytes
    )


@lru_cache(_SHAPES)
def _leaf(kind: str, settings: tuple[str, ...]) -> Template:
    names: Mapping[str, str] = {"fq_codel": FQ_CODEL, "cake": CAKE}.get(kind, {})
    options: Any = {"attrs": [(names[name], Slot(name)) for name in settings]} if names else {"limit": Slot("limit")}
    place = {"index": Slot("index"), "handle": Slot("handle"), "parent": Slot("below")}
    return _queue(place, kind, options, number=RTM_NEWQDISC, flags=NLM_F_CREATE | NLM_F_REPLACE)


def leaf(index: int, minor: int, queue: QueueParameters, *, cut: bool, change: bool = False) -> Request:
    """A class's queue, made, or changed in place (then of the same kind, and its flows stay as many)."""
    return _any_leaf(index, leaf_handle(minor), minor, queue, cut=cut, change=change)


def spare_leaf(index: int, minor: int, queue: QueueParameters, *, cut: bool) -> Request:
    """The same under the spare handle, in the place of whatever is there."""
    return _any_leaf(index, spare_handle(minor), minor, queue, cut=cut, change=False)


def _any_leaf(index: int, handle: int, minor: int, queue: QueueParameters, *, cut: bool, change: bool) -> Request:
    sent = dict(queue.settings)
    if queue.kind == "fq_codel":
        # A CoDel time is read back rounded down; one microsecond more gives the same reading again.
        sent["target"] += 1
        sent["interval"] += 1
        if change:
            del sent["flows"]
    below = segmenter_handle(minor) | 1 if cut else ROOT_HANDLE | minor
    return _leaf(queue.kind, tuple(sent)).fill(index=index, handle=handle, below=below, **sent)


@lru_cache(_SHAPES)
def _classifier(program_bytes: int, *, marks: bool) -> Template:
    options: Attributes = [
        ("TCA_BPF_CLASSID", CONTROL_HANDLE),
        ("TCA_BPF_OPS_LEN", Slot("instructions")),
        ("TCA_BPF_OPS", Slot("program", bytes(program_bytes))),
    ]
    if marks:
        edit: Attributes = [
            ("TCA_SKBEDIT_PARMS", {"action": tc_actions["pipe"]}),
            ("TCA_SKBEDIT_PRIORITY", Slot("mark")),
        ]
        options.append(("TCA_BPF_ACT", {"attrs": [("TCA_ACT_PRIO_1", _action("skbedit", edit))]}))
    place = {"index": Slot("index"), "handle": CLASSIFIER_HANDLE, "parent": ROOT_HANDLE, "info": CLASSIFIER_INFO}
    return _queue(place, "bpf", {"attrs": options}, number=RTM_NEWTFILTER, flags=NLM_F_CREATE)


def _action(kind: str, options: Attributes) -> dict[str, Any]:
    return {"attrs": [("TCA_ACT_KIND", kind), ("TCA_ACT_OPTIONS", {"attrs": options})]}


def classifier(index: int, wanted: Classifier) -> Request:
    """The filter at our root, made or changed in place."""
    program = wanted.program
    shape = _classifier(len(program), marks=wanted.mark != 0)
    return shape.fill(index=index, instructions=len(program) // 8, program=program, mark=wanted.mark)


def delete_classifiers(index: int) -> Request:
    """Remove every filter at our root."""
    return _place(RTM_DELTFILTER).fill(index=index, handle=0, parent=ROOT_HANDLE, info=0)


def ingress_qdisc(index: int) -> Request:
    """The place for filters on what comes in; where somebody has clsact there is one already (EEXIST)."""
    content = {"index": index, "handle": INGRESS_HANDLE, "parent": TC_H_INGRESS, "attrs": [("TCA_KIND", "ingress")]}
    return request(queue_message, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, content)


def delete_ingress_qdisc(index: int) -> Request:
    """Remove that place with all its filters; refused (EINVAL) where it is another kind, such as somebody's clsact."""
    content = {"index": index, "handle": INGRESS_HANDLE, "parent": TC_H_INGRESS, "attrs": [("TCA_KIND", "ingress")]}
    return request(queue_message, RTM_DELQDISC, 0, content)


def redirect(index: int, to_index: int) -> Request:
    """All that comes in by a link goes through another device (tc-u32(8), tc-mirred(8))."""
    way = {"action": tc_actions["stolen"], "eaction": MIRRED_EACTIONS["egress", "redirect"], "ifindex": to_index}
    options: Attributes = [
        ("TCA_U32_SEL", {"keys": ["0x0/0x0+0"]}),
        ("TCA_U32_ACT", {"attrs": [("TCA_ACT_PRIO_1", _action("mirred", [("TCA_MIRRED_PARMS", way)]))]}),
    ]
    attrs: Attributes = [("TCA_KIND", "u32"), ("TCA_OPTIONS", {"attrs": options})]
    content = {"index": index, "parent": INGRESS_FILTERS, "info": REDIRECT_INFO, "attrs": attrs}
    return request(queue_message, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, content)


def delete_redirect(index: int) -> Request:
    """Let what comes in pass as it is."""
    return _place(RTM_DELTFILTER).fill(index=index, handle=0, parent=INGRESS_FILTERS, info=REDIRECT_INFO)


def delete_root(index: int) -> Request:
    """Remove the root qdisc; the kernel puts its default back."""
    return _place(RTM_DELQDISC).fill(index=index, handle=0, parent=TC_H_ROOT, info=0)


def action(kind: str) -> Request:
    """An action by itself, without parameters: the kernel refuses it, in words that tell whether it has the kind."""
    actions = {"attrs": [("TCA_ACT_PRIO_1", _action(kind, []))]}
    return request(action_message, RTM_NEWACTION, NLM_F_CREATE, {"attrs": [("TCA_ROOT_TAB", actions)]})


def qdisc(index: int, kind: str, options: Any, message: Message = queue_message) -> Request:
    """A root qdisc of any kind, laid out as pyroute2's `message` class says."""
    attrs: Attributes = [("TCA_KIND", kind), ("TCA_OPTIONS", options)]
    content = {"index": index, "parent": TC_H_ROOT, "attrs": attrs}
    return request(message, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, content)
