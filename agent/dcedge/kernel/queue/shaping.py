"""The arithmetic of holding a rate: HTB's classes, the segmenter's and the queue's settings, from rate and MTU. Pure.

A virtual interface's tree on its own link:

    dce:    HTB root
     dce:1   the ordered rate, which bounds all below
      dce:2   the router's own control packets: served first (what goes here: `classify`)
      dce:3   everything else
       dc2:    the segmenter: super-packets into frames, where they would be too long a burst or be counted wrongly
        dc1:    the queue

Both leaves borrow from `dce:1`, so that together they never exceed it. Their own ceilings are far above: with a second
gate at the same rate the kernel would set two timers for each frame where one is enough.

HTB counts Ethernet frame bytes: 14 bytes of header before the payload, no tag, no FCS, and `overhead` once a packet. A
GSO super-packet of 64 KiB is one packet to it: at 10 Mbit/s that is 52 ms of the wire at once, and one overhead for 44
frames. So what lasts longer than 1 ms, or has overhead a frame, is cut before it is counted, by a TBF (tc-tbf(8)),
which cuts what is longer than its bucket, and whose own rate is beyond any machine. Shorter ones pass whole: a timer
each is cheaper than one for each of their frames.

Where the wire of a port is what bounds (`wire`), `dce:1` stands just below that, and counts what frames take there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pyroute2.netlink.rtnl.tcmsg.sched_cake import CAKE_DIFFSERV_BESTEFFORT, CAKE_FLOW_TRIPLE

from dcedge.kernel.queue.classify import Classifier

ETHERNET_HEADER_BYTES = 14
TICK_NS = 64  # PSCHED_SHIFT in the kernel; the unit of every burst that tc's interface carries
SUPER_PACKET_BYTES = 64 * 1024  # GSO_MAX_SIZE
SUPER_PACKET_SECONDS = 0.001  # how long one may hold the wire; beyond it, it is cut
UNCUT_BYTES = 128 * 1024  # no super-packet is longer, headers of all its frames included
TAGS_BYTES = 8  # a frame may have two tags inside by the time it is queued (IEEE 802.1ad)
BURST_BYTES = 64 * 1024  # below it the timer's granularity costs throughput
BURST_SECONDS = 0.001
POLICER_SECONDS = 0.004  # the burst that a provider's policer forgives
JITTER_SECONDS = 0.001  # of it, left for what moves together on the way
QUANTUM_MAX = 200_000  # the kernel warns above it
INNER_QUANTUM = 1514  # of a class with children, which has no turns and keeps what it was born with
CONTROL_SHARE = 8  # the part of the rate that control packets have before they wait for what is left of the whole
CONTROL_BURST_BYTES = 256  # a few of BFD's packets, and too little for a policer to mind
LENT_RATE_BYTES = 1  # of a class that lives on what is lent: HTB wants something, and sends that beyond the whole
LEAF_CEILING = 8  # times the rate that bounds both leaves
CODEL_TARGET_US = 5_000  # RFC 8290, section 5.2.1
CODEL_INTERVAL_US = 100_000
FQ_CODEL_QUANTUM_MIN = 256  # the kernel takes no less
WIRE_BURST_SECONDS = 0.001  # a card's queue may be short: no more than it sends in that time is handed to it at once
QUEUE_SECONDS = 0.2  # the longest a full queue may stand before CoDel has had time to act
PLAIN_QUEUE_SECONDS = 0.05
PLAIN_QUEUE_PACKETS = (20, 1000)

UNKNOWN = "another"  # a queue that is not ours, whatever its kind

_ALIKE = 256  # so many kinds of virtual interfaces are worked out once only

# Class numbers (minors) of the tree on a virtual interface's own link.
WHOLE, CONTROL, DATA = 1, 2, 3
SHARED_MINORS = 0x1000  # in a tree that is shared, of one class a VLAN


@dataclass(frozen=True, slots=True)
class HtbClass:
    """An HTB class. Rates in bytes a second as the kernel wants them, bursts in ticks of 64 ns; `parent` 0 is the root.

    A lower `priority` is served first. `overhead`: bytes a packet; `mpu`: what a packet counts at least (tc-stab(8)).
    """

    minor: int
    parent: int
    rate_bytes: int
    ceil_bytes: int
    burst_ticks: int
    ceil_burst_ticks: int
    quantum: int
    priority: int
    overhead: int
    mpu: int = 0


@dataclass(frozen=True, slots=True)
class WireRate:
    """What a port may send, counted as on the wire: a packet has `overhead` bytes more there, and `mpu` at least."""

    rate_bps: int
    overhead: int
    mpu: int


@dataclass(frozen=True, slots=True)
class QueueParameters:
    """A leaf queue: its kind, and its settings as the kernel reads them back."""

    kind: str
    settings: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a class holds: its queue, and the length beyond which a packet is cut on the way in (0: no segmenter)."""

    minor: int
    queue: QueueParameters | None
    cut_bytes: int


@dataclass(frozen=True, slots=True)
class Tree:
    """All that holds a rate on one device. Classes in order of their minors, so each after its parent."""

    default: int
    classes: tuple[HtbClass, ...]
    leaves: tuple[Leaf, ...]
    classifier: Classifier | None

    @property
    def shared(self) -> bool:
        """Whether it is one of `shared_tree`, which lets pass what it has no class for."""
        return self.default == 0

    @property
    def on_wire(self) -> bool:
        """Whether it counts what frames take on the wire, and stays below what that has."""
        return bool(self.classes and self.classes[0].mpu)


def frame_bytes(mtu: int) -> int:
    """The largest frame at an MTU, as HTB counts it."""
    return mtu + ETHERNET_HEADER_BYTES


def cut_bytes(rate_bps: int, mtu: int, overhead: int) -> int:
    """The longest packet that the segmenter lets pass whole; it stands there at every rate, so that a change of the
    rate loses nothing.

    Overhead is counted once a packet: where there is any, each frame has to be one.
    """
    frame = frame_bytes(mtu) + TAGS_BYTES
    if overhead != 0:
        return frame
    longest = rate_bps * SUPER_PACKET_SECONDS / 8
    return UNCUT_BYTES if longest >= SUPER_PACKET_BYTES else max(frame, int(longest))


def packet_bytes(rate_bps: int, mtu: int, overhead: int = 0) -> int:
    """The longest packet that HTB sends as one."""
    return min(cut_bytes(rate_bps, mtu, overhead), SUPER_PACKET_BYTES)


def burst_bytes(rate_bps: int, mtu: int, overhead: int = 0) -> int:
    """1 ms of the rate or 64 KiB, but with the packet on top within what a policer forgives; at least two frames."""
    rate_bytes = rate_bps / 8
    packet = packet_bytes(rate_bps, mtu, overhead)
    wished = max(BURST_BYTES, rate_bytes * BURST_SECONDS)
    return int(max(2 * frame_bytes(mtu), min(wished, rate_bytes * (POLICER_SECONDS - JITTER_SECONDS) - packet)))


def ticks(size: int, rate_bytes: int) -> int:
    """The time that `size` bytes take at a rate, in the kernel's ticks."""
    return min(size * 1_000_000_000 // rate_bytes // TICK_NS, 0xFFFF_FFFF)


def quantum_of(burst: int, mtu: int) -> int:
    """How much a class may send before its sibling's turn."""
    return max(frame_bytes(mtu), min(burst, QUANTUM_MAX))


@lru_cache(_ALIKE)
def interface_classes(rate_bps: int, mtu: int, overhead: int) -> tuple[HtbClass, ...]:
    """The classes that hold `rate_bps` (bits a second) for frames of up to `mtu` bytes of payload."""
    rate = max(1, rate_bps // 8)
    burst = burst_bytes(rate_bps, mtu, overhead)
    whole, quantum = ticks(burst, rate), quantum_of(burst, mtu)
    ceiling = rate * LEAF_CEILING
    control, lent = max(1, rate // CONTROL_SHARE), LENT_RATE_BYTES
    return (
        HtbClass(WHOLE, 0, rate, rate, whole, whole, INNER_QUANTUM, 0, overhead),
        HtbClass(CONTROL, WHOLE, control, ceiling, ticks(CONTROL_BURST_BYTES, control), whole, quantum, 0, overhead),
        HtbClass(DATA, WHOLE, lent, ceiling, ticks(frame_bytes(mtu), lent), whole, quantum, 1, overhead),
    )


@lru_cache(_ALIKE)
def wire_classes(wire: WireRate, mtu: int) -> tuple[HtbClass, HtbClass]:
    """The class that keeps a port below its wire, and below it the one of control packets."""
    rate = max(1, wire.rate_bps // 8)
    burst = wire_burst_bytes(wire, mtu)
    whole, control, quantum = ticks(burst, rate), max(1, rate // CONTROL_SHARE), quantum_of(burst, mtu)
    own = ticks(CONTROL_BURST_BYTES, control)
    counted = wire.overhead, wire.mpu
    return (
        HtbClass(WHOLE, 0, rate, rate, whole, whole, INNER_QUANTUM, 0, *counted),
        HtbClass(CONTROL, WHOLE, control, rate * LEAF_CEILING, own, whole, quantum, 0, *counted),
    )


def wire_burst_bytes(wire: WireRate, mtu: int) -> int:
    """What may go to a card at once, before the frame with which that is used up."""
    return max(frame_bytes(mtu) + wire.overhead, int(wire.rate_bps / 8 * WIRE_BURST_SECONDS))


def codel_time(microseconds: int) -> int:
    """A CoDel time as the kernel reads it back: it counts in units of 1,024 ns."""
    return ((microseconds * 1000) >> 10 << 10) // 1000


def codel_times(rate_bps: int, mtu: int) -> tuple[int, int]:
    """Target and interval in µs: the target never below one and a half frames' time on the wire (RFC 8290)."""
    frame_us = frame_bytes(mtu) * 8 * 1_000_000 // rate_bps
    target = max(CODEL_TARGET_US, frame_us * 3 // 2)
    return target, max(CODEL_INTERVAL_US, target * 10)


def queue_memory(rate_bps: int) -> int:
    """The bytes that a queue may take up in memory, where a small packet takes four times its size and more."""
    return min(32 << 20, max(1 << 20, int(rate_bps / 8 * QUEUE_SECONDS * 4)))


def fq_codel_parameters(rate_bps: int, mtu: int) -> QueueParameters:
    """fq_codel sized to a rate."""
    target, interval = codel_times(rate_bps, mtu)
    return QueueParameters(
        "fq_codel",
        (
            ("target", codel_time(target)),
            ("limit", 10_240),
            ("interval", codel_time(interval)),
            ("ecn", 1),
            ("flows", 1024),
            ("quantum", max(FQ_CODEL_QUANTUM_MIN, frame_bytes(mtu))),
            ("memory_limit", queue_memory(rate_bps)),
        ),
    )


def cake_parameters(rate_bps: int, mtu: int) -> QueueParameters:
    """cake as a queue below the shaper: no rate of its own, one tin, fair between hosts and then between flows.

    It cuts super-packets itself.
    """
    target, interval = codel_times(rate_bps, mtu)
    return QueueParameters(
        "cake",
        (
            ("rate", 0),
            ("diffserv", CAKE_DIFFSERV_BESTEFFORT),
            ("flows", CAKE_FLOW_TRIPLE),
            ("rtt", interval),
            ("target", target),
            ("memory", queue_memory(rate_bps)),
            ("split_gso", 1),
        ),
    )


def pfifo_parameters(rate_bps: int, mtu: int) -> QueueParameters:
    """A plain queue of at most 50 ms at the rate, between 20 and 1,000 packets."""
    least, most = PLAIN_QUEUE_PACKETS
    packets = int(rate_bps / 8 * PLAIN_QUEUE_SECONDS / frame_bytes(mtu))
    return QueueParameters("pfifo", (("limit", max(least, min(most, packets))),))


@lru_cache(_ALIKE)
def queue_parameters(kind: str, rate_bps: int, mtu: int) -> QueueParameters:
    """The queue of that kind."""
    size = {"fq_codel": fq_codel_parameters, "cake": cake_parameters}.get(kind, pfifo_parameters)
    return size(rate_bps, mtu)


def interface_tree(rate_bps: int, mtu: int, overhead: int, queue: str, classifier: Classifier) -> Tree:
    """The tree that holds the rate of one virtual interface on its own link."""
    leaves = _interface_leaves(rate_bps, mtu, overhead, queue)
    return Tree(DATA, interface_classes(rate_bps, mtu, overhead), leaves, classifier)


def interface_tree_on_wire(
    rate_bps: int, mtu: int, overhead: int, queue: str, classifier: Classifier, wire: WireRate
) -> Tree:
    """The same on a port that it has for itself and whose wire it can fill: below the wire, and within its own rate."""
    rate, lent = max(1, rate_bps // 8), LENT_RATE_BYTES
    burst = burst_bytes(rate_bps, mtu, wire.overhead)
    within = ticks(frame_bytes(mtu), lent), ticks(burst, rate), quantum_of(burst, mtu)
    data = HtbClass(DATA, WHOLE, lent, rate, *within, 1, overhead)
    return Tree(
        DATA, (*wire_classes(wire, mtu), data), _interface_leaves(rate_bps, mtu, wire.overhead, queue), classifier
    )


@lru_cache(_ALIKE)
def _interface_leaves(rate_bps: int, mtu: int, overhead: int, queue: str) -> tuple[Leaf, ...]:
    cut = 0 if queue == "cake" else cut_bytes(rate_bps, mtu, overhead)
    return (Leaf(DATA, queue_parameters(queue, rate_bps, mtu), cut),)
