"""docs/performance.md from the run that is kept: `python -m tests.bench.report` writes it.

Each benchmark's method and known bias stand in tests/bench/method, its figures in tests/bench/results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.bounds import BOUNDS
from tests.bench.cases import Case
from tests.bench.compare import kept

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
METHOD = Path(__file__).resolve().parent / "method"
NAMES = ("kernel", "bgp", "shaping", "probe", "exporter", "metrics")
NOT_KEPT = "No run is kept yet."


def write() -> None:
    """Write the page anew."""
    PAGE.write_text(page({name: kept(name) for name in NAMES}))


def page(results: dict[str, list[Case]]) -> str:
    """The page for these results, by benchmark."""
    parts = [(METHOD / "general.md").read_text().strip()]
    for name in NAMES:
        cases = results.get(name, [])
        parts.append((METHOD / f"{name}.md").read_text().strip())
        parts.append("\n".join(conditions(cases)) if cases else NOT_KEPT)
        if cases:
            parts.append("\n".join(table(cases)))
    return "\n\n".join(parts) + "\n"


def conditions(cases: Sequence[Case]) -> Iterator[str]:
    """What the cases were measured on, a line for those that share it."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for case in cases:
        groups.setdefault(tuple(_conditions(case)), []).append(case.case)
    yield "**Measured on.**"
    yield ""
    for told, names in groups.items():
        which = (
            "all" if len(groups) == 1 else f"`{names[0]}` and {len(names) - 1} more" if names[1:] else f"`{names[0]}`"
        )
        yield f"- {which}: " + "; ".join(f"{word} {value}" for word, value in told)


def _conditions(case: Case) -> Iterator[tuple[str, str]]:
    found = case.environment
    yield "commit", f"`{found.get('commit', 'unknown')}`"
    yield "measured", f"{found.get('measured', 'unknown')} UTC"
    yield "kernel", str(found.get("kernel", "unknown"))
    yield "processors", f"{found.get('processors', 'unknown')} (of the machine: {found.get('machine_processors', '?')})"
    yield "super-packets on the line (GSO)", str(found.get("gso", "unknown"))
    yield "processors kept awake", "yes" if found.get("kept_awake") else "no"
    yield "load before", str(found.get("load_before", "unknown"))


def table(cases: Sequence[Case]) -> Iterator[str]:
    """The figures."""
    yield "| case | ours | reference | ratio | bound | against |"
    yield "|---|--:|--:|--:|--:|---|"
    for case in cases:
        bound = BOUNDS.get(case.case)
        name = case.case if bound is None or bound.holds(case) else f"**{case.case}**"
        words = (
            name,
            case.ours_text,
            case.reference_text,
            case.ratio_text,
            bound.text(case) if bound is not None else "",
            case.reference_name or "",
        )
        yield "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


if __name__ == "__main__":
    write()
