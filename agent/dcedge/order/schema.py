"""The JSON Schema of the order file, for editors: completion, descriptions and the first mistakes underlined."""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from dcedge.order.field_types import NAME_PATTERN, Duration, Entries, FieldType, RateBps, Short
from dcedge.order.model import Order
from dcedge.order.profiles import PROFILES
from dcedge.units import write_duration, write_rate

# How a default stands in the file, by the type that its rate or duration has here.
_WRITTEN = {RateBps: write_rate, Duration: write_duration}


def order_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of an order; what needs two values or a profile only `dcedge check` knows."""
    definitions: dict[str, Any] = {}
    whole = _map(Order, definitions)
    definitions["Connection"]["properties"]["provider"]["enum"] = sorted(PROFILES)
    definitions["Connection"]["oneOf"] = [_with("port"), _with("over")]
    definitions["CardPort"]["oneOf"] = [_with("mac"), _with("path")]
    definitions["Credential"]["oneOf"] = [_with("credential"), _with("file")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:dcedge:order",
        "$defs": dict(sorted(definitions.items())),
        **whole,
        "title": "dcedge order",
    }


def _with(key: str) -> dict[str, Any]:
    """Matches a map that has the key, with something under it."""
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _map(cls: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model."""
    told, hints = _docstrings(cls), get_type_hints(cls, include_extras=True)
    properties: dict[str, Any] = {}
    for field in fields(cls):
        if not field.init:
            continue
        properties[field.name] = described = _of(hints[field.name], definitions)
        if field.name in told:
            described["description"] = told[field.name]
        default = field.default
        # Editors show it beside the key; what says nothing is left out.
        if default is not MISSING and default is not None and not is_dataclass(default):
            written = _WRITTEN.get(hints[field.name], lambda value: value)
            described["default"] = list(default) if isinstance(default, tuple) else written(default)
    needed = [field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING]
    return {
        "type": "object",
        "title": cls.__name__,
        "description": inspect.getdoc(cls),
        "properties": properties,
        **({"required": needed} if needed else {}),
        "additionalProperties": False,
    }


def _of(annotation: Any, definitions: dict[str, Any], metadata: tuple[Any, ...] = ()) -> dict[str, Any]:
    """The schema of what a field holds."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _of(parts[0], definitions, (*parts[1:], *metadata))
    for entry in metadata:
        if isinstance(entry, FieldType) and entry.schema:
            return dict(entry.schema)
        if isinstance(entry, Short):
            return {"anyOf": [_of(_short(annotation, entry), definitions), _of(annotation, definitions)]}
    if origin in {Union, UnionType}:
        return {"anyOf": [_of(part, definitions) for part in parts]}
    if origin is tuple:
        bounds = next((entry for entry in metadata if isinstance(entry, Entries)), None)
        lengths = {"minItems": bounds.low, "maxItems": bounds.high} if bounds is not None else {}
        return {"type": "array", "items": _of(parts[0], definitions), **lengths}
    if origin is Literal:
        return {"type": "string", "enum": list(parts)}
    if origin is dict:
        # A section whose entries are all commented out is an empty one.
        entries = {NAME_PATTERN: _of(parts[1], definitions)}
        return {"type": ["object", "null"], "patternProperties": entries, "additionalProperties": False}
    if annotation is NoneType:
        return {"type": "null"}
    if annotation.__name__ not in definitions:
        definitions[annotation.__name__] = _map(annotation, definitions)
    return {"$ref": f"#/$defs/{annotation.__name__}"}


def _short(cls: type[Any], short: Short) -> Any:
    return get_type_hints(cls, include_extras=True)[short.key]


def _docstrings(cls: type[Any]) -> dict[str, str]:
    """What stands below each field in the source."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    told: dict[str, str] = {}
    for statement, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            told[statement.target.id] = inspect.cleandoc(str(after.value.value))
    return told
