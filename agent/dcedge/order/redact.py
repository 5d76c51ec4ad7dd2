"""An order as it may be handed on: what is shown is what belongs into an order, everything else is `***`.

Whoever writes a password into an order has it refused, and the file still holds it: under a misspelt key, in a
comment, in the place of `{credential: NAME}`. So a value is shown only where the order's schema knows its key there and
the value is of that type; with an alias, that goes for every place where it is used. Lines stay where they are, so that
messages about the order still point at them. From where a file is no YAML on it is left out, and so is what is deeper
or longer than any order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import yaml

from dcedge.logging.masking import MASK
from dcedge.order.load import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from dcedge.order.schema import order_schema

Span: TypeAlias = tuple[int, int]
# The schemas of what may stand at a place; none where nothing is known to stand there.
Place: TypeAlias = tuple[Mapping[str, Any], ...]

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}\Z")
_COMMENT = re.compile(r"#[^\r\n]*")
_NO_STRUCTURE = re.compile(r"[^\s:,?\[\]{}-]")
_LINE_BREAKS = re.compile(r"\r\n|\r|\n")
_OF_TYPE = {
    "string": re.compile(r"(?s).*\Z"),
    "integer": re.compile(r"[-+]?[0-9]+\Z"),
    "boolean": re.compile(r"(?i:true|false)\Z"),
    "null": re.compile(r"(?:~|(?i:null))?\Z"),
}


def redact(text: str) -> str:
    """The order's text with `***` for all that has no business in an order, and without comments."""
    text = text.removeprefix("\ufeff")  # which the parser does not count
    events, broken = _events(text) if len(text) <= MAX_BYTES else ([], 1)
    walk = _Walk(events)
    walk.whole()
    told, end = [], 0
    for start, stop in sorted(walk.shown | walk.hidden):
        told.append(_structure(text[end:start]))
        seen = (start, stop) not in walk.hidden
        told.append(text[start:stop] if seen else MASK + "".join(_LINE_BREAKS.findall(text[start:stop])))
        end = stop
    if broken is None:
        return "".join((*told, _structure(text[end:])))
    return "".join((*told, f"\n(from line {broken} on this is not an order: omitted)\n"))


def _structure(between: str) -> str:
    """What stands between values, less comments, tags, anchors and directives."""
    return _NO_STRUCTURE.sub("", _COMMENT.sub("", between))


def _events(text: str) -> tuple[list[yaml.Event], int | None]:
    """The events of the text, and the line up to which they go; None where that is the end."""
    loader = yaml.CSafeLoader(text)
    events: list[yaml.Event] = []
    depth = 0
    try:
        while (event := loader.get_event()) is not None:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH or len(events) > 2 * MAX_VALUES:
                assert event.start_mark is not None
                return events, event.start_mark.line + 1
            events.append(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return events, mark.line + 1 if mark is not None else 1
    finally:
        loader.dispose()
    return events, None


class _Walk:
    """Goes through the events and says what is shown and what is hidden; what is both is hidden."""

    def __init__(self, events: Sequence[yaml.Event]) -> None:
        self.shown: set[Span] = set()
        self.hidden: set[Span] = set()
        self._events = events
        self._at = 0
        self._targets = dict(_targets(events))
        self._used: list[tuple[int, Place]] = []  # anchors, by the event that has them, and where aliases put them
        self._seen: set[tuple[int, tuple[int, ...]]] = set()

    def whole(self) -> None:
        """Everything, and what is aliased once more for each type of place that it is put in."""
        root = (_schema(),)
        while self._at < len(self._events):
            event = self._events[self._at]
            if isinstance(event, yaml.NodeEvent):
                self._node(root)
                continue
            if isinstance(event, yaml.DocumentEndEvent) and event.explicit:
                self.shown.add(_span(event))  # `...`: whether an order has it decides whether it may be a cut one
            self._at += 1
        while self._used:
            target, place = self._used.pop()
            key = target, tuple(map(id, place))
            if key not in self._seen:
                self._seen.add(key)
                self._at = target
                self._node(place)

    def _node(self, place: Place) -> None:
        event = self._events[self._at]
        place = tuple(_alternatives(place))
        self._at += 1
        if isinstance(event, yaml.ScalarEvent):
            self._tell(event, known=_fits(event, place))
        elif isinstance(event, yaml.AliasEvent):
            self._tell(event, known=bool(place))
            if (target := self._targets.get(self._at - 1)) is not None:
                self._used.append((target, place))
        elif isinstance(event, yaml.MappingStartEvent) and (
            maps := tuple(schema for schema in place if schema.keys() & {"properties", "patternProperties"})
        ):
            self._mapping(maps)
        elif isinstance(event, yaml.SequenceStartEvent) and (
            items := tuple(schema["items"] for schema in place if "items" in schema)
        ):
            while (item := self._peek()) is not None and not isinstance(item, yaml.SequenceEndEvent):
                self._node(items)
            self._at += 1
        else:
            self._skip()

    def _mapping(self, place: Place) -> None:
        while (key := self._peek()) is not None and not isinstance(key, yaml.MappingEndEvent):
            if isinstance(key, yaml.ScalarEvent):
                self._at += 1
                below = tuple(_below(place, key.value))
                self._tell(key, known=bool(below) or (_KEY.match(key.value) is not None and self._has_value()))
            else:
                below = ()
                self._node(())
            if self._peek() is not None:
                self._node(below)
        self._at += 1

    def _has_value(self) -> bool:
        """Whether something stands under the key that was just passed; else the secret may be where the key should."""
        value = self._peek()
        return value is not None and not (isinstance(value, yaml.ScalarEvent) and _span(value)[0] == _span(value)[1])

    def _skip(self) -> None:
        """Hide the rest of a map or a list."""
        depth = 1
        while depth and (event := self._peek()) is not None:
            if isinstance(event, yaml.AliasEvent):
                self._node(())
                continue
            if isinstance(event, yaml.ScalarEvent):
                self._tell(event, known=False)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            self._at += 1

    def _peek(self) -> yaml.Event | None:
        return self._events[self._at] if self._at < len(self._events) else None

    def _tell(self, event: yaml.Event, *, known: bool) -> None:
        start, stop = _span(event)
        if start < stop:
            (self.shown if known else self.hidden).add((start, stop))


@cache
def _schema() -> Mapping[str, Any]:
    """The order's schema, the same object each time."""
    return order_schema()


def _span(event: yaml.Event) -> Span:
    assert event.start_mark is not None
    assert event.end_mark is not None
    return event.start_mark.index, event.end_mark.index


def _targets(events: Sequence[yaml.Event]) -> Iterator[tuple[int, int]]:
    """By an alias's place among the events, the place of what it stands for."""
    anchors: dict[str, int] = {}
    for at, event in enumerate(events):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in anchors:
                yield at, anchors[event.anchor]
        elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            anchors[event.anchor] = at


def _alternatives(place: Place) -> Iterator[Mapping[str, Any]]:
    """The schemas that a place comes to, references and alternatives followed."""
    for schema in place:
        if "$ref" in schema:
            yield from _alternatives((_schema()["$defs"][schema["$ref"].rpartition("/")[2]],))
        elif "anyOf" in schema:
            yield from _alternatives(tuple(schema["anyOf"]))
        else:
            yield schema


def _below(place: Place, key: str) -> Iterator[Mapping[str, Any]]:
    """The schemas of what stands under a key."""
    for schema in place:
        if key in schema.get("properties", {}):
            yield schema["properties"][key]
        for pattern, below in schema.get("patternProperties", {}).items():
            if re.search(pattern.replace("$", r"\Z"), key):
                yield below


def _fits(event: yaml.ScalarEvent, place: Place) -> bool:
    """Whether a value is of a type that belongs there. No block of lines is, and its head may have a comment."""
    return event.tag is None and event.style not in {"|", ">"} and any(_is_of(event.value, schema) for schema in place)


def _is_of(value: str, schema: Mapping[str, Any]) -> bool:
    if "enum" in schema:
        return value in map(str, schema["enum"])
    if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
        return False
    types = schema.get("type", ())
    return any(_OF_TYPE[one].match(value) for one in ([types] if isinstance(types, str) else types) if one in _OF_TYPE)
