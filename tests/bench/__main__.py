"""`make bench [B=name] [COMPARE=1] [KEEP=1]`: each benchmark prints a table and writes build/bench/<name>.json.

`--compare` prints what changed by over 10 % against the run that is kept in tests/bench/results; `--keep` makes this
the run that is kept, and writes docs/performance.md anew.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import machine
from tests.bench.bounds import BOUNDS, beyond
from tests.bench.cases import Case, Environment, read_cases, write_cases
from tests.bench.compare import KEPT, kept, told
from tests.bench.report import write as write_page

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "bench"
NATIVE = "-native"
BUSY_LOAD = 0.5  # beyond it somebody else is at work on this machine


@dataclass(frozen=True)
class Part:
    """One run of a module (`argument` where it has several); each writes the cases of its own.

    `lab`: on a kernel that has everything. `awake`: with the processors kept from sleeping, where microseconds count.
    """

    module: str
    lab: bool
    argument: str | None = None
    awake: bool = False

    @property
    def written(self) -> Path:
        """Where its cases are afterwards."""
        return RESULTS / f"{'-'.join(filter(None, (self.module, self.argument)))}.json"


BENCHES = {
    "kernel": (Part("kernel", lab=True), Part("kernel_native", lab=False)),
    "bgp": (Part("bgp", lab=False),),
    "shaping": (
        Part("shaping", lab=False, argument="native"),
        Part("shaping", lab=True, argument="lab"),
        Part("forwarding", lab=False),
    ),
    "probe": (
        Part("probe", lab=True, argument="lab", awake=True),
        Part("probe", lab=False, argument="native"),
    ),
    "exporter": (Part("exporter", lab=False),),
    "metrics": (Part("metrics", lab=False),),
}


def show(name: str, cases: Sequence[Case]) -> None:
    """The figures as a table."""
    table = Table(title=f"bench {name}", title_justify="left")
    for title in ("case", "ours", "reference", "ratio", "bound", "against"):
        table.add_column(title, justify="left" if title in {"case", "against"} else "right")
    for case in cases:
        bound = BOUNDS[case.case].text(case) if case.case in BOUNDS else ""
        table.add_row(case.case, case.ours_text, case.reference_text, case.ratio_text, bound, case.reference_name or "")
    console = Console(width=132)
    console.print(table)
    if any(case.reference_at_least for case in cases):
        console.print("≥: the reference was stopped there, and was not done")
    for case in beyond(list(cases)):
        console.print(f"beyond its bound: {case.case} ({BOUNDS[case.case].text(case)})")


def run(part: Part) -> int:
    """Run a part to its end; its exit status."""
    command = [sys.executable, "-m", f"tests.bench.{part.module}"]
    if part.argument is not None:
        command.append(part.argument)
    if part.lab:
        command = [str(ROOT / "tests/lab/run"), "--timeout", "2700", "--out", str(RESULTS), *command]
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


def measured(part: Part) -> list[Case]:
    """A part's cases, each with what it was measured on; raises CalledProcessError where the part fails."""
    around: Environment = {
        "commit": machine.commit(),
        "measured": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "load_before": round(machine.load(), 2),
        "kept_awake": part.awake,
        "machine_processors": len(os.sched_getaffinity(0)),
    }
    if machine.load() > BUSY_LOAD:
        print(f"the machine is busy: load {machine.load():.2f}; the figures will say so", file=sys.stderr)
    part.written.unlink(missing_ok=True)
    status = run(part)
    if status != 0:
        raise subprocess.CalledProcessError(status, part.module)
    cases = read_cases(part.written)
    part.written.unlink()
    return [replace(case, environment=case.environment | around) for case in cases]


def beside(cases: Sequence[Case]) -> list[Case]:
    """Each case that was measured in the lab and natively with the two figures one below the other."""
    names = {case.case for case in cases}
    natives = {case.case.removesuffix(NATIVE): case for case in cases if case.case.endswith(NATIVE)}
    twins = {name: case for name, case in natives.items() if name in names}
    placed = []
    for case in cases:
        if case.case.removesuffix(NATIVE) not in twins:
            placed.append(case)
        elif case.case in twins:
            placed += [case, twins[case.case]]
    return placed


def main(words: Sequence[str]) -> int:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHES))
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(words)
    unknown = set(options.names) - BENCHES.keys()
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in options.names or BENCHES:
        cases: list[Case] = []
        try:
            for part in BENCHES[name]:
                cases += measured(part)
        except subprocess.CalledProcessError as error:
            print(f"bench {name}: {error.cmd} ended with status {error.returncode}", file=sys.stderr)
            return error.returncode
        cases = beside(cases)
        write_cases(RESULTS / f"{name}.json", cases)
        show(name, cases)
        if options.compare:
            print("\n".join(told(name, kept(name), cases)))
        if options.keep:
            KEPT.mkdir(exist_ok=True)
            write_cases(KEPT / f"{name}.json", cases)
            write_page()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
