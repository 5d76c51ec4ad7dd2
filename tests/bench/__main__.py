"""`make bench [B=name]`: each benchmark prints a table and writes build/bench/<name>.json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "bench"
# Name, and whether it needs the lab kernel; `shaping` sees to its two parts itself.
BENCHES = {"kernel": True, "bgp": False, "shaping": False}


def show(name: str, cases: list[dict[str, object]]) -> None:
    """The figures as a table."""
    table = Table(title=f"bench {name}", title_justify="left")
    for title in ("case", "ours", "reference", "ratio", "against"):
        table.add_column(title, justify="left" if title in {"case", "against"} else "right")
    for case in cases:
        unit = str(case["unit"])
        ratio = case["ratio"]
        table.add_row(
            str(case["case"]),
            f"{case['ours']:.3f} {unit}",
            f"{case['reference']:.3f} {unit}" if case["reference"] is not None else "",
            f"{ratio:.3f}" if ratio is not None else "",
            str(case["reference_name"] or ""),
        )
    Console(width=120).print(table)


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all."""
    unknown = set(names) - BENCHES.keys()
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in names or BENCHES:
        command = [sys.executable, "-m", f"tests.bench.{name}"]
        if BENCHES[name]:
            command = [str(ROOT / "tests/lab/run"), "--timeout", "1800", "--out", str(RESULTS), *command]
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode != 0:
            return done.returncode
        show(name, json.loads((RESULTS / f"{name}.json").read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
