"""What this router itself lost, as plain JSON values."""

from __future__ import annotations

from typing import TypedDict

from dcedge.monitor.health.facts import OwnLoss


class OwnLossDocument(TypedDict):
    """What was lost in the last minute: at a port or on the router as a whole, by the kernel's name of the counter."""

    where: str
    counter: str
    lost: int
    of: int


def own_loss_json(loss: OwnLoss) -> OwnLossDocument:
    """One loss."""
    return {"where": loss.where, "counter": loss.counter, "lost": loss.lost, "of": loss.of}
