"""What is said of one virtual interface: its state, the reason, and where the fault is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["up", "degraded", "down", "drained", "pending"]
STATES: tuple[State, ...] = ("up", "degraded", "down", "drained", "pending")
# From the order and this router's port up to what crosses the line, as `explain` walks them.
Layer = Literal[
    "order", "port", "light", "carrier", "lacp", "link", "frames", "neighbour", "ping", "mtu", "frr", "tcp", "md5",
    "open", "bgp", "bfd", "prefixes", "forwarding", "rate", "none",
]  # fmt: skip
Side = Literal["customer", "line", "cloud", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one virtual interface; `layer` and `side` say where the fault is, where there is one."""

    state: State
    reason: str
    layer: Layer = "none"
    side: Side = "unknown"

    @property
    def carries(self) -> bool:
        """Whether the virtual interface carries traffic, be it badly."""
        return self.state in {"up", "degraded"}
