"""`make bench [B=name]`: each benchmark prints a table and writes build/bench/<name>.json."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "bench"


@dataclass(frozen=True)
class Part:
    """One run of a benchmark's module, with `argument` where it has several; each writes the cases of its own.

    `lab`: on a kernel that has everything. `awake`: with the processors kept from sleeping, where microseconds count.
    """

    lab: bool
    argument: str | None = None
    awake: bool = False


BENCHES = {
    "kernel": (Part(lab=True),),
    "bgp": (Part(lab=False),),
    "shaping": (Part(lab=False, argument="native"), Part(lab=True, argument="lab")),
    "probe": (Part(lab=True, argument="lab", awake=True), Part(lab=False, argument="native")),
    "exporter": (Part(lab=False),),
}


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


def run(name: str, part: Part) -> int:
    """Run a part to its end; its exit status."""
    command = [sys.executable, "-m", f"tests.bench.{name}"]
    if part.argument is not None:
        command.append(part.argument)
    if part.lab:
        command = [str(ROOT / "tests/lab/run"), "--timeout", "1800", "--out", str(RESULTS), *command]
    with awake() if part.awake else contextlib.nullcontext():
        return subprocess.run(command, cwd=ROOT, check=False).returncode


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """Keep this machine's processors from sleeping, by processes that give way to any other (SCHED_IDLE).

    A processor that has to wake first runs netem's timers some 30 µs late, which would be taken for the prober's error.
    """
    count = len(os.sched_getaffinity(0))
    words = ["chrt", "--idle", "0", "sh", "-c", "while :; do :; done"]
    processes = [subprocess.Popen(words) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all."""
    unknown = set(names) - BENCHES.keys()
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in names or BENCHES:
        cases: list[dict[str, object]] = []
        for part in BENCHES[name]:
            written = RESULTS / (f"{name}.json" if part.argument is None else f"{name}-{part.argument}.json")
            written.unlink(missing_ok=True)
            status = run(name, part)
            if status != 0:
                return status
            cases += json.loads(written.read_text())
            if part.argument is not None:
                written.unlink()
        (RESULTS / f"{name}.json").write_text(json.dumps(cases, indent=1))
        show(name, cases)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
