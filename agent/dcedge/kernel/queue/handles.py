"""The numbers by which queues and filters are known as ours."""

from __future__ import annotations

from dcedge.kernel.queue.shaping import CONTROL, SHARED_MINORS

HTB_MAJOR = 0x0DCE  # `dce:` in tc's notation: by this handle a root qdisc is known as ours
ROOT_HANDLE = HTB_MAJOR << 16
CONTROL_HANDLE = ROOT_HANDLE | CONTROL  # as a packet's priority, too: by it lower devices know a control packet
CONTROL_PCP = 6  # IEEE 802.1Q-2018, table I-2: internetwork control
# So high that a super-packet takes no nanosecond: where the bucket shrinks, longer ones that wait still come out.
SEGMENTER_RATE_BYTES = 10**15
CLASSIFIER_HANDLE, CLASSIFIER_PREFERENCE = 1, 1
REDIRECT_PREFERENCE = 0xDCE  # by it a filter on somebody's port is known as ours


def leaf_handle(minor: int) -> int:
    """The handle of a class's queue: `dc1:` on a virtual interface's own link, else as its class is numbered."""
    return (0x0DC1 if minor < SHARED_MINORS else minor) << 16


def shared_vlan(handle: int) -> int | None:
    """The VLAN ID of the class whose queue has this handle in a tree that is shared; None for another handle."""
    minor = handle >> 16
    return minor - SHARED_MINORS if SHARED_MINORS < minor < 2 * SHARED_MINORS and not handle & 0xFFFF else None


def segmenter_handle(minor: int) -> int:
    """The handle of what stands between a class and its queue."""
    return (0x0DC2 if minor < SHARED_MINORS else minor + SHARED_MINORS) << 16


def spare_handle(minor: int) -> int:
    """The handle of a queue that is about to have the one of another kind before it."""
    return (0x0DC3 if minor < SHARED_MINORS else minor + 2 * SHARED_MINORS) << 16
