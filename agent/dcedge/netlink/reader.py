"""Reads messages by pyroute2's own descriptions of them, but only what is asked for.

pyroute2 makes an object of every attribute: 240 microseconds a link, most of which nobody asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dcedge.netlink.layout import (
    ATTRIBUTE,
    NLA_TYPE_MASK,
    Message,
    attribute_types,
    fields_bytes,
    fields_struct,
    is_text,
    number_struct,
)

Read = dict[str, Any]
Take = Callable[[memoryview, int, int], Any]


class Reader:
    """Reads some fields and attributes of a message or a nest, by pyroute2's names for them.

    A number is read as one, text as text; all else (addresses, structures) as its bytes. `nests` says with which reader
    an attribute is read; `each`, that it comes several times and is a list. What is not there is not in the result.
    """

    def __init__(
        self, message: Message, *names: str, nests: Mapping[str, Reader] | None = None, each: tuple[str, ...] = ()
    ) -> None:
        nests = nests or {}
        types = attribute_types(message)
        self._fields = [field for field, _ in message.fields if field in names]
        self._head = fields_struct(message, self._fields)
        self._size = fields_bytes(message)
        self._wanted: dict[int, tuple[str, Take, bool]] = {}
        for name in (*(name for name in names if name not in self._fields), *nests):
            # A structure of fields alone has no attributes, and is read by `fields` only.
            take = nests[name].read if name in nests else _taker(types[name].form)
            self._wanted[types[name].number] = (name, take, name in each)

    def read(self, data: memoryview, start: int, end: int) -> Read:
        """What is wanted of the message or nest in `data[start:end]`; of a repeated attribute, the last."""
        found: Read = dict(zip(self._fields, self._head.unpack_from(data, start), strict=True)) if self._fields else {}
        if not self._wanted:
            return found
        at = (start + self._size + 3) & ~3
        unpack, wanted = ATTRIBUTE.unpack_from, self._wanted.get
        while at + 4 <= end:
            length, attribute_type = unpack(data, at)
            if length < 4:
                break
            entry = wanted(attribute_type & NLA_TYPE_MASK)
            if entry is not None:
                name, take, each = entry
                value = take(data, at + 4, at + length)
                if each:
                    found.setdefault(name, []).append(value)
                else:
                    found[name] = value
            at += (length + 3) & ~3
        return found

    def read_bytes(self, payload: bytes) -> Read:
        """The same of an attribute's bytes."""
        return self.read(memoryview(payload), 0, len(payload))


class ListReader(Reader):
    """Reads a nest of numbered attributes that are all alike, such as a filter's actions, each with the same reader."""

    def __init__(self, item: Reader) -> None:
        self._item = item

    def read(self, data: memoryview, start: int, end: int) -> Any:
        """What each of them holds."""
        return [self._item.read(data, *span) for span in spans(data, start, end)]


def spans(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the payload of each attribute in `data[start:end]` begins and ends."""
    while start + 4 <= end:
        length, _ = ATTRIBUTE.unpack_from(data, start)
        if length < 4:
            break
        yield start + 4, start + length
        start += (length + 3) & ~3


def _taker(form: Message | None) -> Take:
    """How an attribute of that class is read."""
    number = number_struct(form)
    if number is not None:
        unpack = number.unpack_from
        return lambda data, start, _: unpack(data, start)[0]
    if form is not None and is_text(form):
        return _text
    return _payload


def _text(data: memoryview, start: int, end: int) -> str:
    return bytes(data[start:end]).rstrip(b"\0").decode(errors="replace")


def _payload(data: memoryview, start: int, end: int) -> bytes:
    return bytes(data[start:end])
