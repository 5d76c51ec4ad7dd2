"""One block of FRR's configuration, made from a template. Every value that enters is one word of a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from dcedge.errors import FrrError
from dcedge.frr.config import ConfigLine, parse_lines
from dcedge.frr.object_names import (
    ORIGIN_MAP,
    OWN_PATHS,
    OWNER_MARK,
)
from dcedge.frr.resources import COMMON, ROUTER, FrrBlock
from dcedge.plan.resource import Key

_WORD = re.compile(r"[\x21-\x7e]+")


class FrrRenderError(FrrError):
    """A value that cannot stand in FRR's configuration; the text names the place, never a secret."""


def block_of(key: Key, affects: Iterable[str], template: str, **values: object) -> FrrBlock:
    constants = {"own_paths": OWN_PATHS, "origin_map": ORIGIN_MAP, "owner_mark": OWNER_MARK}
    lines = parse_lines(_template(template).render(constants | values))
    return FrrBlock.of(key, affects, (line for line in lines if not _shared_context(line, key)))


def _shared_context(line: ConfigLine, key: Key) -> bool:
    """Whether the line only opens a context that several blocks stand in; two blocks own such lines, the rest not."""
    if line.path:
        return line.text.startswith("address-family ")
    return (line.text == "bfd" and key.type != COMMON) or (line.text.startswith("router bgp ") and key.type != ROUTER)


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("dcedge.frr"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - router configuration, not HTML; _one_word is its escaping
        finalize=_one_word,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.j2")


def _one_word(value: object) -> str:
    """Every value that enters a template is one word of printable ASCII: it can start no line and add no argument."""
    text = str(value)
    if not _WORD.fullmatch(text):
        raise FrrRenderError(f"{len(text)} characters that are not one printable word cannot stand in a line")
    return text
