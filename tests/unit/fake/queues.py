"""Traffic control of one device as the kernel does it (net/sched): qdiscs, HTB classes, filters.

Written from what the kernel does: what it refuses, what it changes in place, and how it reads back what it was told.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink.rtnl import RTM_NEWQDISC, RTM_NEWTCLASS, RTM_NEWTFILTER, TC_H_INGRESS, TC_H_ROOT
from pyroute2.netlink.rtnl.tcmsg import cls_u32, sched_cake, sched_fq_codel, sched_htb, sched_tbf, tcmsg
from pyroute2.netlink.rtnl.tcmsg.common import stats2

from tests.unit.fake.wire import Message, RefusedError, attribute, attributes, number

TCA_KIND, TCA_OPTIONS, TCA_STATS2 = (number(tcmsg, f"TCA_{name}") for name in ("KIND", "OPTIONS", "STATS2"))
TCA_STATS_BASIC, TCA_STATS_QUEUE, TCA_STATS_APP = (
    number(stats2, f"TCA_STATS_{name}") for name in ("BASIC", "QUEUE", "APP")
)
TCA_HTB_PARMS, TCA_HTB_INIT, TCA_HTB_RATE64, TCA_HTB_CEIL64 = (
    number(sched_htb.options, f"TCA_HTB_{name}") for name in ("PARMS", "INIT", "RATE64", "CEIL64")
)
TCA_FQ_CODEL_TARGET, TCA_FQ_CODEL_INTERVAL, TCA_FQ_CODEL_FLOWS, TCA_FQ_CODEL_QUANTUM = (
    number(sched_fq_codel.options, f"TCA_FQ_CODEL_{name}") for name in ("TARGET", "INTERVAL", "FLOWS", "QUANTUM")
)
TCA_CAKE_BASE_RATE64 = number(sched_cake.options, "TCA_CAKE_BASE_RATE64")
TCA_TBF_PARMS = number(sched_tbf.options, "TCA_TBF_PARMS")
TCA_TBF_RATE64 = 4  # which pyroute2 does not have
# target, limit, interval, ecn, flows, quantum, drop_batch, memory_limit
FQ_CODEL_DEFAULTS = {1: 5000, 2: 10240, 3: 100_000, 4: 1, 5: 1024, 6: 1514, 8: 64, 9: 32 << 20}
HTB_MAXDEPTH_LEVEL, QUANTUM_MIN, QUANTUM_MAX = 7, 1000, 200_000
_DIRECTIONS = {0xFFF2, 0xFFF3}  # in, out (linux/pkt_sched.h: TC_H_MIN_INGRESS, TC_H_MIN_EGRESS)
TCA_U32_DIVISOR = number(cls_u32.options, "TCA_U32_DIVISOR")

_HTB_OPTIONS = struct.Struct("=BBHhHIBBHhHIIIIII")  # tc_htb_opt: rate and ceil (tc_ratespec), then its numbers
_U32, _U64 = struct.Struct("=I"), struct.Struct("=Q")


@dataclass
class Counted:
    """What a qdisc has counted; `marked` by ECN, `waiting` in bytes."""

    sent_bytes: int = 0
    sent_packets: int = 0
    drops: int = 0
    waiting: int = 0
    requeues: int = 0
    marked: int = 0

    def statistics(self, kind: str) -> bytes:
        """TCA_STATS2."""
        basic = struct.pack("=QI4x", self.sent_bytes, self.sent_packets)
        queue = struct.pack("=IIIII", 0, self.waiting, self.drops, self.requeues, 0)
        nest = attribute(TCA_STATS_BASIC, basic) + attribute(TCA_STATS_QUEUE, queue)
        if kind == "fq_codel":  # tc_fq_codel_xstats, for a qdisc
            nest += attribute(TCA_STATS_APP, struct.pack("=IIII20x", 0, 0, 0, self.marked))
        return attribute(TCA_STATS2 | 0x8000, nest)


@dataclass
class Qdisc:
    """One qdisc; `settings` are its options by number, as they are read back."""

    kind: str
    handle: int
    parent: int
    settings: dict[int, bytes]
    counted: Counted = field(default_factory=Counted)


@dataclass
class HtbClass:
    """One HTB class. Rates in bytes a second; `number` has the others by pyroute2's names for them."""

    handle: int
    parent: int  # the class above, 0 for none
    rate: int
    ceil: int
    number: dict[str, int]
    level: int = 0


@dataclass
class Filter:
    """One filter: `info` is its preference and protocol."""

    kind: str
    handle: int
    parent: int
    info: int
    options: bytes


@dataclass
class Queues:
    """All that is attached to one device; `lacks` are the kinds that the kernel was built without."""

    index: int
    lacks: frozenset[str] = frozenset()
    qdiscs: list[Qdisc] = field(default_factory=list)
    classes: dict[int, HtbClass] = field(default_factory=dict)
    filters: list[Filter] = field(default_factory=list)

    @property
    def root(self) -> Qdisc | None:
        """The root qdisc; None where it is the device's default."""
        return self._at(TC_H_ROOT)

    def _at(self, parent: int) -> Qdisc | None:
        return next((qdisc for qdisc in self.qdiscs if qdisc.parent == parent), None)

    def _by_handle(self, handle: int) -> Qdisc | None:
        return next((qdisc for qdisc in self.qdiscs if qdisc.handle == handle), None)

    # Requests

    def set_qdisc(self, request: Message) -> Qdisc:
        """RTM_NEWQDISC, step by step as tc_modify_qdisc() takes it."""
        said = _decoded(request)
        kind, handle, parent = said.get_attr("TCA_KIND"), said["handle"], said["parent"]
        self._check_parent(parent)
        there = self._at(parent)
        if there is not None and handle in {0, there.handle}:
            if request.flags & NLM_F_EXCL:
                raise RefusedError(errno.EEXIST, "Exclusivity flag on, cannot modify")
            if there.kind == kind:
                return self._change_qdisc(there, request)
            if handle:
                raise RefusedError(errno.EINVAL, "Invalid qdisc name")
        elif handle:
            if there is not None and not request.flags & NLM_F_REPLACE:
                raise RefusedError(errno.EEXIST, "NLM_F_REPLACE needed to override")
            if self._by_handle(handle) is not None:
                raise RefusedError(errno.EEXIST, "Exclusivity flag on, cannot override")
        if not request.flags & NLM_F_CREATE:
            raise RefusedError(errno.ENOENT, "Qdisc not found. To create specify NLM_F_CREATE flag")
        if kind in self.lacks or kind not in _CREATE:
            raise RefusedError(errno.ENOENT, "Specified qdisc kind is unknown")
        made = Qdisc(kind, handle or self._free_handle(), parent, _CREATE[kind](_options(request)))
        if there is not None:
            self.drop(there)
        self.qdiscs.append(made)
        return made

    def _check_parent(self, parent: int) -> None:
        if parent in {TC_H_ROOT, TC_H_INGRESS}:
            return
        below = self._by_handle(parent & 0xFFFF0000)
        if below is None:
            raise RefusedError(errno.ENOENT, "Failed to find specified qdisc")
        if below.kind == "htb" and parent not in self.classes:
            raise RefusedError(errno.ENOENT, "Specified class not found")

    def _change_qdisc(self, there: Qdisc, request: Message) -> Qdisc:
        if there.kind in {"htb", "ingress", "clsact"}:
            raise RefusedError(errno.EINVAL, "Change operation not supported by specified qdisc")
        options = _options(request)
        if there.kind == "fq_codel" and TCA_FQ_CODEL_FLOWS in attributes(options):
            raise RefusedError(errno.EINVAL)
        changed = _CREATE[there.kind](options, there.settings)
        there.settings = changed
        return there

    def _free_handle(self) -> int:
        taken = {qdisc.handle for qdisc in self.qdiscs}
        return next(major << 16 for major in range(0x8001, 0xFFFF) if major << 16 not in taken)

    def delete_qdisc(self, request: Message) -> Qdisc:
        """RTM_DELQDISC."""
        said = _decoded(request)
        there = self._at(said["parent"])
        if there is None:
            raise RefusedError(errno.ENOENT, "Failed to find qdisc with specified classid")
        if said.get_attr("TCA_KIND") not in {None, there.kind}:
            raise RefusedError(errno.EINVAL, "Invalid qdisc name")
        if said["handle"] not in {0, there.handle}:
            raise RefusedError(errno.EINVAL, "Invalid handle")
        self.drop(there)
        return there

    def drop(self, qdisc: Qdisc) -> None:
        """A qdisc goes with all its children."""
        if qdisc in self.qdiscs:
            self.qdiscs.remove(qdisc)
        self.filters = [one for one in self.filters if one.parent & 0xFFFF0000 != qdisc.handle]
        self.classes = {handle: c for handle, c in self.classes.items() if handle & 0xFFFF0000 != qdisc.handle}
        for above in [
            one for one in self.qdiscs if one.parent & 0xFFFF0000 == qdisc.handle and one.parent < TC_H_INGRESS
        ]:
            self.drop(above)

    def set_class(self, request: Message) -> HtbClass:
        """RTM_NEWTCLASS, as htb_change_class() takes it: a new class, or another setting of one that is there."""
        said = _decoded(request)
        handle, parent = said["handle"], said["parent"]
        root = self._by_handle(handle & 0xFFFF0000)
        if root is None or root.kind != "htb":
            raise RefusedError(errno.ENOENT)
        options = said.get_attr("TCA_OPTIONS")
        parms = options.get_attr("TCA_HTB_PARMS")
        rate = options.get_attr("TCA_HTB_RATE64") or parms["rate"]
        ceil = options.get_attr("TCA_HTB_CEIL64") or parms["ceil"]
        if not parms["rate"] or not parms["ceil"]:
            raise RefusedError(errno.EINVAL)
        htb = self.classes.get(handle)
        if htb is not None and request.flags & NLM_F_EXCL:
            raise RefusedError(errno.EEXIST)
        if htb is None:
            above = self.classes.get(parent)
            if above is None and parent & 0xFFFF:
                raise RefusedError(errno.ENOENT)
            htb = self.classes[handle] = HtbClass(handle, above.handle if above else 0, 0, 0, {})
            if above is not None and not above.level:
                above.level = (self.classes[above.parent].level if above.parent else HTB_MAXDEPTH_LEVEL + 1) - 1
        htb.rate, htb.ceil = rate, ceil
        known = {name: parms[name] for name in ("buffer", "cbuffer")} | {
            name: parms[f"rate_{name}"] for name in ("overhead", "mpu")
        }
        if not htb.level:  # one with children has no turns and keeps what it was born with
            known["prio"] = min(parms["prio"], 7)
            known["quantum"] = parms["quantum"] or min(
                max(rate // _U32.unpack_from(root.settings[TCA_HTB_INIT], 4)[0], QUANTUM_MIN), QUANTUM_MAX
            )
        htb.number |= known
        return htb

    def delete_class(self, request: Message) -> HtbClass:
        """RTM_DELTCLASS."""
        handle = _decoded(request)["handle"]
        if handle not in self.classes:
            raise RefusedError(errno.ENOENT)
        if any(other.parent == handle for other in self.classes.values()):
            raise RefusedError(errno.EBUSY)
        gone = self.classes.pop(handle)
        for qdisc in [one for one in self.qdiscs if one.parent == handle]:
            self.drop(qdisc)
        return gone

    def set_filter(self, request: Message) -> Filter:
        """RTM_NEWTFILTER."""
        said = _decoded(request)
        kind, parent, info = said.get_attr("TCA_KIND"), self._block(said["parent"]), said["info"]
        handle = said["handle"] or (0x80000800 if kind == "u32" else 1)
        old = next((one for one in self.filters if (one.parent, one.info, one.handle) == (parent, info, handle)), None)
        if old is not None:
            if request.flags & NLM_F_EXCL:
                raise RefusedError(errno.EEXIST, "Filter already exists")
            self.filters.remove(old)
        made = Filter(kind, handle, parent, info, _options(request))
        self.filters.append(made)
        return made

    def delete_filters(self, request: Message) -> Filter:
        """RTM_DELTFILTER: those of one preference, or all."""
        said = _decoded(request)
        parent = self._block(said["parent"])
        gone = [one for one in self.filters if one.parent == parent and said["info"] in {0, one.info}]
        if not gone and said["info"]:
            raise RefusedError(errno.ENOENT, "Filter with specified priority/protocol not found")
        self.filters = [one for one in self.filters if one not in gone]
        return gone[0] if gone else Filter("", 0, parent, 0, b"")

    def _block(self, parent: int) -> int:
        """Where filters stand: at a qdisc; with ingress whatever is asked for, with clsact by direction alone."""
        qdisc = self._by_handle(parent & 0xFFFF0000)
        if qdisc is None or (qdisc.kind == "clsact" and parent & 0xFFFF not in _DIRECTIONS):
            raise RefusedError(errno.EINVAL, "Parent Qdisc doesn't exists")
        return qdisc.handle if qdisc.kind == "ingress" else parent

    # What is told

    def qdisc_messages(self, *, up: bool) -> Iterator[tuple[int, bytes]]:
        """Each qdisc; the device's default one where no other is the root."""
        if self.root is None:
            yield RTM_NEWQDISC, _encoded(self.index, 0, TC_H_ROOT, 0, "noqueue" if up else "noop", b"")
        for qdisc in self.qdiscs:
            yield RTM_NEWQDISC, self.qdisc_body(qdisc)

    def qdisc_body(self, qdisc: Qdisc) -> bytes:
        """One qdisc's message."""
        if qdisc.kind == "pfifo":
            options = qdisc.settings[0]
        else:
            options = b"".join(attribute(kind, value) for kind, value in qdisc.settings.items())
        body = _encoded(self.index, qdisc.handle, qdisc.parent, 0, qdisc.kind, options)
        return body + qdisc.counted.statistics(qdisc.kind)

    def class_messages(self, parent: int) -> Iterator[tuple[int, bytes]]:
        """Each class of a qdisc."""
        for htb in self.classes.values():
            if htb.handle & 0xFFFF0000 == parent & 0xFFFF0000 or not parent:
                yield RTM_NEWTCLASS, self.class_body(htb)

    def class_body(self, htb: HtbClass) -> bytes:
        """One class's message."""
        rate, ceil = (
            (0, 1, htb.number["overhead"], 0, htb.number["mpu"], min(one, 2**32 - 1)) for one in (htb.rate, htb.ceil)
        )
        numbers = (htb.number[name] for name in ("buffer", "cbuffer", "quantum"))
        parms = _HTB_OPTIONS.pack(*rate, *ceil, *numbers, htb.level, htb.number["prio"])
        options = attribute(TCA_HTB_PARMS, parms)
        for kind, wide in ((TCA_HTB_RATE64, htb.rate), (TCA_HTB_CEIL64, htb.ceil)):
            if wide >= 2**32:
                options += attribute(kind, _U64.pack(wide))
        return _encoded(self.index, htb.handle, htb.parent or TC_H_ROOT, 0, "htb", options)

    def filter_messages(self, parent: int) -> Iterator[tuple[int, bytes]]:
        """Each filter at a qdisc; the head of a list of them goes before."""
        try:
            parent = self._block(parent)
        except RefusedError:
            return
        for kind, info in dict.fromkeys((one.kind, one.info) for one in self.filters if one.parent == parent):
            yield RTM_NEWTFILTER, _encoded(self.index, 0, parent, info, kind, None)
            if kind == "u32":
                table = attribute(TCA_U32_DIVISOR, _U32.pack(1))
                yield RTM_NEWTFILTER, _encoded(self.index, 0x80000000, parent, info, kind, table)
            for one in self.filters:
                if (one.parent, one.kind, one.info) == (parent, kind, info):
                    yield RTM_NEWTFILTER, self.filter_body(one)

    def filter_body(self, one: Filter) -> bytes:
        """One filter's message."""
        return _encoded(self.index, one.handle, one.parent, one.info, one.kind, one.options)


def _decoded(request: Message) -> Any:
    said = tcmsg(request.frame)
    said.decode()
    return said


def _options(request: Message) -> bytes:
    return attributes(request.body[20:]).get(TCA_OPTIONS, b"")


@cache
def _encoded(index: int, handle: int, parent: int, info: int, kind: str, options: bytes | None) -> bytes:
    """A tcmsg; its options as bytes, since pyroute2 does not write all of them back as they were."""
    said = tcmsg()
    for name, value in (("index", index), ("handle", handle), ("parent", parent), ("info", info)):
        said[name] = value
    said["attrs"] = [("TCA_KIND", kind)]
    said.encode()
    return bytes(said.data[16:]) + (attribute(TCA_OPTIONS | 0x8000, options) if options is not None else b"")


def _htb(options: bytes, _: dict[int, bytes] | None = None) -> dict[int, bytes]:
    init = attributes(options).get(TCA_HTB_INIT, b"")
    if len(init) != 20 or _U32.unpack_from(init)[0] != 3:
        raise RefusedError(errno.EINVAL, "HTB, version 3 is wanted")
    return {TCA_HTB_INIT: init}


def _fq_codel(options: bytes, before: dict[int, bytes] | None = None) -> dict[int, bytes]:
    settings = before or {kind: _U32.pack(value) for kind, value in FQ_CODEL_DEFAULTS.items()}
    for kind, value in attributes(options).items():
        (number,) = _U32.unpack(value)
        if kind == TCA_FQ_CODEL_FLOWS and not 0 < number <= 65536:
            raise RefusedError(errno.EINVAL)
        if kind in {TCA_FQ_CODEL_TARGET, TCA_FQ_CODEL_INTERVAL}:
            number = ((number * 1000 >> 10) << 10) // 1000  # kept in units of 1,024 ns
        if kind == TCA_FQ_CODEL_QUANTUM:
            number = max(number, 256)
        settings = settings | {kind: _U32.pack(number)}
    return settings


def _cake(options: bytes, before: dict[int, bytes] | None = None) -> dict[int, bytes]:
    said = attributes(options)
    if len(said.get(TCA_CAKE_BASE_RATE64, bytes(8))) != 8:
        raise RefusedError(errno.ERANGE, "Attribute failed policy validation")
    return {**(before or {TCA_CAKE_BASE_RATE64: bytes(8)}), **said}


def _tbf(options: bytes, before: dict[int, bytes] | None = None) -> dict[int, bytes]:
    said = attributes(options)
    if TCA_TBF_PARMS not in said:
        raise RefusedError(errno.EINVAL)
    return {kind: said[kind] for kind in (TCA_TBF_PARMS, TCA_TBF_RATE64) if kind in said}


def _pfifo(options: bytes, before: dict[int, bytes] | None = None) -> dict[int, bytes]:
    return {0: options if len(options) == 4 else _U32.pack(1000)}


def _ingress(options: bytes, before: dict[int, bytes] | None = None) -> dict[int, bytes]:
    return {}


_CREATE = {"htb": _htb, "fq_codel": _fq_codel, "cake": _cake, "tbf": _tbf, "pfifo": _pfifo, "ingress": _ingress}
