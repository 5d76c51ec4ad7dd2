"""What this router itself lost: what it makes of a fault that would else be the line's or the cloud's."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from dcedge.monitor.health.facts import Facts, OwnLoss
from dcedge.monitor.health.rules.lateness import judged_by_packets
from dcedge.monitor.health.verdict import Side, Verdict


class _Cause(NamedTuple):
    """What a counter of the kernel's means (its Documentation/networking/statistics.rst)."""

    text: str
    side: Side
    advice: str


_RING = _Cause(
    "{where} dropped {lost:,} of {of:,} frames: its receive ring was full",
    "customer",
    "Enlarge the ring (`ethtool -g {where}`, then `-G {where} rx N`), and spread its interrupts over the processors.",
)
_BROKEN = _Cause(
    "{lost:,} of {of:,} frames came in broken at {where}",
    "line",
    "Clean the connectors and reseat the transceiver at both ends; have the fibre measured.",
)
_CAUSES = {
    "rx_missed_errors": _RING,
    "rx_over_errors": _RING,
    "rx_fifo_errors": _RING,
    "rx_crc_errors": _BROKEN,
    "rx_frame_errors": _BROKEN,
    "tx_fifo_errors": _Cause(
        "{where} failed to send {lost:,} of {of:,} frames: its memory came too late for it",
        "customer",
        "See that {where} sits in a slot with all the PCIe lanes that it needs (`lspci -vv`: LnkSta).",
    ),
    "tx_carrier_errors": _Cause(
        "{where} lost its carrier while it sent {lost:,} of {of:,} frames",
        "line",
        "Reseat the transceiver and the cable; look in the kernel's log for resets of the card.",
    ),
    "dropped": _Cause(
        "{where} dropped {lost:,} of {of:,} received packets: the kernel's backlog was full",
        "customer",
        "Raise net.core.netdev_max_backlog, and spread the ports' interrupts over the processors.",
    ),
    "time_squeeze": _Cause(
        "{where} came too late to what it received: its time for it ended {lost:,} times in {of:,} packets",
        "customer",
        "Raise net.core.netdev_budget and netdev_budget_usecs, and spread the ports' interrupts over the processors.",
    ),
}


def lost_itself(facts: Facts, verdict: Verdict) -> Verdict:
    """The verdict, with what this router itself lost where that may be the reason, and on that side."""
    if not facts.own_losses or not judged_by_packets(verdict):
        return verdict
    worst = facts.own_losses[0]
    return replace(verdict, reason=f"{verdict.reason}; but {in_words(worst)}", side=_CAUSES[worst.counter].side)


def in_words(loss: OwnLoss) -> str:
    """What was lost, where and why, with the kernel's name of the counter."""
    said = _CAUSES[loss.counter].text.format(where=loss.where, lost=loss.lost, of=loss.of)
    return f"{said} ({loss.counter})"


def advice(loss: OwnLoss) -> str:
    """What to do about it."""
    return _CAUSES[loss.counter].advice.format(where=loss.where)
