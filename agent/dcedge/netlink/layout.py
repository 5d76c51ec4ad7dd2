"""What pyroute2's message classes say of a message: its fields (`fields`) and its attributes (`nla_map`)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pyroute2.netlink import NLA_F_NESTED, NLA_F_NET_BYTEORDER, nla, nlmsg, nlmsg_atoms

NLA_TYPE_MASK = 0xFFFF & ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER)
HEADER = struct.Struct("=" + "".join(form for _, form in nlmsg.header))  # length, type, flags, sequence, port ID
ATTRIBUTE = struct.Struct("=" + "".join(form for _, form in nla.header))  # length, type

_BYTE_ORDERS = frozenset("=<>!")

Message = Any  # a message class of pyroute2's, or an attribute's; pyroute2 has no type annotations


@dataclass(frozen=True, slots=True)
class AttributeType:
    """One attribute of a message or a nest; `form`: pyroute2's class for it, None where that depends on the message."""

    number: int
    form: Message | None


@lru_cache(1024)
def attribute_types(message: Message) -> dict[str, AttributeType]:
    """The attributes of a message or a nest, by name."""
    found = {}
    for place, entry in enumerate(message.nla_map or ()):
        number, name, words = entry[:3] if isinstance(entry[0], int) else (place, *entry[:2])
        word = words.lstrip("*").partition("(")[0].partition("|")[0].strip()
        form = message if word in {"recursive", "nested"} else getattr(message, word)
        found[name] = AttributeType(number, form if isinstance(form, type) else None)
    return found


def attribute_number(message: Message, name: str) -> int:
    """An attribute's type number."""
    return attribute_types(message)[name].number


def field_place(message: Message, name: str) -> tuple[int, str]:
    """Where a field begins in what follows the header, and its format."""
    offset = 0
    for field, form in message.fields:
        if field == name:
            return offset, form
        offset += struct.calcsize(form)
    raise KeyError(name)


def fields_bytes(message: Message) -> int:
    """The length of a message's fields; its attributes follow at the next multiple of four."""
    return sum(struct.calcsize(form) for _, form in message.fields)


def fields_struct(message: Message, names: Iterable[str]) -> struct.Struct:
    """Some fields of a message, in the order in which it has them; the others are skipped, those behind left out.

    Raises ValueError where they are not all of one byte order.
    """
    wanted, forms, orders = set(names), [], set()
    for field, form in message.fields:
        if not wanted:
            break
        if field in wanted:
            order, plain = (form[0], form[1:]) if form[0] in _BYTE_ORDERS else ("=", form)
            forms.append(plain)
            orders.add(order)
        else:
            forms.append(f"{struct.calcsize(form)}x")
        wanted.discard(field)
    if len(orders) > 1:
        raise ValueError(f"fields of several byte orders: {message.fields}")
    return struct.Struct("".join((*orders, *forms)))


def is_text(form: Message) -> bool:
    """Whether an attribute holds text."""
    return issubclass(form, nlmsg_atoms.string)


def number_struct(form: Message | None) -> struct.Struct | None:
    """How an attribute's number is read; None where it holds no single number."""
    if form is None or len(form.fields) != 1 or form.nla_map:
        return None
    ((_, written),) = form.fields
    if not isinstance(written, str) or written[-1] in "sx":
        return None
    return struct.Struct(written if written[0] in _BYTE_ORDERS else "=" + written)
