"""What the control socket answers to each verb, and `--json` prints of a change. The shapes are stable.

Rates in bits a second, durations in seconds. What is asked for by GET is in `document.py`, `overview.py` and
`detail.py`.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from dcedge.api.status import TransitionDocument
from dcedge.plan.diff import Action
from dcedge.plan.resource import Disruption


class ChangeDocument(TypedDict):
    """One attribute of an operation."""

    attribute: str
    before: str
    after: str
    disruption: Disruption


class OperationDocument(TypedDict):
    """One operation of a plan; `affects` names the virtual interfaces that feel it."""

    action: Action
    kind: str
    name: str
    description: str
    changes: list[ChangeDocument]
    reason: str
    disruption: Disruption
    affects: list[str]
    refusal: str  # why it is not done; empty where it is


class PlanDocument(TypedDict):
    """A plan, and what is to be said beside it."""

    operations: list[OperationDocument]
    disruption: Disruption
    notes: list[str]


class FailureDocument(TypedDict):
    """An operation that did not succeed, and why."""

    action: Action
    kind: str
    name: str
    text: str
    affects: list[str]


class AppliedReply(TypedDict):
    """To `apply`, `reload` and `rollback`: what was done, and what could not be.

    `rolled_back`: an operation failed, and the order before is in force again. `confirm_seconds`: how long the order is
    in force unless it is confirmed.
    """

    complete: bool
    duration_seconds: float
    done: PlanDocument
    failures: list[FailureDocument]
    notes: list[str]
    rolled_back: NotRequired[bool]
    confirm_seconds: NotRequired[float]


class DrainedReply(AppliedReply):
    """To `drain` and `undrain`: the virtual interfaces that were meant, and which of them changed.

    `undone`: it is not in force there yet. `static`: no session tells the cloud of it. `quiet_bps`: what each carries
    at most where no traffic is left.
    """

    virtual_interfaces: list[str]
    changed: list[str]
    undone: list[str]
    static: list[str]
    quiet_bps: dict[str, int]


class ConfirmedReply(TypedDict):
    """To `confirm`: the contents of the order that was waiting, and what a restart would not know of it."""

    confirmed: bool
    order: str
    notes: list[str]


class CredentialsReply(TypedDict):
    """To `credentials`: how many were taken."""

    credentials: int


class OrderReply(TypedDict):
    """To `order`: the contents of the one in force."""

    order: str


class HistoryReply(TypedDict):
    """To `history`: the verdict's transitions of one virtual interface in the last day, oldest first."""

    transitions: list[TransitionDocument]
