"""How a benchmark reports: one case a line, ours against a reference measured in the same run."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "build" / "bench"


@dataclass(frozen=True)
class Case:
    """One figure. `ratio` is ours / reference."""

    case: str
    ours: float
    reference: float | None
    reference_name: str | None
    ratio: float | None
    unit: str


@dataclass
class Report:
    """The cases of one benchmark, in the order in which they were measured."""

    name: str
    cases: list[Case] = field(default_factory=list)

    def add(
        self, case: str, ours: float, reference: float | None = None, reference_name: str | None = None, unit: str = "s"
    ) -> None:
        """Enter a figure and say it at once: a benchmark takes minutes."""
        ratio = ours / reference if reference else None
        self.cases.append(Case(case, ours, reference, reference_name, ratio, unit))
        against = f" against {reference:.3f} ({reference_name}): {ratio:.3f}" if reference else ""
        print(f"  {case}: {ours:.3f} {unit}{against}", file=sys.stderr, flush=True)

    def write(self) -> None:
        """Write build/bench/<name>.json, or into the lab's folder for results."""
        folder = Path(os.environ.get("LAB_OUT", DEFAULT_FOLDER))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps([asdict(case) for case in self.cases], indent=1))
