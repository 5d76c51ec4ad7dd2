"""Orders made from maps, without the file around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dcedge.order.model import Order
from dcedge.order.validate import SECTIONS, Draft


def order_of_tree(tree: Mapping[str, Any]) -> Order:
    """The order that a file with this in it would be, without the checks of whole orders."""
    draft = Draft(None)
    for key, value in tree.items():
        if key in SECTIONS:
            for name, entry in value.items():
                draft.entry(key, name, entry)
        else:
            draft.top(key, value)
    draft.finish()
    assert not draft.problems, draft.problems[0]
    return draft.order
