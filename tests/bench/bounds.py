"""What a case must keep to. A bound holds for the ratio where it has no unit of its own, else for the figure itself."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.cases import Case


@dataclass(frozen=True)
class Bound:
    """The most (or, as `least`, the least) that a case may have: of the reference, or `absolute` in its own unit."""

    limit: float
    absolute: bool = False
    least: bool = False

    def text(self, case: Case) -> str:
        """As a table shows it."""
        sign = "≥" if self.least else "≤"
        return f"{sign} {self.limit:g} {case.unit}" if self.absolute else f"{sign} {self.limit:g}"

    def holds(self, case: Case) -> bool:
        """Whether the case keeps to it."""
        figure = case.ours if self.absolute else case.ratio
        return figure is not None and (figure >= self.limit if self.least else figure <= self.limit)


WIRES = ("10M", "100M", "10M-native", "100M-native", "1G-native")
BOUNDS: dict[str, Bound] = {
    **{f"wire-{rate}-p99": Bound(4, absolute=True) for rate in ("10M", "100M")},
    **{f"wire-{rate}-{what}": Bound(0, absolute=True) for rate in WIRES for what in ("bfd-lost", "card-dropped")},
    **{f"wire-{rate}-used": Bound(0.98, least=True) for rate in WIRES},
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
