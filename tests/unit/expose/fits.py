"""Whether JSON is of a declared type: every key that is there is declared, every one that is not optional is there."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict


def misfits(value: Any, declared: Any, where: str = "") -> list[str]:
    """Where a value is not of its type; `where` is the way to it."""
    if is_typeddict(declared):
        return list(_of_dictionary(value, declared, where)) if isinstance(value, dict) else [f"{where}: no object"]
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in {Union, types.UnionType}:
        found = [misfits(value, one, where) for one in arguments]
        return [] if [] in found else max(found, key=lambda ways: max(map(len, ways)))
    if origin is Literal:
        return [] if value in arguments else [f"{where}: {value!r} is none of {arguments}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{where}: no list"]
        return [text for n, one in enumerate(value) for text in misfits(one, arguments[0], f"{where}[{n}]")]
    if origin is dict:
        if not isinstance(value, dict):
            return [f"{where}: no object"]
        return [text for key, one in value.items() for text in misfits(one, arguments[1], f"{where}.{key}")]
    return [] if _is_plain(value, declared) else [f"{where}: {value!r} is no {declared.__name__}"]


def _of_dictionary(value: dict[str, Any], declared: Any, where: str) -> Iterator[str]:
    # __required_keys__ does not know of NotRequired in a module whose annotations are postponed (PEP 655).
    hints = get_type_hints(declared, include_extras=True)
    optional = {key for key, hint in hints.items() if get_origin(hint) is NotRequired}
    yield from (f"{where}.{key} is declared nowhere" for key in value.keys() - hints.keys())
    yield from (f"{where}.{key} is missing" for key in hints.keys() - optional - value.keys())
    for key in value.keys() & hints.keys():
        hint = get_args(hints[key])[0] if key in optional else hints[key]
        yield from misfits(value[key], hint, f"{where}.{key}")


def _is_plain(value: Any, declared: type) -> bool:
    if declared is float:  # JSON has one kind of number
        return isinstance(value, int | float) and not isinstance(value, bool)
    if declared is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, declared)
