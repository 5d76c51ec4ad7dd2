"""From what FRR has to what it should have, as the shortest text that FRR can load. Pure.

Up: definitions (BFD profiles, prefix-lists, route-maps), the routers, the neighbours, their families. A new
neighbour is shut down until all of it is there. Down: whole neighbours first, definitions last, since FRR keeps
a neighbour going with a route-map that is gone, and a missing prefix-list matches nothing.
A line that sets what another line set before replaces it; only what has no successor is undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dcedge.frr.config import ConfigLine, render_lines
from dcedge.frr.grammar import DEFINITIONS, NEIGHBOR, meaning, slot_of
from dcedge.frr.resources import FrrBlock
from dcedge.plan.diff import Operation
from dcedge.plan.resource import Key, State

Place = tuple[tuple[str, ...], str]
# Prefix-lists are committed one by one, so they come while little else is there to commit; route-maps all at once.
_KINDS = {"ip": 0, "ipv6": 0, "bgp": 1, "bfd": 2, "route-map": 3}


def blocks_of(state: State) -> dict[Key, FrrBlock]:
    """The FRR blocks among the resources."""
    return {key: resource for key, resource in state.items() if isinstance(resource, FrrBlock)}


def delta(operations: Iterable[Operation], done: Iterable[Operation] = ()) -> str:
    """The text that carries out the plan's FRR operations; the others are not looked at. Empty: nothing to do.

    What went along with the contexts that the operations `done` have removed is not undone again: to name such a
    context would make it anew.
    """
    before: set[ConfigLine] = set()
    after: set[ConfigLine] = set()
    for operation in operations:
        if isinstance(operation.before, FrrBlock):
            before.update(operation.before.lines)
        if isinstance(operation.after, FrrBlock):
            after.update(operation.after.lines)
    gone = {
        (*line.path, line.text)
        for operation in done
        if operation.after is None and isinstance(operation.before, FrrBlock)
        for line in operation.before.lines
    }
    return line_delta((line for line in before if not _stands_in(line, gone)), after)


def block_delta(observed: Mapping[Key, FrrBlock], intended: Mapping[Key, FrrBlock]) -> str:
    """The text that takes all of `observed` to all of `wanted`."""
    return line_delta(
        {line for block in observed.values() for line in block.lines},
        {line for block in intended.values() for line in block.lines},
    )


def line_delta(before: Iterable[ConfigLine], after: Iterable[ConfigLine]) -> str:
    """The text that turns the lines `before` into the lines `after`."""
    had, wants = set(before), set(after)
    made = {slot_of(line): line for line in wants - had}
    kept = {slot_of(line) for line in wants & had}
    undone = [line for line in had - wants if slot_of(line) not in made and slot_of(line) not in kept]
    new_peers = {
        _peer_place(line)
        for line in made.values()
        if " remote-as " in line.text and not any(_same_slot(line, old) for old in had)
    }
    vanished = _vanished(undone)
    undone = [line for line in undone if not _goes_along(line, vanished)]
    first = [line for line in undone if meaning(line.text).stage != DEFINITIONS]
    last = [line for line in undone if meaning(line.text).stage == DEFINITIONS]
    wanted_shut = {_peer_place(line) for line in wants if line.text.endswith(" shutdown")}
    upwards: list[ConfigLine] = []
    for line in sorted(sorted(made.values()), key=_upwards):
        upwards.append(line)
        if " remote-as " in line.text and _peer_place(line) in new_peers - wanted_shut:
            upwards.append(ConfigLine(line.path, f"neighbor {meaning(line.text).peer} shutdown"))
    opened = [ConfigLine(path, f"no neighbor {peer} shutdown") for path, peer in sorted(new_peers - wanted_shut)]
    return render_lines(
        [
            *(_undo(line) for line in sorted(first, key=_downwards)),
            *upwards,
            *opened,
            *(_undo(line) for line in sorted(last, key=_downwards)),
        ]
    )


def _same_slot(line: ConfigLine, other: ConfigLine) -> bool:
    return line.path == other.path and meaning(line.text).slot == meaning(other.text).slot


def _peer_place(line: ConfigLine) -> Place:
    return line.path[:1], meaning(line.text).peer


def _vanished(undone: Iterable[ConfigLine]) -> tuple[set[tuple[str, ...]], set[Place]]:
    """The contexts and the neighbours that go as a whole."""
    contexts = {(*line.path, line.text) for line in undone}
    peers = {_peer_place(line) for line in undone if " remote-as " in line.text}
    return contexts, peers


def _stands_in(line: ConfigLine, contexts: set[tuple[str, ...]]) -> bool:
    return any(line.path[:depth] in contexts for depth in range(1, len(line.path) + 1))


def _goes_along(line: ConfigLine, vanished: tuple[set[tuple[str, ...]], set[Place]]) -> bool:
    contexts, peers = vanished
    if _stands_in(line, contexts):
        return True
    # `no neighbor X bfd` takes the profile with it.
    if " bfd profile " in line.text and (*line.path, f"neighbor {meaning(line.text).peer} bfd") in contexts:
        return True
    return bool(meaning(line.text).peer) and " remote-as " not in line.text and _peer_place(line) in peers


def _upwards(line: ConfigLine) -> tuple[int, int, tuple[str, ...], str, int]:
    told = meaning(line.text)
    if told.stage == DEFINITIONS:
        # A context's lines right after what opens it.
        nested = (*line.path, line.text)
        return (told.stage, _KINDS[nested[0].split(" ")[0]], nested, "", 0)
    # All of one neighbour's lines in a row; elsewhere what is used before what uses it.
    return (told.stage, 0 if told.peer else told.step, line.path, told.peer, told.step)


def _downwards(line: ConfigLine) -> tuple[int, int, tuple[str, ...], str]:
    told = meaning(line.text)
    whole_neighbor = told.stage == NEIGHBOR and told.step == 0
    return (0 if whole_neighbor else 1, -(told.stage * 10 + told.step), line.path, line.text)


def _undo(line: ConfigLine) -> ConfigLine:
    return ConfigLine(line.path, meaning(line.text).negation)
