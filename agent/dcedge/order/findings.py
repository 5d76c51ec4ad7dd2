"""What is wrong with an order, where, in words for whoever has to put it right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dcedge.errors import DcedgeError

Path = tuple[str | int, ...]
Severity = Literal["error", "warning"]
Part = Literal["value", "key"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One problem with its place. Line and column count from 1; 0 where the whole file is meant."""

    source: str
    line: int
    column: int
    path: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column}: " if self.line else f"{self.source}: "
        prefix = "warning: " if self.severity == "warning" else ""
        return place + prefix + (f"{self.path}: " if self.path else "") + self.message

    def as_dict(self) -> dict[str, str | int]:
        """The finding as JSON has it."""
        return {
            "source": self.source,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "severity": self.severity,
        }


class OrderInvalidError(DcedgeError):
    """The order has problems; nothing was changed. The text has a line for every one, sorted by its place."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(sorted(findings))
        super().__init__("\n".join(str(finding) for finding in self.findings))


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem by its path in the order; `part` tells whether the key or its value is pointed at.

    `others` are paths whose lines fill the `{line}` of the message, in turn.
    """

    path: Path
    message: str
    part: Part = "value"
    severity: Severity = "error"
    others: Sequence[Path] = ()


def path_text(path: Path) -> str:
    """`virtual_interfaces.prod-a.addresses[0].customer`; odd keys are escaped."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = len(step) <= 60 and step.isascii() and step.replace("-", "").replace("_", "").isalnum()
            text += ("." if text else "") + (step if plain else repr(step[:60]))
    return text
