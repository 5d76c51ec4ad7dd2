"""The tree of a rate that several share, on the device that owns it. Pure.

    dce:     HTB root
     dce:1    the whole: a rate that is ordered, or what a port's wire has
      dce:2    control packets, as the virtual interfaces' own shapers mark them
      dce:10   a part of the whole that some share among themselves: from 10 upwards
      dce:1065 one class a VLAN (here 101), below the whole or such a part

What no class is for passes unshaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dcedge.kernel.queue.classify import Classifier
from dcedge.kernel.queue.shaping import (
    CONTROL_SHARE,
    INNER_QUANTUM,
    LENT_RATE_BYTES,
    WHOLE,
    HtbClass,
    Leaf,
    Tree,
    WireRate,
    burst_bytes,
    cut_bytes,
    frame_bytes,
    interface_classes,
    queue_parameters,
    ticks,
    wire_classes,
)

GROUP_MINORS = 0x10
SHARED_QUANTUM = 60_000  # of the fastest of those that share; the others' in proportion


@dataclass(frozen=True, slots=True)
class Share:
    """One of those that share a rate: the class that it has, the most that it may send, and what its queue needs.

    `group`: the number of the part of the whole that it shares with others, None where it shares the whole itself.
    """

    minor: int
    rate_bps: int
    mtu: int
    overhead: int
    queue: str
    group: int | None


def shared_tree(rate_bps: int, group_rates: tuple[int, ...], shares: Iterable[Share], classifier: Classifier) -> Tree:
    """The tree of an ordered rate.

    Each has its part of the whole for sure, in proportion to its own rate, less what control packets may take; what is
    idle is lent, up to its own rate.
    """
    shares = sorted(shares, key=lambda share: share.minor)
    mtu, overhead = max(share.mtu for share in shares), max(share.overhead for share in shares)
    rate, control, _ = interface_classes(rate_bps, mtu, overhead)
    classes = [rate, control]
    groups, parts = _sure_parts(rate_bps, group_rates, shares)
    for number, (ordered, part) in enumerate(zip(group_rates, groups, strict=True)):
        classes.append(_shared_class(GROUP_MINORS + number, WHOLE, part, min(ordered, rate_bps), mtu, overhead, 0))
    leaves = []
    for share, part in zip(shares, parts, strict=True):
        most = min(share.rate_bps, rate_bps, group_rates[share.group] if share.group is not None else rate_bps)
        quantum = _quantum(share, shares)
        classes.append(
            _shared_class(share.minor, _parent(share), min(part, most), most, share.mtu, share.overhead, quantum)
        )
        cut = 0 if share.queue == "cake" else cut_bytes(most, share.mtu, share.overhead)
        leaves.append(Leaf(share.minor, queue_parameters(share.queue, most, share.mtu), cut))
    return Tree(0, tuple(classes), tuple(leaves), classifier)


def wire_tree(wire: WireRate, group_rates: tuple[int, ...], shares: Iterable[Share], classifier: Classifier) -> Tree:
    """The tree of a port's wire, which does not bound what is shaped before: that has its own rate already.

    All is counted as it is on the wire, but for parts of the whole: theirs is an ordered rate. As what counts otherwise
    could be too much in sum, those have nothing for sure but by the classes below them. Each frame counts for itself.
    """
    shares = sorted(shares, key=lambda share: share.minor)
    mtu, overhead = max(share.mtu for share in shares), max(share.overhead for share in shares)
    whole, control = wire_classes(wire, mtu)
    classes = [whole, control]
    for number, ordered in enumerate(group_rates):
        classes.append(_shared_class(GROUP_MINORS + number, WHOLE, 8 * LENT_RATE_BYTES, ordered, mtu, overhead, 0))
    leaves = []
    for share, part in zip(shares, _sure_parts(wire.rate_bps, group_rates, shares)[1], strict=True):
        sure = max(1, min(part, share.rate_bps) // 8)
        classes.append(
            HtbClass(
                share.minor, _parent(share), sure, whole.ceil_bytes, ticks(2 * frame_bytes(share.mtu), sure),
                whole.ceil_burst_ticks, _quantum(share, shares), 1, wire.overhead, wire.mpu,
            )
        )  # fmt: skip
        cut = 0 if share.queue == "cake" else cut_bytes(wire.rate_bps, share.mtu, wire.overhead)
        leaves.append(Leaf(share.minor, queue_parameters(share.queue, wire.rate_bps, share.mtu), cut))
    return Tree(0, tuple(classes), tuple(leaves), classifier)


def _sure_parts(rate_bps: int, group_rates: tuple[int, ...], shares: list[Share]) -> tuple[list[int], list[int]]:
    """What each group and each share has for sure of what control packets leave, in bits a second."""
    sure = rate_bps - rate_bps // CONTROL_SHARE
    wanted = sum(share.rate_bps for share in shares if share.group is None) + sum(group_rates)
    groups = [min(part, sure * part // wanted) for part in group_rates]
    inside = [sum(share.rate_bps for share in shares if share.group == number) for number in range(len(group_rates))]
    return groups, [
        sure * share.rate_bps // wanted
        if share.group is None
        else groups[share.group] * share.rate_bps // inside[share.group]
        for share in shares
    ]


def _parent(share: Share) -> int:
    return WHOLE if share.group is None else GROUP_MINORS + share.group


def _quantum(share: Share, shares: list[Share]) -> int:
    """How much a class may send before its sibling's turn, in proportion to its rate."""
    weight = share.rate_bps / max(other.rate_bps for other in shares)
    return max(frame_bytes(share.mtu), int(weight * SHARED_QUANTUM))


def _shared_class(
    minor: int, parent: int, sure_bps: int, most_bps: int, mtu: int, overhead: int, quantum: int
) -> HtbClass:
    """A class with a rate for sure, and one that others may leave it; without a quantum it has children."""
    sure, most = max(1, sure_bps // 8), max(1, most_bps // 8)
    burst = burst_bytes(most_bps, mtu, overhead)
    return HtbClass(
        minor, parent, sure, most, ticks(2 * frame_bytes(mtu), sure), ticks(burst, most),
        quantum or INNER_QUANTUM, 1 if quantum else 0, overhead,
    )  # fmt: skip
