"""What a case must keep to. A bound holds for the ratio where it has no unit of its own, else for the figure itself."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.cases import Case


@dataclass(frozen=True)
class Bound:
    """The most that a case may have: of the reference, or (`absolute`) in the case's own unit."""

    most: float
    absolute: bool = False

    def text(self, case: Case) -> str:
        """As a table shows it."""
        return f"≤ {self.most:g} {case.unit}" if self.absolute else f"≤ {self.most:g}"

    def holds(self, case: Case) -> bool:
        """Whether the case keeps to it."""
        figure = case.ours if self.absolute else case.ratio
        return figure is not None and figure <= self.most


BOUNDS: dict[str, Bound] = {
    **{f"apply-{count}": Bound(0.75) for count in (100, 1000, 4000)},
    **{f"apply-{count}-native": Bound(1.2) for count in (100, 1000, 4000)},
    "noop-4000": Bound(1.0),
    "add-one-4000": Bound(0.25),
    "rate-one-4000": Bound(0.25),
    "repair-1000": Bound(300, absolute=True),
    "forwarding-back-1000": Bound(300, absolute=True),
    "repair-state-full": Bound(300, absolute=True),
    "loop-hold-4000": Bound(250, absolute=True),
    "rss-4000": Bound(160, absolute=True),
    "rss-50": Bound(70, absolute=True),
    "change-one-1000": Bound(0.25),
    "render-4000-text": Bound(0.2),
    "render-4000-with-sessions-text": Bound(0.2),
}


def beyond(cases: list[Case]) -> list[Case]:
    """Those that have a bound and do not keep to it."""
    return [case for case in cases if case.case in BOUNDS and not BOUNDS[case.case].holds(case)]
