"""This router's own lateness: what it makes of a fault that would else be the line's or the cloud's."""

from __future__ import annotations

from dataclasses import replace

from dcedge.monitor.health.facts import Facts
from dcedge.monitor.health.verdict import Layer, Verdict
from dcedge.order.field_types import Seconds

# What is judged by packets that must come in time. What the cloud says in so many words is not.
# Less than that lets no packet of BFD at its usual 300 ms times 3, and no probe, come too late.
EXPLAINS: Seconds = 0.9
_BY_TIME: frozenset[Layer] = frozenset({"bfd", "ping", "tcp", "rate"})
ADVICE = (
    "Find what uses the processors (`top`, `cat /proc/pressure/cpu`), or give FRR and the agent a higher CPUWeight=."
)


def late_itself(facts: Facts, verdict: Verdict) -> Verdict:
    """The verdict, on this router's side where its own lateness may be the reason."""
    if facts.router_late < EXPLAINS or not judged_by_packets(verdict):
        return verdict
    return replace(verdict, reason=f"{verdict.reason}; {lateness(facts.router_late)}", side="customer")


def judged_by_packets(verdict: Verdict) -> bool:
    """Whether a verdict rests on packets that did not come, or not in time."""
    return verdict.layer in _BY_TIME


def lateness(waited: Seconds) -> str:
    """How late this router was, in words."""
    return f"but this router was late itself: its processes waited {waited * 1000:.0f} ms in a second for a processor"
