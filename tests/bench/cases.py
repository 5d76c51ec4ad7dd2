"""How a benchmark reports: one case a line, ours against a reference measured in the same run."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.machine import kernel, processors

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "build" / "bench"

Environment = dict[str, str | int | float | bool]


@dataclass(frozen=True)
class Case:
    """One figure. `ratio` is ours / reference.

    `reference_at_least`: the reference was stopped before it was done; it takes at least so long, and the ratio is at
    most what is said. `environment`: what it was measured on (`tests.bench.machine`).
    """

    case: str
    ours: float
    reference: float | None
    reference_name: str | None
    ratio: float | None
    unit: str
    reference_at_least: bool = False
    environment: Environment = field(default_factory=dict)

    @property
    def ours_text(self) -> str:
        """With its unit."""
        return f"{self.ours:.3f} {self.unit}"

    @property
    def reference_text(self) -> str:
        """With its unit, and a sign where it is a cut-off; empty where there is none."""
        if self.reference is None:
            return ""
        return f"{'≥ ' if self.reference_at_least else ''}{self.reference:.3f} {self.unit}"

    @property
    def ratio_text(self) -> str:
        """Empty where there is none."""
        if self.ratio is None:
            return ""
        return f"{'≤ ' if self.reference_at_least else ''}{self.ratio:.3f}"


@dataclass
class Report:
    """The cases of one benchmark, in the order in which they were measured.

    `gso`: whether super-packets reach the line that is measured ("on", "off"); set before the cases that it holds for.
    """

    name: str
    cases: list[Case] = field(default_factory=list)
    gso: str = "no traffic"

    def add(
        self,
        case: str,
        ours: float,
        reference: float | None = None,
        reference_name: str | None = None,
        unit: str = "s",
        *,
        at_least: bool = False,
    ) -> None:
        """Enter a figure and say it at once: a benchmark takes minutes. `at_least`: the reference is a cut-off."""
        ratio = ours / reference if reference else None
        environment: Environment = {"kernel": kernel(), "processors": processors(), "gso": self.gso}
        entry = Case(case, ours, reference, reference_name, ratio, unit, at_least, environment)
        self.cases.append(entry)
        against = f" against {entry.reference_text} ({reference_name}): {entry.ratio_text}" if reference else ""
        print(f"  {case}: {entry.ours_text}{against}", file=sys.stderr, flush=True)

    def write(self) -> None:
        """Write build/bench/<name>.json, or into the lab's folder for results."""
        folder = Path(os.environ.get("LAB_OUT", DEFAULT_FOLDER))
        folder.mkdir(parents=True, exist_ok=True)
        write_cases(folder / f"{self.name}.json", self.cases)


def write_cases(path: Path, cases: list[Case]) -> None:
    """Write cases as a JSON list, one object each."""
    path.write_text(json.dumps([asdict(case) for case in cases], indent=1) + "\n")


def read_cases(path: Path) -> list[Case]:
    """What `write_cases` wrote."""
    return [Case(**entry) for entry in json.loads(path.read_text())]
