"""The JSON Schema of the order file, for editors: completion, descriptions and the first mistakes underlined."""

from __future__ import annotations

from typing import Any

from dcedge.order.model import Order, Probe
from dcedge.order.profiles import PROFILES
from dcedge.units import write_duration


def order_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of an order; what needs two values or a profile only `dcedge check` knows."""
    schema = Order.model_json_schema(mode="validation")
    definitions: dict[str, Any] = schema["$defs"]
    definitions["Connection"]["properties"]["provider"]["enum"] = sorted(PROFILES)
    definitions["Connection"]["oneOf"] = [_with("port"), _with("over")]
    definitions["Credential"]["oneOf"] = [_with("credential"), _with("file")]
    definitions["Probe"]["properties"]["interval"]["default"] = write_duration(Probe().interval)
    for section in schema["properties"].values():
        if "patternProperties" in section:
            section["additionalProperties"] = False
            # A section whose entries are all commented out is an empty one.
            section["type"] = ["object", "null"]
    for definition in (schema, *definitions.values()):
        for field in definition["properties"].values():
            # Editors show these beside the key; what says nothing is left out.
            field.pop("title", None)
            if field.get("default", ...) is None or isinstance(field.get("default"), dict):
                del field["default"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:dcedge:order",
        **schema,
        "title": "dcedge order",
    }


def _with(key: str) -> dict[str, Any]:
    """Matches a map that has the key, with something under it."""
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}
