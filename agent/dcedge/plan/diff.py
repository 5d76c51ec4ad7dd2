"""The plan: what takes the observed state to the intent. Pure: no socket, no clock, no file.

Rollback is the same function with its arguments swapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from dcedge.plan.resource import DISRUPTIONS, Change, Disruption, Key, Resource, State

Action = Literal["create", "change", "replace", "delete"]

_CHANGES_IN_BRIEF = 6


@dataclass(frozen=True, slots=True)
class Operation:
    """One step: what happens to one resource, why, and who feels it."""

    action: Action
    key: Key
    before: Resource | None
    after: Resource | None
    changes: tuple[Change, ...]
    reason: str
    disruption: Disruption
    affects: tuple[str, ...]

    @property
    def resource(self) -> Resource:
        """The resource as it will be, or as it was where it goes."""
        found = self.after if self.after is not None else self.before
        assert found is not None
        return found

    @property
    def refusal(self) -> str:
        """Why it is not done, and what helps; empty where it is done."""
        return next((change.refusal for change in self.changes if change.refusal), "")

    def describe(self) -> str:
        """The step in words."""
        return ", ".join(map(str, self.changes)) if self.changes else self.resource.describe()

    def brief(self) -> str:
        """The step in words, in one line of a log: of many changes the first few, and how many more."""
        more = len(self.changes) - _CHANGES_IN_BRIEF
        if more <= 0:
            return self.describe()
        return f"{', '.join(map(str, self.changes[:_CHANGES_IN_BRIEF]))} and {more} more"


@dataclass(frozen=True, slots=True)
class Plan:
    """Operations in the order in which they can be carried out."""

    operations: tuple[Operation, ...]

    def __bool__(self) -> bool:
        return bool(self.operations)

    @property
    def disruption(self) -> Disruption:
        """The worst that any operation does."""
        return worst(operation.disruption for operation in self.operations)


def worst(disruptions: Iterable[Disruption]) -> Disruption:
    """The gravest of several disruptions; `none` of none."""
    return max(disruptions, key=DISRUPTIONS.index, default="none")


def plan(intent: State, observed: State) -> Plan:
    """The operations that take `observed` to `intent`: deletions first, children before parents, then the rest upwards.

    Routes are deleted last.

    A resource whose parent goes (or is made anew) goes with it without an operation of its own, and is created again
    where the intent has it.
    """
    changes: dict[Key, tuple[Change, ...]] = {}
    gone: set[Key] = set()
    for key, resource in observed.items():
        intended = intent.get(key)
        if intended is None:
            gone.add(key)
        elif intended is not resource and (differences := intended.changes_from(resource)):
            changes[key] = differences
            if not all(change.in_place for change in differences):
                gone.add(key)
    cascade = _cascade(gone, observed)

    deletions = [
        Operation("delete", key, r, None, (), "not in the order", r.deletion, r.affects)
        for key in gone - cascade
        for r in (observed[key],)
        if key not in intent and not r.made_by_kernel
    ]
    deletions.sort(key=lambda operation: (-operation.resource.rank, operation.key))
    upwards: dict[int, list[Operation]] = {}
    depends_on: dict[Key, str] = {}  # one text for all that depends on a thing
    for key, intended in intent.items():
        present = observed.get(key)
        if present is None or key in cascade:
            if intended.made_by_kernel and (present is not None or intended.parent not in observed):
                continue
            above = _lost_with(key, intent, observed)
            reason = "missing" if above is None else depends_on.setdefault(above, f"depends on {above}")
            # What comes with its parent has had no traffic that it could disturb.
            harm = intended.creation if above is None else "none"
            operation = Operation("create", key, None, intended, (), reason, harm, intended.affects)
        elif key in changes:
            operation = _change(key, present, intended, changes[key], anew=key in gone)
        else:
            continue
        upwards.setdefault(intended.rank, []).append(operation)
    for rank in upwards.values():
        rank.sort(key=attrgetter("key"))
    made = (operation for rank in sorted(upwards) for operation in upwards[rank])
    last = [operation for operation in deletions if operation.resource.deleted_last]
    return Plan((*(o for o in deletions if not o.resource.deleted_last), *made, *last))


def _change(
    key: Key, present: Resource, intended: Resource, differences: tuple[Change, ...], *, anew: bool
) -> Operation:
    harm = worst(change.disruption for change in differences)
    if anew:
        harm = worst((present.deletion, harm))
        return Operation(
            "replace", key, present, intended, differences, "cannot be changed in place", harm, intended.affects
        )
    return Operation("change", key, present, intended, differences, "differs", harm, intended.affects)


def _lost_with(key: Key, intent: State, observed: State) -> Key | None:
    """The parent of what has to be made, where it is lost with that; None where it is missing itself."""
    above = intent[key].parent
    return above if key in observed or (above is not None and above in intent and above not in observed) else None


def _cascade(gone: set[Key], observed: Mapping[Key, Resource]) -> set[Key]:
    """The observed resources that vanish because an ancestor of theirs goes."""
    along: set[Key] = set()
    if not gone:
        return along
    for key in observed:
        parent = observed[key].parent
        while parent is not None:
            if parent in gone:
                along.add(key)
                break
            above = observed.get(parent)
            parent = above.parent if above is not None else None
    return along


def log_fields(operation: Operation) -> dict[str, str]:
    """What a line of the log about an operation has besides its text, as `extra`."""
    shown = ",".join(operation.affects[:_AFFECTED_LOGGED])
    return {
        "virtual_interface": shown if len(operation.affects) <= _AFFECTED_LOGGED else f"{shown},…",
        "action": operation.action,
        "resource": str(operation.key),
        "reason": operation.reason,
        "disruption": operation.disruption,
    }


_AFFECTED_LOGGED = 3
