"""What changed against the run that is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cases import Case, read_cases

KEPT = Path(__file__).resolve().parent / "results"
WORTH_SAYING = 0.10  # of the figure before
_CONDITIONS = ("kernel", "processors", "gso", "kept_awake")


@dataclass(frozen=True)
class Difference:
    """A case that changed; `what` is "ratio" where both runs have one, else the unit."""

    case: str
    what: str
    before: float
    now: float

    @property
    def share(self) -> float:
        """How much it changed, of what it was."""
        return self.now / self.before - 1 if self.before else float("inf")

    def __str__(self) -> str:
        return f"{self.case}: {self.what} {self.before:.3f} -> {self.now:.3f} ({self.share:+.0%})"


def kept(name: str) -> list[Case]:
    """The cases of a benchmark in the run that is kept; none where there is none."""
    path = KEPT / f"{name}.json"
    return read_cases(path) if path.exists() else []


def differences(before: Sequence[Case], now: Sequence[Case]) -> Iterator[Difference]:
    """What changed by more than a tenth.

    A ratio is compared where there is one: both of its sides were measured on the same machine in the same run.
    """
    known = {case.case: case for case in before}
    for case in now:
        was = known.get(case.case)
        if was is None:
            continue
        # A reference that was stopped at the cut-off says nothing more of the ratio than that.
        if case.ratio is not None and was.ratio is not None and not (case.reference_at_least or was.reference_at_least):
            found = Difference(case.case, "ratio", was.ratio, case.ratio)
        else:
            found = Difference(case.case, case.unit, was.ours, case.ours)
        if found.before != found.now and abs(found.share) > WORTH_SAYING:
            yield found


def told(name: str, before: Sequence[Case], now: Sequence[Case]) -> Iterator[str]:
    """What there is to say of a benchmark's run against the kept one, a line each."""
    if not before:
        yield f"{name}: no run is kept to compare with"
        return
    yield f"{name}, against the kept run of {_one(before, 'measured')} ({_one(before, 'commit')}):"
    for condition in _CONDITIONS:
        was, here = (sorted({str(case.environment.get(condition)) for case in cases}) for cases in (before, now))
        if was != here:
            yield f"  {condition} differs: {', '.join(was)} -> {', '.join(here)}"
    found = list(differences(before, now))
    yield from (f"  {difference}" for difference in found)
    if not found:
        yield f"  nothing changed by more than {WORTH_SAYING:.0%}"
    names, now_names = ({case.case for case in cases} for cases in (before, now))
    yield from (f"  {case} is new" for case in sorted(now_names - names))
    yield from (f"  {case} was not measured" for case in sorted(names - now_names))


def _one(cases: Sequence[Case], word: str) -> str:
    return ", ".join(sorted({str(case.environment.get(word, "unknown")) for case in cases}))
